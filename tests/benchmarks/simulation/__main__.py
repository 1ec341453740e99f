"""Simulate searches on the recorded curves: how long until validation has chosen as well as can be known?

    python -m tests.benchmarks.simulation [tasks=lstm_reuters,…] [seeds=200] [workers=2,8] [trials=100] [methods=…]

A search is settled when the test accuracy of what validation has chosen stays within one standard error of the table's
best. Prints, for each task and number of workers, the median simulated minutes of every method until that, the share of
the searches that were never settled, and the mean regret at the end in points.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

from rich.console import Console
from rich.table import Table as Shown

from tests.benchmarks.curves.tasks import FOLDER, TASKS
from tests.benchmarks.simulation import ours, peers, table
from tests.benchmarks.simulation.clock import Seen, settled
from tests.benchmarks.simulation.table import Table

OURS = {
    "random": ("tuner=random",),
    "random, median": ("tuner=random", "stopping=median"),
    "bayesian": ("tuner=bayesian",),
    "hyperband": ("tuner=hyperband", "stopping=none"),
}
PEERS: dict[str, Callable[..., peers.Tool]] = {
    "Keras Tuner, random": partial(peers.KerasTuner, "RandomSearchOracle"),
    "Keras Tuner, Hyperband": partial(peers.KerasTuner, "HyperbandOracle"),
    "Keras Tuner, Bayesian": partial(peers.KerasTuner, "BayesianOptimizationOracle"),
    "Optuna, TPE": partial(peers.Optuna, "tpe, none"),
    "Optuna, TPE, median": partial(peers.Optuna, "tpe, median"),
    "Optuna, TPE, Hyperband": partial(peers.Optuna, "tpe, hyperband"),
}
OPTIONS = {"tasks": "", "seeds": "200", "workers": "2,8", "trials": "100", "methods": ""}


def seen(method: str, recorded: Table, workers: int, trials: int, seed: int) -> list[Seen]:
    """Run one search."""
    if method in OURS:
        job = ours.job(recorded.task, [*OURS[method], f"trials={trials}"])
        return ours.search(recorded, job, workers, seed)
    with tempfile.TemporaryDirectory() as folder:  # Keras Tuner writes files there
        return peers.search(recorded, PEERS[method](recorded, trials, seed, folder), workers, seed)


def outcome(method: str, task: str, workers: int, trials: int, seed: int) -> tuple[float, float]:
    """Return the seconds until a search was settled, and its regret at the end."""
    recorded = table.read(task)
    best, error = recorded.best
    epochs = seen(method, recorded, workers, trials, seed)
    return settled(epochs, best - error), best - epochs[-1].test


def main() -> None:
    options = OPTIONS | dict(argument.split("=", 1) for argument in sys.argv[1:])
    if unknown := options.keys() - OPTIONS:
        sys.exit(f"error: {', '.join(unknown)}: no option; there are {', '.join(OPTIONS)}")
    recorded = [name for name in TASKS if (FOLDER / f"{name}.npz").exists()]
    tasks = options["tasks"].split(",") if options["tasks"] else recorded
    methods = options["methods"].split("; ") if options["methods"] else [*OURS, *PEERS]
    seeds, trials = int(options["seeds"]), int(options["trials"])
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        for task in tasks:
            for workers in map(int, options["workers"].split(",")):
                shown = Shown("method", "minutes", "never", "regret", title=f"{task}, {workers} workers, {seeds} seeds")
                for method in methods:
                    run = partial(outcome, method, task, workers, trials)
                    found = list(pool.map(run, range(1, seeds + 1), chunksize=max(1, seeds // 16)))
                    shown.add_row(method, *_row(found))
                Console().print(shown)


def _row(found: list[tuple[float, float]]) -> tuple[str, str, str]:
    minutes, regrets = ([each[place] for each in found] for place in (0, 1))
    never = sum(each == float("inf") for each in minutes) / len(minutes)
    return f"{statistics.median(minutes) / 60:.1f}", f"{never:.0%}", f"{100 * statistics.mean(regrets):.2f}"


if __name__ == "__main__":
    main()
