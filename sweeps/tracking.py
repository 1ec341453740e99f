"""Journal -> MLflow. The only file that imports mlflow.

A sweep is a run, each trial a child run of it. Every run is found again by its tags, so that a store that was away, or
a sweep that is resumed, never leads to a second run for the same thing.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sqlite3
import tempfile
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

# Set before MLflow is imported: it reports its use to its makers unless told otherwise, and a server that is away
# would hold each call for four minutes.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from conf.schema import ConfigError, Tracking
from sweeps import figures, journal, store
from sweeps.journal import (
    EpochEnded,
    Event,
    SweepEnded,
    SweepRecord,
    SweepStarted,
    TrialEnded,
    TrialRecord,
    TrialStarted,
)

log = logging.getLogger(__name__)

RETRY_AFTER = 30  # seconds before a store that did not answer is asked again
LONGEST_REASON = 1000  # characters; MLflow refuses tags of more than 8,000


class Tracker:
    """Shows sweeps in MLflow. One per process: `mlflow run`'s own run, if there is one, is the parent of them all."""

    def __init__(self, tracking: Tracking) -> None:
        """Raises `ConfigError` when the store cannot be opened."""
        self.uri = store.uri(tracking.uri)
        self._experiment_name = tracking.experiment
        self._project_run = os.environ.get("MLFLOW_RUN_ID")
        try:
            with store.being_created(self.uri):
                self._client = MlflowClient(self.uri)
                self._client.search_experiments(max_results=1)
        except (MlflowException, OSError, sqlite3.Error) as error:
            raise ConfigError(f"tracking.uri={self.uri}: {_first_line(error)}") from error
        self._sweeps: dict[str, _SweepRuns] = {}
        self._pending: deque[tuple[SweepStarted, Path, Event]] = deque()
        self._next_try = 0.0
        self._told = False

    def show(self, record: SweepRecord, event: Event) -> None:
        """Log an event, after all that a store which was away has not got yet."""
        assert record.started is not None
        self._pending.append((record.started, record.directory, event))
        if time.monotonic() >= self._next_try:
            self._catch_up()

    def close(self) -> int:
        """End what is still open as KILLED: nobody works on it any more. Returns how many events were not logged."""
        self._catch_up(last=True)
        return len(self._pending)

    def _catch_up(self, *, last: bool = False) -> None:
        try:
            while self._pending:
                started, directory, event = self._pending[0]
                self._runs(started, directory).show(event)
                self._pending.popleft()
            if last:
                for runs in self._sweeps.values():
                    runs.close()
        except (MlflowException, OSError) as error:
            self._next_try = time.monotonic() + RETRY_AFTER
            if not self._told:
                log.warning("%s does not answer; the sweep goes on: %s", self.uri, _first_line(error))
                self._told = True

    def _runs(self, started: SweepStarted, directory: Path) -> _SweepRuns:
        if started.sweep not in self._sweeps:
            experiment = self._experiment(started)
            record = SweepRecord(directory)
            self._sweeps[started.sweep] = _SweepRuns(self._client, experiment, started, record, self._project_run)
        return self._sweeps[started.sweep]

    def comparison(self, sweep: str) -> str:
        """The address of MLflow's page that compares a sweep's trials, best first."""
        server = self.uri.rstrip("/") if self.uri.startswith("http") else "http://127.0.0.1:5000"
        return f"{server}/{self._sweeps[sweep].comparison()}"

    def ui_command(self) -> str:
        """What shows this store in a browser."""
        if self.uri.startswith("http"):
            return "the server is running"
        return "mlflow ui" if self.uri == store.local() else f"mlflow ui --backend-store-uri {self.uri}"

    def _experiment(self, started: SweepStarted) -> str:
        """The id of the sweep's experiment. Under `mlflow run` it is the project run's: MLflow wants them in one."""
        if self._project_run:
            return str(self._client.get_run(self._project_run).info.experiment_id)
        name = self._experiment_name or started.dataset
        if started.source == "standin":  # its numbers must never stand among real ones
            name += "-standin"
        known = self._client.get_experiment_by_name(name)
        if known is not None:
            return str(known.experiment_id)
        return str(self._client.create_experiment(name, artifact_location=self._artifact_location(name)))

    def _artifact_location(self, name: str) -> str | None:
        """Beside a local database, absolute, so that it is found from every folder; a server has its own place."""
        if not self.uri.startswith("sqlite:///"):
            return None
        return (store.database(self.uri).parent / "mlruns" / quote(name, safe="")).as_uri()


