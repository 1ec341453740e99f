"""The number of trials that this machine trains in an hour with 1, 2, … workers.

    python -m tests.benchmarks.workers model=conv_lstm data=imdb trials=8 epochs=2 workers=1,2 [repetitions=3]
        [out=workers] [key=value …]

Runs the same trials to the same epochs (`stopping=none`) with each number of workers in turn; other keys are a sweep's
own. Prints trials an hour for each, as medians over the repetitions: of the whole command, with start, data and store,
and of the training alone, from the first trial's first second on a worker to the last one's end; and both as multiples
of those of the first number of workers. Take several trials for each worker, or the last ones leave some idle. Writes
workers.json.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from sweeps.journal import SweepRecord
from tests.benchmarks import commands


def main() -> None:
    options = dict(argument.partition("=")[::2] for argument in sys.argv[1:])
    out, repetitions = Path(options.pop("out", "workers")), int(options.pop("repetitions", "3"))
    counts = [int(count) for count in options.pop("workers", "1,2").split(",")]
    arguments = [f"{key}={value}" for key, value in options.items()]
    commands.job_of(arguments)
    results: dict[str, Any] = {"arguments": arguments, "runs": {str(count): [] for count in counts}}
    for _ in range(repetitions):
        for count in counts:
            results["runs"][str(count)].append(trials_an_hour(arguments, count))
            results["medians"] = medians(results["runs"])
            out.with_suffix(".json").write_text(json.dumps(results, indent=1))
    for count, rates in results["medians"].items():
        command, training = (f"{rate['trials an hour']:.0f} ({rate['times']:.2f} times)" for rate in rates.values())
        print(f"{count:>3} workers: {command} trials an hour of the command, {training} of its training")


def trials_an_hour(arguments: list[str], workers: int) -> dict[str, float]:
    """Run the command; return its trials an hour, and those of its training alone."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        options = (f"engine.workers={workers}", "stopping=none", "tracking.uri=sqlite:///mlflow.db")
        ended = commands.run(folder, "pipelines.sweep", *arguments, *options)
        record = commands.recorded(folder)
        trials = 3600 * len(record.completed)
        return {"command": trials / ended.seconds, "training": trials / training_seconds(record)}


def training_seconds(record: SweepRecord) -> float:
    """Return the seconds from the first trial's own start, after its worker has loaded TensorFlow, to the last end."""
    ends = [(trial.last_event, trial.cost["seconds"]) for trial in record.completed]
    return max(end for end, _ in ends) - min(end - seconds for end, seconds in ends)


def medians(runs: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, dict[str, float]]]:
    """Return the median rates for each number of workers that ran, and as multiples of the first number's."""
    rates_of = {
        count: {part: statistics.median(rates[part] for rates in repetitions) for part in repetitions[0]}
        for count, repetitions in runs.items()
        if repetitions
    }
    first = next(iter(rates_of.values()))
    return {
        count: {part: {"trials an hour": rate, "times": rate / first[part]} for part, rate in rates.items()}
        for count, rates in rates_of.items()
    }


if __name__ == "__main__":
    main()
