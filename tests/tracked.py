"""Sweeps of fake trials in a real store, and readers of that store."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from conf.schema import Job, Value
from sweeps import driver, journal
from sweeps.driver import Listener, Search
from sweeps.journal import Event, TrialRecord
from sweeps.metrics import CURVES
from sweeps.search.ask_tell import Proposal
from sweeps.tracking import store
from sweeps.tracking.client import search_runs
from sweeps.tracking.extras import ExtrasOf, no_extras
from sweeps.tracking.tracker import Tracker
from sweeps.trials.engine import Message
from tests.conftest import composed_job
from tests.fakes import FakeEngine, Trial, learn, plan


class ListOracle:
    """Proposes a list of trials, whatever comes of them."""

    def __init__(self, proposals: Sequence[Proposal]) -> None:
        self._proposals = proposals
        self._asked = 0

    def ask(self) -> Proposal | None:
        if self._asked == len(self._proposals):
            return None
        self._asked += 1
        return self._proposals[self._asked - 1]

    def tell(self, trial: int, objective: float | None, curve: Sequence[float] = ()) -> None:
        """The list does not depend on it."""

    def replay(self, trial: int, values: object) -> None:
        proposal = self.ask()
        assert proposal is not None
        assert proposal.trial == trial

    def extend(self, trials: int) -> None:
        """The list is as long as it is."""

    def candidates(self) -> set[int]:
        return {proposal.trial for proposal in self._proposals[: self._asked]}


class InterruptedEngine(FakeEngine):
    """Interrupts as Ctrl-C does, when it has been given some trials and the driver waits for them."""

    def __init__(self, after: int, workers: int = 2) -> None:
        super().__init__(workers=workers)
        self._after = after

    def next(self, timeout: float) -> Message | None:
        if len(self.specs) >= self._after:
            raise KeyboardInterrupt
        return super().next(timeout)


def small(trials: int = 3, epochs: int = 3, **tracking: Any) -> Job:
    """A job of so many trials and epochs. Its text has other numbers: to compose it anew would take 0.15 s."""
    job = composed_job("model=lstm", "model.space.dropout=0.1")
    tracked_where = replace(job.config.tracking, **tracking)
    return job._replace(config=replace(job.config, trials=trials, epochs=epochs, tracking=tracked_where))


def proposal(job: Job, trial: int, initial_epoch: int = 0, epochs: int | None = None) -> Proposal:
    """The defaults for trial 0, and another number of units for each other trial."""
    values: dict[str, Value] = dict(plan(job).space.defaults())
    if trial:
        values["lstm_units"] = 20 * trial
    return Proposal(trial, values, initial_epoch, epochs or job.config.epochs)


def search_of(job: Job, *listeners: Listener, past: Sequence[Event] = (), **where: Any) -> Search:
    """A sweep that is about to run; `where` are a directory and a dataset."""
    oracle = ListOracle([proposal(job, trial) for trial in range(job.config.trials)])
    return Search(plan(job, **where), oracle, listeners, past)


def opened(job: Job, **options: Any) -> Tracker:
    return Tracker(store.uri(job.config.tracking.uri), job.config.tracking.experiment, **options)


def tracked(job: Job, engine: FakeEngine | None = None, tracker: Tracker | None = None) -> Search:
    """A whole sweep that the store has."""
    tracker = tracker or opened(job)
    search = search_of(job, tracker)
    driver.run([search], engine or FakeEngine())
    assert tracker.close()
    return search


def untracked(job: Job, engine: FakeEngine | None = None) -> list[Event]:
    """The journal of a whole sweep that no store has."""
    search = search_of(job)
    driver.run([search], engine or FakeEngine())
    return journal.read(search.plan.directory)


def interrupted(job: Job, *listeners: Listener, after: int) -> None:
    """A sweep that was cut short when this number of trials had started."""
    search = search_of(job, *listeners)
    with pytest.raises(KeyboardInterrupt):
        driver.run([search], InterruptedEngine(after))
    search.close()
    assert all(listener.close() is not False for listener in listeners)


def resumed(job: Job, *listeners: Listener, trial: Trial = learn) -> Search:
    """The same sweep, run to its end."""
    search = search_of(job, *listeners, past=journal.read(plan(job).directory))
    driver.run([search], FakeEngine(trial))
    assert all(listener.close() is not False for listener in listeners)
    return search


def fill_store(folder: Path, empty_store: Path, job: Job, extras: ExtrasOf = no_extras) -> str:
    """Make a store with a finished sweep on each dataset, `a/imdb` and `a/reuters`, and an interrupted `cut/imdb`.

    Returns its URI. Nothing else is left of the sweeps.
    """
    uri, outputs = f"sqlite:///{folder / 'mlflow.db'}", folder / "outputs"
    shutil.copy(empty_store, folder / "mlflow.db")
    tracker = Tracker(uri, extras=extras)
    reuters = search_of(job, tracker, directory=outputs / "a" / "reuters", dataset="reuters")
    driver.run([search_of(job, tracker, directory=outputs / "a" / "imdb"), reuters], FakeEngine())
    cut = search_of(job, tracker, directory=outputs / "cut" / "imdb")
    with pytest.raises(KeyboardInterrupt):
        driver.run([cut], InterruptedEngine(after=2, workers=1))
    cut.close()
    assert tracker.close()
    shutil.rmtree(outputs)
    return uri


def catch_up(tracker: Tracker, directory: Path, events: Sequence[Event] | None = None) -> None:
    """Log a journal as `python -m pipelines.sync` does."""
    tracker.catch_up(directory, journal.read(directory) if events is None else events)
    assert tracker.close()


def client() -> MlflowClient:
    return MlflowClient(store.uri(None))


def runs(kind: str, uri: str | None = None) -> list[Run]:
    found = search_runs(MlflowClient(store.uri(uri)), f"tags.kind = '{kind}'")
    return sorted(found, key=lambda run: str(run.info.run_name))


def history(run: Run, metric: str, uri: str | None = None) -> list[tuple[int, float]]:
    points = MlflowClient(store.uri(uri)).get_metric_history(run.info.run_id, metric)
    return [(point.step, point.value) for point in points]


def assert_curves_logged_once(run: Run, trial: TrialRecord, uri: str | None = None) -> None:
    for metric in CURVES:
        assert history(run, metric, uri) == list(enumerate(trial.curves[metric], start=1)), metric


def artifacts(run: Run) -> dict[str, Path]:
    folder = Path(run.info.artifact_uri.removeprefix("file://"))
    return {path.name: path for path in folder.iterdir()} if folder.exists() else {}
