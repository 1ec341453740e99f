"""How many trials an hour does this machine train with 1, 2, … workers?

    python -m tests.benchmarks.workers model=conv_lstm data=imdb trials=8 epochs=2 workers=1,2 [repetitions=3]
        [out=workers] [key=value …]

The same trials to the same epochs (`stopping=none`) with each number of workers in turn; other keys are a sweep's own.
Prints, for each, trials an hour, as medians over the repetitions: of the whole command, with start, data and store, and
of the training alone, from the first trial's first second on a worker to the last one's end; and how many times those
of the first number that is. Take several trials for each worker, or the last ones leave some idle. Writes workers.json.
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
    given = dict(argument.partition("=")[::2] for argument in sys.argv[1:])
    out, repetitions = Path(given.pop("out", "workers")), int(given.pop("repetitions", "3"))
    counts = [int(count) for count in given.pop("workers", "1,2").split(",")]
    arguments = [f"{key}={value}" for key, value in given.items()]
    commands.job_of(arguments)
    found: dict[str, Any] = {"arguments": arguments, "runs": {str(count): [] for count in counts}}
    for _ in range(repetitions):
        for count in counts:
            found["runs"][str(count)].append(trials_an_hour(arguments, count))
            found["medians"] = medians(found["runs"])
            out.with_suffix(".json").write_text(json.dumps(found, indent=1))
    for count, rates in found["medians"].items():
        said = [f"{rate['trials an hour']:.0f} ({rate['times']:.2f} times)" for rate in rates.values()]
        print(f"{count:>3} workers: {said[0]} trials an hour of the command, {said[1]} of its training")


def trials_an_hour(arguments: list[str], workers: int) -> dict[str, float]:
    """Of the whole command, and of its training alone."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        options = (f"engine.workers={workers}", "stopping=none", "tracking.uri=sqlite:///mlflow.db")
        ended = commands.run(folder, "pipelines.sweep", *arguments, *options)
        record = commands.recorded(folder)
        trials = 3600 * len(record.completed)
        return {"command": trials / ended.seconds, "training": trials / training_seconds(record)}


def training_seconds(record: SweepRecord) -> float:
    """A trial is journalled as started while its worker still loads TensorFlow: its own begin is taken."""
    return max(t.last for t in record.completed) - min(t.last - t.cost["seconds"] for t in record.completed)


def medians(runs: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, dict[str, float]]]:
    """For each number of workers that ran, and how many times the rate of the first one it is."""
    middle = {
        count: {part: statistics.median(rates[part] for rates in found) for part in found[0]}
        for count, found in runs.items()
        if found
    }
    first = next(iter(middle.values()))
    return {
        count: {part: {"trials an hour": rate, "times": rate / first[part]} for part, rate in rates.items()}
        for count, rates in middle.items()
    }


if __name__ == "__main__":
    main()
