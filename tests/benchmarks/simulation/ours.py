"""Searches of this project on a table: the driver, its journal, an oracle and a stopping rule as they are."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from conf.schema import Config, Job
from sweeps import driver
from sweeps.driver import Search
from sweeps.metrics import CURVES
from sweeps.search.oracle import Oracle
from sweeps.trials import early_stopping
from sweeps.trials.engine import Finished, Message, Started
from sweeps.trials.spec import Checkpoint, Cost, EpochReport, TrialResult, TrialSpec
from tests.benchmarks.commands import job_of
from tests.benchmarks.curves.tasks import Task
from tests.benchmarks.simulation.clock import Clock, Seen
from tests.benchmarks.simulation.table import Epoch, Table, start_of
from tests.fakes import plan

RATE = "learning_rate"  # the one hyperparameter of a task that is the optimizer's
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # where flushing takes no time


class Running(NamedTuple):
    """A trial on a worker: its spec, the epochs that it has had, and all that it could have."""

    spec: TrialSpec
    done: list[Epoch]
    all: list[Epoch]


class TableEngine:
    """A `sweeps.trials.engine.Engine` of so many workers, on which trials are rows of a table."""

    def __init__(self, table: Table, workers: int, seed: int) -> None:
        self.clock = Clock()
        self._table, self._workers, self._seed = table, workers, seed
        self._messages: list[Message] = []
        self._out = 0
        self._stopped = ""

    @property
    def busy(self) -> int:
        return self._out

    @property
    def free(self) -> int:
        return self._workers - self._out

    def expect(self, trials: int) -> None:
        """Leave the workers as they are."""

    def submit(self, function: str, spec: TrialSpec) -> None:
        epochs = self._table.trial(spec.values, self._seed + spec.trial)
        self._out += 1
        self._messages.append(Started(spec))
        running = Running(spec, epochs[: spec.initial_epoch], epochs[: spec.epochs])
        self.clock.after(start_of(epochs) + running.all[spec.initial_epoch].seconds, running)

    def stop(self, sweep: str, reason: str) -> None:
        self._stopped = reason

    def kill(self, spec: TrialSpec, reason: str) -> None:
        raise NotImplementedError("no simulated search has a limit of a trial's time")

    def next(self, timeout: float) -> Message | None:
        if self._messages:
            return self._messages.pop(0)
        running = self.clock.next()
        if running is None:
            return None
        spec, done, epochs = running
        done.append(epochs[len(done)])
        self.clock.ended(done[-1])
        curve = [epoch.validation for epoch in done]
        reason = self._stopped or early_stopping.reason_to_end(spec.objective, curve, spec.patience, spec.bar)
        if len(done) == spec.epochs or reason:
            self._messages.append(Finished(spec, _result(spec, curve, done, reason)))
            self._out -= 1
        else:
            self.clock.after(epochs[len(done)].seconds, running)
        values = dict.fromkeys(CURVES, done[-1].validation)
        return EpochReport(spec.sweep, spec.trial, spec.attempt, len(done), values)


def _result(spec: TrialSpec, curve: Sequence[float], done: Sequence[Epoch], reason: str) -> TrialResult:
    best = early_stopping.best_epoch(spec.objective, curve)
    cost = Cost(
        sum(epoch.seconds for epoch in done[spec.initial_epoch :]), len(done) - spec.initial_epoch, 1, 1, 0.1, 0.1
    )
    curves = {name: list(curve) for name in CURVES}
    test = {"test/accuracy": done[best - 1].test, "test/loss": 0.0, "test/macro_f1": 0.0}
    state = Checkpoint([np.zeros(1)], [np.zeros(1)], [np.zeros(1)], curves)
    ended = "finished" if len(done) == spec.epochs else reason
    return TrialResult(curves, curve[best - 1], best, test, cost, ended, state)


def job(task: Task, overrides: Sequence[str]) -> Job:
    """Return the job of a search of the task's grid, with the tuner and the stopping rule that the overrides name."""
    space = [
        f"model.space.{name}={list(values)}".replace(" ", "") for name, values in task.grid.items() if name != RATE
    ]
    space += [f"optimizer.space.{RATE}={list(task.grid[RATE])}".replace(" ", "")]
    data = "imdb" if task.dataset.startswith("debian") else task.dataset  # its texts are never read
    return job_of(
        [f"model={task.model}", f"data={data}", f"epochs={task.epochs}", *space, "references=none", *overrides]
    )


def search(table: Table, configured: Job, workers: int, seed: int) -> list[Seen]:
    """Run a whole search, and return what was seen."""
    config: Config = replace(configured.config, seed=seed)
    engine = TableEngine(table, workers, seed)
    (dataset,) = config.datasets
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        planned = plan(Job(config, configured.yaml), Path(folder, "sweep", dataset), dataset)
        search = Search(planned, Oracle(config, planned.space))
        try:
            driver.run([search], engine)
        finally:
            search.close()
    return engine.clock.seen