class _SweepRuns:
    """The runs of one sweep. `record` is what of it is logged."""

    def __init__(
        self,
        client: MlflowClient,
        experiment: str,
        started: SweepStarted,
        record: SweepRecord,
        project_run: str | None,
    ) -> None:
        self._client = client
        self._experiment = experiment
        self._started = started
        self._record = record
        self._project_run = project_run
        self._shared = {
            "sweep": started.sweep,
            "model": started.model,
            "dataset": started.dataset,
            "tuner": started.tuner,
            "seed": str(started.seed),
            "source": started.source,
        }
        self._parent = ""  # until the first event
        self._trials: dict[int, str] = {}
        self._epochs: dict[int, int] = {}  # logged of each trial
        self._open: set[str] = set()
        self._last: Event | None = None

    def show(self, event: Event) -> None:
        """Log an event; the same one again, from its beginning, when the store failed in the middle of it."""
        if event is not self._last:
            self._record.add(event)
            self._last = event
        match event:
            case SweepStarted():
                self._start_sweep(event)
            case TrialStarted():
                self._start_trial(event)
            case EpochEnded():
                self._log_epoch(event)
            case TrialEnded():
                self._end_trial(self._record.trials[event.trial])
            case SweepEnded():
                self._end_sweep(event)

    def close(self) -> None:
        for run in list(self._open):
            self._terminate(run, "KILLED")

    def comparison(self) -> str:
        where = f"tags.kind = 'trial' and tags.sweep = '{self._started.sweep}'"
        return (
            f"#/experiments/{self._experiment}/runs?workflowType=machine_learning&searchFilter={quote(where)}"
            f"&orderByKey={quote('metrics.`test/accuracy`')}&orderByAsc=false&compareRunsMode=CHART"
        )

    def _start_sweep(self, event: SweepStarted) -> None:
        tags = {"kind": "sweep", "objective": event.objective, "data.digest": event.digest, **self._shared}
        if event.git_commit:
            tags |= {"git.commit": event.git_commit, "git.dirty": str(event.git_dirty).lower()}
        if self._project_run:
            tags["mlflow.parentRunId"] = self._project_run
        name = f"{event.model} {event.tuner} {_short(event.sweep)}"
        self._parent = self._find_or_create(name, tags, event.time)
        self._client.log_text(self._parent, event.config, "config.yaml")

    def _start_trial(self, event: TrialStarted) -> None:
        tags = {
            "kind": "trial",
            "trial": str(event.trial),
            "baseline": str(event.trial == 0).lower(),
            "trial.seed": str(event.seed),
            "mlflow.parentRunId": self._parent,
            **self._shared,
        }
        name = f"{self._started.model}-{_short(self._started.sweep)}-{event.trial:02d}"
        run = self._trials[event.trial] = self._find_or_create(name, tags, event.time)
        self._client.update_run(run, "RUNNING")  # again, after another attempt or before a Hyperband promotion
        params = [Param(name, str(value)) for name, value in event.values.items()]
        self._client.log_batch(run, params=params, tags=[RunTag("attempt", str(event.attempt))])
        self._client.log_inputs(run, [self._dataset()])

    def _log_epoch(self, event: EpochEnded) -> None:
        if event.epoch <= self._epochs.get(event.trial, 0):
            return  # another attempt: a trial is a pure function, so these are the same numbers
        now = int(event.time * 1000)
        metrics = [Metric(name, value, now, event.epoch) for name, value in event.metrics.items()]
        self._client.log_batch(self._trials[event.trial], metrics)
        self._epochs[event.trial] = event.epoch

    def _end_trial(self, trial: TrialRecord) -> None:
        run = self._trials[trial.trial]
        # At step 0: MLflow draws a metric that has only a step 0 as bars, any other single step as a lone dot.
        costs = {f"cost/{name}": value for name, value in trial.cost.items()}
        self._log_at_step_0(run, {**trial.test, **costs}, trial.ended)
        tags = [RunTag("status.reason", trial.reason[:LONGEST_REASON])]
        if trial.best_epoch is not None:
            tags.append(RunTag("best_epoch", str(trial.best_epoch)))
        self._client.log_batch(run, tags=tags)
        if trial.traceback:
            self._client.log_text(run, trial.traceback, "traceback.txt")
        if trial.epochs_run:
            self._log_loss_curves(run, trial)
        self._terminate(run, "FINISHED" if trial.status == "completed" else "FAILED", trial.ended)

    def _log_loss_curves(self, run: str, trial: TrialRecord) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "loss_curves.png"
            name = f"{self._started.model} on {self._started.dataset}, trial {trial.trial}"
            figures.loss_curves(trial.curves, name, path, held_out=self._started.held_out)
            self._client.log_artifact(run, str(path))

    def _end_sweep(self, event: SweepEnded) -> None:
        best = self._record.best
        if best is not None and best.best_epoch is not None:
            chosen = {
                name: curve[best.best_epoch - 1] for name, curve in best.curves.items() if name.startswith("val/")
            }
            self._log_at_step_0(self._parent, {**chosen, **best.test}, event.time)
            self._client.set_tag(self._parent, "best_trial", str(best.trial))
        self._client.log_artifact(self._parent, str(self._record.directory / journal.FILE))
        self._terminate(self._parent, "FINISHED" if event.status == "completed" else "FAILED", event.time)

    def _log_at_step_0(self, run: str, metrics: Mapping[str, float], when: float | None) -> None:
        now = int((when or 0) * 1000)
        # Six digits: MLflow's pages print every one there is.
        self._client.log_batch(run, [Metric(name, float(f"{value:.6g}"), now, 0) for name, value in metrics.items()])

    def _dataset(self) -> DatasetInput:
        started = self._started
        source = json.dumps({"dataset": started.dataset, "source": started.source})
        dataset = Dataset(started.dataset, started.digest, started.source, source)
        return DatasetInput(dataset, [InputTag("mlflow.data.context", "train, validation, test")])

    def _find_or_create(self, name: str, tags: dict[str, str], when: float) -> str:
        """The run with these `kind`, `sweep` and `trial`."""
        where = " and ".join(f"tags.{key} = '{tags[key]}'" for key in ("kind", "sweep", "trial") if key in tags)
        found = self._client.search_runs([self._experiment], where, max_results=1)
        run = found[0] if found else self._client.create_run(self._experiment, int(when * 1000), tags, name)
        self._open.add(run.info.run_id)
        return str(run.info.run_id)

    def _terminate(self, run: str, status: str, when: float | None = None) -> None:
        self._client.set_terminated(run, status, int(when * 1000) if when else None)
        self._open.discard(run)


def _short(sweep: str) -> str:
    """Four letters that tell a sweep's runs from another's in a legend."""
    return hashlib.sha256(sweep.encode()).hexdigest()[:4]


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
