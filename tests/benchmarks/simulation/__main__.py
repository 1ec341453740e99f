"""Simulate searches on the recorded curves: how long until validation has chosen as well as can be known?

    python -m tests.benchmarks.simulation [tasks=lstm_reuters,…] [seeds=200] [workers=2,8] [trials=100] [methods=…]

Regret is the test accuracy of what validation would choose of the whole table, less that of what it has chosen so far.
Prints, for each task and number of workers, the simulated minutes of every method until its mean over the seeds stays
within one standard error, with a 90 % interval over seeds, and the mean at the end in points.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

from rich.console import Console
from rich.table import Table as Shown

from tests.benchmarks.curves.tasks import FOLDER, TASKS
from tests.benchmarks.simulation import regret, table
from tests.benchmarks.simulation.clock import Seen
from tests.benchmarks.simulation.methods import OURS, PEERS, search

OPTIONS = {"tasks": "", "seeds": "200", "workers": "2,8", "trials": "100", "methods": ""}


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
                shown = Shown("method", "minutes", "90 %", "regret", title=f"{task}, {workers} workers, {seeds} seeds")
                for method in methods:
                    run = partial(search, method, task, workers, trials)
                    found = list(pool.map(run, range(1, seeds + 1), chunksize=max(1, seeds // 16)))
                    shown.add_row(method, *_row(found, *table.read(task).best))
                Console().print(shown)


def _row(searches: list[list[Seen]], best: float, error: float) -> tuple[str, str, str]:
    times, regrets = regret.curves(searches, best)
    seconds, low, high = regret.settled(times, regrets, error)
    interval = f"{low / 60:.1f} to {high / 60:.1f}"
    return f"{seconds / 60:.1f}", interval, f"{100 * regrets[:, -1].mean():.2f}"


if __name__ == "__main__":
    main()
