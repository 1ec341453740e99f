"""One task's recorded curves, as trials of which every epoch takes its recorded time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.curves.tasks import FOLDER, TASKS, Task

DRAWS = 200
START = 0.1  # epochs that the building and tracing of a model takes as long as


class Epoch(NamedTuple):
    validation: float
    test: float
    seconds: float


class Table(NamedTuple):
    """The curves of all configurations of a task's grid; `runs` are those of each, by its place in the grid."""

    task: Task
    columns: list[str]
    curves: NDArray[np.float64]  # (runs, epochs, columns)
    runs: Mapping[tuple[float, ...], list[int]]

    def trial(self, values: Mapping[str, Any], seed: int) -> list[Epoch]:
        """Return the epochs of a trial of these values; where a configuration was trained twice, the seed chooses."""
        runs = self.runs[tuple(float(values[name]) for name in self.task.grid)]
        places = [self.columns.index(name) for name in ("val/accuracy", "test/accuracy", "seconds")]
        return [Epoch(*map(float, row)) for row in self.curves[runs[seed % len(runs)]][:, places]]

    @property
    def best(self) -> tuple[float, float]:
        """The test accuracy of what validation would choose if all configurations were trained, and its standard error.

        It is the mean over draws of one run of each configuration, each with the epoch that validation chose. (The best
        test accuracy of the table itself is its luckiest one, and no search by validation would settle there.) The
        error is that of a share of the test texts.
        """
        validation, test = (self.curves[:, :, self.columns.index(name)] for name in ("val/accuracy", "test/accuracy"))
        epochs = validation.argmax(axis=1)[:, None]
        reached, tested = (np.take_along_axis(each, epochs, axis=1)[:, 0] for each in (validation, test))
        generator = np.random.default_rng(0)
        drawn = np.array([[generator.choice(runs) for runs in self.runs.values()] for _ in range(DRAWS)])
        chosen = np.take_along_axis(drawn, reached[drawn].argmax(axis=1)[:, None], axis=1)
        best = float(tested[chosen].mean())
        return best, float(np.sqrt(best * (1 - best) / self.task.test))


def start_of(epochs: Sequence[Epoch]) -> float:
    """Return the seconds until the first step of a trial of these epochs, also of one that goes on."""
    return START * sum(epoch.seconds for epoch in epochs) / len(epochs)


def read(name: str) -> Table:
    """Read a task's table; raises `SystemExit` where it has not been recorded."""
    path = FOLDER / f"{name}.npz"
    if not path.exists():
        raise SystemExit(f"error: {name}: not recorded; python -m tests.benchmarks.curves.recording {name} does so")
    with np.load(path, allow_pickle=False) as arrays:
        return of(TASKS[name], dict(arrays))


def of(task: Task, arrays: Mapping[str, NDArray[Any]]) -> Table:
    """Return the table of recorded arrays, which are described in `tests.benchmarks.curves`."""
    runs: dict[tuple[float, ...], list[int]] = {}
    for run, configuration in enumerate(arrays["configuration"]):
        runs.setdefault(tuple(float(value) for value in arrays["values"][configuration]), []).append(run)
    curves = arrays["curves"].astype(np.float64)
    return Table(task, [str(name) for name in arrays["columns"]], curves, runs)
