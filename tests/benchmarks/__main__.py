"""The sweep of this project against Keras Tuner's and Optuna's, in turn on the same machine, data, models and space.

    python -m tests.benchmarks model=conv_lstm data=imdb [trials=8] [epochs=6] [repetitions=3] [out=bench] [key=value …]
    … questions=equal_work                                      one of the two: equal_work, search

Two questions: at equal work (the same trials, all epochs), how much longer do the others take? And when each searches
as it does (this project with `stopping=median`, Keras Tuner with early stopping, Optuna with its median pruner), how
long until it has the best validation accuracy that another came to? Other keys are this project's own, e.g. where an
archive is. Writes bench.json and, of the searches, bench.png. Seconds mean little on a shared machine: read the ratios,
which are of runs in turn.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from conf.schema import Config
from pipelines.sweep import check
from sweeps.search.oracle import Oracle
from sweeps.search.space import Space
from tests.benchmarks import commands
from tests.benchmarks.rivals import Ended, Settings

TOOLS = ("ours", "keras_tuner", "optuna")
QUESTIONS = ("equal_work", "search")
COLORS = {"ours": "#0072B2", "keras_tuner": "#D55E00", "optuna": "#009E73"}


def main() -> None:
    given = dict(argument.partition("=")[::2] for argument in sys.argv[1:])
    out, repetitions = Path(given.pop("out", "bench")), int(given.pop("repetitions", "3"))
    questions = given.pop("questions", ",".join(QUESTIONS)).split(",")
    arguments = [f"{key}={value}" for key, value in given.items()]
    config = commands.job_of(arguments).config
    searched = check(config)
    found: dict[str, Any] = {"arguments": arguments, **{question: [] for question in QUESTIONS}}
    for repetition in range(repetitions):
        for question in questions:
            seed = config.seed + repetition
            runs = {tool: run(tool, question, config, searched, arguments=arguments, seed=seed) for tool in TOOLS}
            found[question].append(runs)
            print(
                question,
                seed,
                {tool: (round(runs[tool]["seconds"]), round(_best(runs[tool]), 4)) for tool in TOOLS},
                flush=True,
            )
            out.with_suffix(".json").write_text(json.dumps(found, indent=1))
    found["ratios"] = ratios(found)
    out.with_suffix(".json").write_text(json.dumps(found, indent=1))
    if found["search"]:
        figure(found, f"{config.model.name} on {', '.join(config.datasets)}", out.with_suffix(".png"))
    print(json.dumps(found["ratios"], indent=1))


def run(
    tool: str, question: str, config: Config, searched: Space, *, arguments: list[str], seed: int
) -> dict[str, Any]:
    """One whole process: how long it took, and what its trials came to by when."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if tool == "ours":
            stopping = "none" if question == "equal_work" else "median"
            ours = [*arguments, f"seed={seed}", f"stopping={stopping}", "tracking.uri=sqlite:///mlflow.db"]
            ended = commands.run(folder, "pipelines.sweep", *ours)
            trials = _ours(folder, ended.began)
        else:
            (dataset, data), *_ = config.datasets.items()
            values = proposals(config, searched, seed) if question == "equal_work" else None
            settings = Settings(
                model=asdict(config.model),
                optimizer=asdict(config.optimizer),
                data=data.arguments(dataset),
                trials=config.trials,
                epochs=config.epochs,
                batch_size=config.batch_size,
                patience=None if values else config.patience,
                seed=seed,
                values=values,
            )
            (folder / "settings.json").write_text(json.dumps(settings._asdict()))
            ended = commands.run(folder, "tests.benchmarks.rivals", tool, "settings.json")
            trials = json.loads(ended.printed.splitlines()[-1])
        return {"seconds": ended.seconds, "trials": trials}


def proposals(config: Config, searched: Space, seed: int) -> list[dict[str, Any]]:
    """The trials of this project's random search."""
    names = [hyperparameter.name for hyperparameter in searched.searched]
    oracle = Oracle(replace(config, seed=seed), searched)
    return [{name: proposal.values[name] for name in names} for proposal in iter(oracle.ask, None)]


def _ours(folder: Path, began: float) -> list[dict[str, Any]]:
    trials = sorted(commands.recorded(folder).completed, key=lambda trial: trial.last)
    return [Ended(t.last - began, max(t.curves["val/accuracy"]), t.epochs_run)._asdict() for t in trials]


def _best(found: dict[str, Any]) -> float:
    return float(max(trial["accuracy"] for trial in found["trials"]))


def _reached(found: dict[str, Any], accuracy: float) -> float | None:
    """Seconds until a trial with this accuracy had ended."""
    return next((trial["seconds"] for trial in found["trials"] if trial["accuracy"] >= accuracy), None)


def ratios(found: dict[str, Any]) -> dict[str, Any]:
    """How many times as long as ours each rival takes; medians over the repetitions, and every one of them."""
    return {
        rival: {
            "equal work": _quotients(found["equal_work"], rival),
            "whole search": _quotients(found["search"], rival),
            "best accuracy": [{tool: _best(runs[tool]) for tool in ("ours", rival)} for runs in found["search"]],
            "seconds until the rival's best accuracy": [
                {tool: _reached(runs[tool], _best(runs[rival])) for tool in ("ours", rival)} for runs in found["search"]
            ],
        }
        for rival in TOOLS[1:]
    }


def _quotients(repetitions: list[dict[str, Any]], rival: str) -> dict[str, Any]:
    quotients = [runs[rival]["seconds"] / runs["ours"]["seconds"] for runs in repetitions]
    return {"median": statistics.median(quotients) if quotients else None, "all": quotients}


def figure(found: dict[str, Any], title: str, path: Path) -> None:
    """Best validation accuracy so far over time, of every repetition of the search."""
    drawn = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = drawn.subplots()
    for tool in TOOLS:
        for number, runs in enumerate(found["search"]):
            best, points = 0.0, []
            for trial in runs[tool]["trials"]:
                best = max(best, trial["accuracy"])
                points.append((trial["seconds"], best))
            axes.step(*zip(*points, strict=True), where="post", color=COLORS[tool], label=None if number else tool)
    axes.set(xlabel="time since the command (s)", ylabel="best validation accuracy so far", title=title)
    axes.grid(visible=True)
    axes.legend(loc="lower right")
    drawn.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
