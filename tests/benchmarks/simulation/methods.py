"""The searches that are compared, by their names, and how each fares on a table.

They are not in `__main__`: a process of a pool does not import that module of a package.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial

from tests.benchmarks.simulation import ours, peers, table
from tests.benchmarks.simulation.clock import Seen
from tests.benchmarks.simulation.table import Table

OURS = {
    "random": ("tuner=random",),
    "random, median": ("tuner=random", "stopping=median"),
    "bayesian": ("tuner=bayesian",),
    "bayesian, 4 random": ("tuner=bayesian", "tuner.initial_points=4"),
    "hyperband": ("tuner=hyperband", "stopping=none"),
    "mobster": ("tuner=mobster", "stopping=none"),
}
PEERS: dict[str, Callable[..., peers.Tool]] = {
    "Keras Tuner, random": partial(peers.KerasTuner, "RandomSearchOracle"),
    "Keras Tuner, Hyperband": partial(peers.KerasTuner, "HyperbandOracle"),
    "Keras Tuner, Bayesian": partial(peers.KerasTuner, "BayesianOptimizationOracle"),
    "Optuna, TPE": partial(peers.Optuna, "tpe, none"),
    "Optuna, TPE, median": partial(peers.Optuna, "tpe, median"),
    "Optuna, TPE, Hyperband": partial(peers.Optuna, "tpe, hyperband"),
}


def seen(method: str, recorded: Table, workers: int, trials: int, seed: int) -> list[Seen]:
    """Run one search."""
    if method in OURS:
        job = ours.job(recorded.task, [*OURS[method], f"trials={trials}"])
        return ours.search(recorded, job, workers, seed)
    with tempfile.TemporaryDirectory() as folder:  # Keras Tuner writes files there
        return peers.search(recorded, PEERS[method](recorded, trials, seed, folder), workers, seed)


def search(method: str, task: str, workers: int, trials: int, seed: int) -> list[Seen]:
    """Run one search of a task, in a process of its own."""
    return seen(method, table.read(task), workers, trials, seed)
