"""A comparison of this project's sweep with those of Keras Tuner, Optuna and Ray Tune, in turn on one machine and data.

    python -m tests.benchmarks model=conv_lstm data=imdb [trials=8] [epochs=6] [repetitions=3] [out=bench] [key=value …]
    … questions=equal_work                                      one of the two: equal_work, search
    … tools=ours,ray_tune                                       some of ours, keras_tuner, optuna, ray_tune

There are two questions. At equal work (the same trials, all epochs), how much longer do the others take? And when each
searches in its own way (this project with `stopping=median`, Keras Tuner with early stopping, Optuna with its median
pruner, Ray Tune with ASHA), how long does it take to reach another's best validation accuracy? Other keys are this
project's own, e.g. the place of an archive. Writes bench.json and, for the searches, bench.png. Seconds mean little on
a shared machine: read the ratios, which are of runs in turn.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from conf.schema import Config, Job
from sweeps import runtime
from sweeps.search.oracle import Oracle
from sweeps.search.space import Space
from sweeps.session.checks import check
from tests.benchmarks import commands
from tests.benchmarks.rivals import Ended, Task

TOOLS = ("ours", "keras_tuner", "optuna", "ray_tune")
QUESTIONS = ("equal_work", "search")
COLORS = {"ours": "#0072B2", "keras_tuner": "#D55E00", "optuna": "#009E73", "ray_tune": "#CC79A7"}


def main() -> None:
    options = dict(argument.partition("=")[::2] for argument in sys.argv[1:])
    out, repetitions = Path(options.pop("out", "bench")), int(options.pop("repetitions", "3"))
    questions = options.pop("questions", ",".join(QUESTIONS)).split(",")
    tools = options.pop("tools", ",".join(TOOLS)).split(",")
    arguments = [f"{key}={value}" for key, value in options.items()]
    job = commands.job_of(arguments)
    config = job.config
    searched = check(config)[next(iter(config.datasets))]
    results: dict[str, Any] = {"arguments": arguments, **{question: [] for question in QUESTIONS}}
    for repetition in range(repetitions):
        for question in questions:
            seed = config.seed + repetition
            runs = {tool: run(tool, question, job, searched, arguments=arguments, seed=seed) for tool in tools}
            results[question].append(runs)
            print(
                question,
                seed,
                {tool: (round(runs[tool]["seconds"]), round(_best(runs[tool]), 4)) for tool in tools},
                flush=True,
            )
            out.with_suffix(".json").write_text(json.dumps(results, indent=1))
    results["ratios"] = ratios(results, [tool for tool in tools if tool != "ours"])
    out.with_suffix(".json").write_text(json.dumps(results, indent=1))
    if results["search"]:
        figure(results, f"{config.model.name} on {', '.join(config.datasets)}", out.with_suffix(".png"))
    print(json.dumps(results["ratios"], indent=1))


def run(tool: str, question: str, job: Job, searched: Space, *, arguments: list[str], seed: int) -> dict[str, Any]:
    """Run one whole process; return its seconds, and when its trials ended with which accuracy."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if tool == "ours":
            stopping = "none" if question == "equal_work" else "median"
            ours = [*arguments, f"seed={seed}", f"stopping={stopping}", "tracking.uri=sqlite:///mlflow.db"]
            ended = commands.run(folder, "pipelines.sweep", *ours)
            trials = _ours(folder, ended.began)
        else:
            values = proposals(job.config, searched, seed) if question == "equal_work" else None
            task = Task(job.yaml, seed, values)
            (folder / "task.json").write_text(json.dumps(task._asdict()))
            ended = commands.run(
                folder, "tests.benchmarks.rivals", tool, "task.json", variables=runtime.MLFLOW_SETTINGS
            )
            trials = json.loads(ended.printed.splitlines()[-1])
        return {"seconds": ended.seconds, "trials": trials}


def proposals(config: Config, searched: Space, seed: int) -> list[dict[str, Any]]:
    """Return the values of the trials of this project's random search."""
    names = [hyperparameter.name for hyperparameter in searched.searched]
    oracle = Oracle(replace(config, seed=seed), searched)
    return [{name: proposal.values[name] for name in names} for proposal in iter(oracle.ask, None)]


def _ours(folder: Path, began: float) -> list[dict[str, Any]]:
    trials = sorted(commands.recorded(folder).completed, key=lambda trial: trial.last_event)
    return [Ended(t.last_event - began, max(t.curves["val/accuracy"]), t.epochs_run)._asdict() for t in trials]


def _best(run: dict[str, Any]) -> float:
    return float(max(trial["accuracy"] for trial in run["trials"]))


def _reached(run: dict[str, Any], accuracy: float) -> float | None:
    """Return the seconds until a trial with this accuracy had ended."""
    return next((trial["seconds"] for trial in run["trials"] if trial["accuracy"] >= accuracy), None)


def ratios(results: dict[str, Any], rivals: list[str]) -> dict[str, Any]:
    """Return each rival's time divided by this project's: the median of the repetitions, and all of them."""
    return {
        rival: {
            "equal work": _quotients(results["equal_work"], rival),
            "whole search": _quotients(results["search"], rival),
            "best accuracy": [{tool: _best(runs[tool]) for tool in ("ours", rival)} for runs in results["search"]],
            "seconds until the rival's best accuracy": [
                {tool: _reached(runs[tool], _best(runs[rival])) for tool in ("ours", rival)}
                for runs in results["search"]
            ],
        }
        for rival in rivals
    }


def _quotients(repetitions: list[dict[str, Any]], rival: str) -> dict[str, Any]:
    quotients = [runs[rival]["seconds"] / runs["ours"]["seconds"] for runs in repetitions]
    return {"median": statistics.median(quotients) if quotients else None, "all": quotients}


def figure(results: dict[str, Any], title: str, path: Path) -> None:
    """Draw the best validation accuracy so far over time, for every repetition of the search."""
    canvas = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = canvas.subplots()
    for tool in results["search"][0]:
        for number, runs in enumerate(results["search"]):
            best, points = 0.0, []
            for trial in runs[tool]["trials"]:
                best = max(best, trial["accuracy"])
                points.append((trial["seconds"], best))
            axes.step(*zip(*points, strict=True), where="post", color=COLORS[tool], label=None if number else tool)
    axes.set(xlabel="time since the command (s)", ylabel="best validation accuracy so far", title=title)
    axes.grid(visible=True)
    axes.legend(loc="lower right")
    canvas.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
