"""One task's recorded curves, as trials of which every epoch takes its recorded time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.curves.tasks import FOLDER, TASKS, Task


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
        """The test accuracy of the configuration that is best in the mean of its runs, and its standard error.

        Each run counts with the epoch that validation chose. The error is that of a share of the test texts.
        """
        chosen = [self._chosen(runs) for runs in self.runs.values()]
        best = max(chosen)
        return best, float(np.sqrt(best * (1 - best) / self.task.test))

    def _chosen(self, runs: list[int]) -> float:
        validation, test = (
            self.curves[runs][:, :, self.columns.index(name)] for name in ("val/accuracy", "test/accuracy")
        )
        return float(np.take_along_axis(test, validation.argmax(axis=1)[:, None], axis=1).mean())


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
