"""Journal -> MLflow. The only file that imports mlflow.

A sweep is a run, each trial a child run of it. What the store holds is compared with what the journal says, and what is
missing is logged: so a store that was away, a sweep that is resumed and a journal that is logged again all lead to the
same runs, and never to a second one for the same thing.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import queue
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

# Set before MLflow is imported: it reports its use to its makers unless told otherwise, and a server that is away
# would hold each call for four minutes.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from conf.schema import ConfigError
from sweeps import figures, journal, process, report, store, verdict
from sweeps.journal import Event, SweepRecord, SweepStarted, TrialRecord
from sweeps.spec import CURVES

log = logging.getLogger(__name__)

RETRY_AFTER = 10.0  # seconds before a store that did not answer is asked again
LAST_TRIES = 5.0  # seconds in which it is asked again at the end
OPENING = 20.0  # seconds that a sweep waits for its store before it starts without
LONGEST_REASON = 1000  # characters; MLflow refuses tags of more than 8,000
LARGEST_BATCH = 1000  # metrics; MLflow refuses more
ENDED = {"completed": "FINISHED", "failed": "FAILED"}
# MLflow wraps what a database says only once a store is open.
AWAY = (MlflowException, SQLAlchemyError, OSError, sqlite3.Error)
DRIVER = "driver."  # prefix of the tags that tell which process runs a sweep


class Tracker:
    """Shows sweeps in MLflow, from a thread of its own: training never waits for the store.

    One per process: `mlflow run`'s own run, if there is one, is the parent of all its sweeps.
    """

    def __init__(self, uri: str, experiment: str | None = None) -> None:
        self.uri = uri
        self._experiment_name = experiment
        self._project_run = os.environ.get("MLFLOW_RUN_ID")
        self._events: queue.SimpleQueue[tuple[SweepStarted, Path, Sequence[Event]] | None] = queue.SimpleQueue()
        self._sweeps: dict[str, _SweepRuns] = {}
        self._opened = threading.Event()
        self._refused: Exception | None = None
        self._all_logged = False
        self._thread = threading.Thread(target=self._run, name="mlflow", daemon=True)
        self._thread.start()

    def wait_until_opened(self) -> None:
        """Raises `ConfigError` when the store cannot be used at all; for one that does not answer it does not wait."""
        self._opened.wait(OPENING)
        if self._refused is not None:
            raise ConfigError(f"tracking.uri={self.uri}: {_first_line(self._refused)}") from self._refused

    def show(self, record: SweepRecord, event: Event) -> None:
        """Have an event logged, soon."""
        assert record.started is not None
        self._events.put((record.started, record.directory, [event]))

    def recall(self, directory: Path, past: Sequence[Event]) -> None:
        """Have all that a journal says logged, as far as the store has not got it."""
        for started in past[:1]:
            assert isinstance(started, SweepStarted)
            self._events.put((started, directory, past))

    def close(self, limit: float | None = None) -> bool:
        """Log what there still is and end what is still open as KILLED: nobody works on it any more.

        Waits at most `limit` seconds. Returns whether everything is in the store.
        """
        self._events.put(None)
        self._thread.join(limit)
        return not self._thread.is_alive() and self._all_logged

    def comparison(self, sweep: str) -> str:
        """The address of MLflow's page that compares a sweep's trials, best first."""
        server = self.uri.rstrip("/") if self.uri.startswith("http") else "http://127.0.0.1:5000"
        return f"{server}/{self._sweeps[sweep].comparison()}"

    def ui_command(self) -> str:
        """What shows this store in a browser."""
        if self.uri.startswith("http"):
            return "the server is running"
        return "mlflow ui" if self.uri == store.local() else f"mlflow ui --backend-store-uri {self.uri}"

    def _run(self) -> None:
        client = self._open()
        closing = told = False
        next_try = time.monotonic()
        gives_up = math.inf
        while not self._all_logged and time.monotonic() < gives_up:
            if closing:
                time.sleep(max(0.0, next_try - time.monotonic()))
            elif self._receive(next_try - time.monotonic()):
                closing, gives_up = True, time.monotonic() + LAST_TRIES
            elif time.monotonic() < next_try:
                continue
            try:
                if client is None:
                    client = self._connect()
                self._log(client, closing=closing)
                self._all_logged = closing
            except AWAY as error:
                next_try = time.monotonic() + (1.0 if closing else RETRY_AFTER)
                if not told:
                    log.warning("%s does not answer; the sweep goes on without: %s", self.uri, _first_line(error))
                    told = True

    def _open(self) -> MlflowClient | None:
        """The store, unless it is away; what is wrong with a local one is known at once."""
        try:
            return self._connect()
        except AWAY as error:
            if self.uri.startswith(store.SQLITE) and "database is locked" not in str(error):
                self._refused = error
            return None
        finally:
            self._opened.set()

    def _connect(self) -> MlflowClient:
        with store.being_created(self.uri):
            client = MlflowClient(self.uri)
            client.search_experiments(max_results=1)
        _close_abandoned(client)
        return client

    def _receive(self, wait: float) -> bool:
        """Take in all events there are; wait for one if nothing else is to be done. Returns whether it was the last."""
        pending = not all(runs.complete for runs in self._sweeps.values())
        timeout = max(0.0, wait) if pending else None
        try:
            while True:
                entry = self._events.get(timeout=timeout)
                if entry is None:
                    return True
                started, directory, events = entry
                if started.sweep not in self._sweeps:
                    self._sweeps[started.sweep] = _SweepRuns(started, directory)
                for event in events:
                    self._sweeps[started.sweep].add(event)
                timeout = 0.0
        except queue.Empty:
            return False

    def _log(self, client: MlflowClient, *, closing: bool) -> None:
        for runs in self._sweeps.values():
            runs.log(client, lambda started: self._experiment(client, started), self._project_run)
            if closing:
                runs.close(client)

    def _experiment(self, client: MlflowClient, started: SweepStarted) -> str:
        """The id of a new sweep's experiment. Under `mlflow run` it is the project run's: MLflow wants them in one."""
        if self._project_run:
            return str(client.get_run(self._project_run).info.experiment_id)
        name = self._experiment_name or started.dataset
        if started.source == "standin":  # its numbers must never stand among real ones
            name += "-standin"
        known = client.get_experiment_by_name(name)
        if known is not None:
            return str(known.experiment_id)
        return str(client.create_experiment(name, artifact_location=self._artifact_location(name)))

    def _artifact_location(self, name: str) -> str | None:
        """Beside a local database, absolute, so that it is found from every folder; a server has its own place."""
        if not self.uri.startswith(store.SQLITE):
            return None
        return (store.database(self.uri).parent / "mlruns" / quote(name, safe="")).as_uri()


def _close_abandoned(client: MlflowClient) -> None:
    """End as KILLED what a driver of this machine left RUNNING when it was killed."""
    here = f"tags.`{DRIVER}host` = '{process.identity()['host']}'"
    running = [
        run
        for kind in ("sweep", "confirm")
        for run in _search(client, f"attributes.status = 'RUNNING' and tags.kind = '{kind}' and {here}")
    ]
    for sweep in running:
        if not _abandoned(sweep):
            continue
        open_runs = f"attributes.status = 'RUNNING' and tags.sweep = '{sweep.data.tags['sweep']}'"
        ended = sweep.info.start_time
        for trial in _search(client, f"{open_runs} and tags.kind = 'trial'"):
            histories = [client.get_metric_history(trial.info.run_id, name) for name in trial.data.metrics]
            last = max((point.timestamp for history in histories for point in history), default=trial.info.start_time)
            ended = max(ended, last)
            _kill(client, sweep, trial.info.run_id, last)
        _kill(client, sweep, sweep.info.run_id, ended)


def _abandoned(sweep: Run) -> bool:
    tags = sweep.data.tags
    driver = {key.removeprefix(DRIVER): tag for key, tag in tags.items() if key.startswith(DRIVER)}
    return sweep.info.status == "RUNNING" and process.known_dead(driver)


def _kill(client: MlflowClient, sweep: Run, run: str, when: int) -> None:
    if _abandoned(client.get_run(sweep.info.run_id)):  # it may just have been resumed
        client.set_tag(run, "status.reason", journal.INTERRUPTED)
        client.set_terminated(run, "KILLED", when)


def _search(client: MlflowClient, where: str) -> list[Run]:
    """Everywhere: a sweep's experiment depends on how it was started, and it may be resumed in another way."""
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    found = client.search_runs(experiments, where, order_by=["attributes.start_time"])
    runs = list(found)
    while found.token:
        found = client.search_runs(experiments, where, order_by=["attributes.start_time"], page_token=found.token)
        runs += found
    return runs


@dataclass
class _Run:
    """A run as the store has it."""

    id: str
    status: str = "RUNNING"
    ended: int | None = None  # milliseconds
    attempt: tuple[int, int] | None = None  # the last one that was logged, and until which epoch it may run
    curves: dict[str, list[float]] | None = field(default_factory=dict)  # None: not known yet

    def is_(self, status: str | None, ended: float) -> bool:
        return self.status == status and self.ended == _milliseconds(ended)


class _SweepRuns:
    """The runs of one sweep, and what of its record they do not hold yet."""

    def __init__(self, started: SweepStarted, directory: Path) -> None:
        self._started = started
        self._record = SweepRecord(directory)
        self._changed: set[int] = set()  # trials
        self._sweep_changed = True
        self._known = False  # whether what follows is what the store has
        self._experiment = ""
        self._parent: _Run | None = None
        self._trials: dict[int, _Run] = {}

    @property
    def complete(self) -> bool:
        return not self._changed and not self._sweep_changed

    def add(self, event: Event) -> None:
        self._record.add(event)
        trial = getattr(event, "trial", None)
        if trial is None:
            self._sweep_changed = True
        else:
            self._changed.add(trial)

    def comparison(self) -> str:
        where = f"tags.kind = 'trial' and tags.sweep = '{self._started.sweep}'"
        return (
            f"#/experiments/{self._experiment}/runs?workflowType=machine_learning&searchFilter={quote(where)}"
            f"&orderByKey={quote('metrics.`test/accuracy`')}&orderByAsc=false&compareRunsMode=CHART"
        )

    def log(self, client: MlflowClient, experiment: Callable[[SweepStarted], str], project_run: str | None) -> None:
        """Bring the store up to date; where it fails, it is looked at anew before the next attempt."""
        if self.complete:
            return
        try:
            if not self._known:
                self._look(client)
                self._known = True
            if self._parent is None:
                self._experiment = experiment(self._started)
            parent = self._log_sweep(client, project_run)
            news = self._sweep_changed or not all(self._record.trials[trial].running for trial in self._changed)
            for trial in sorted(self._changed):
                self._log_trial(client, parent, self._record.trials[trial])
                self._changed.discard(trial)
            if news and parent.status == "RUNNING":
                self._log_journal(client, parent)
            self._log_end(client, parent)
            self._sweep_changed = False
        except Exception:
            # A call that failed may have been carried out all the same.
            self._known = False
            raise

    def close(self, client: MlflowClient) -> None:
        """End what is still open."""
        for number, trial in self._record.trials.items():
            if trial.running:
                self._terminate(client, self._trials[number], "KILLED", trial.last, journal.INTERRUPTED)
        if self._record.ended is None and self._parent is not None:
            self._log_journal(client, self._parent)
            self._terminate(client, self._parent, "KILLED", self._record.sessions[-1][1], journal.INTERRUPTED)

    def _look(self, client: MlflowClient) -> None:
        """What the store has of this sweep. Of two runs for one thing, which a lost answer can lead to, one stays."""
        self._parent, self._trials = None, {}
        for found in _search(client, f"tags.sweep = '{self._started.sweep}'"):
            run = _Run(found.info.run_id, found.info.status, found.info.end_time, curves=None)
            if found.data.tags.get("kind") == self._started.kind and self._parent is None:
                self._parent, self._experiment = run, found.info.experiment_id
            elif found.data.tags.get("kind") == "trial" and int(found.data.tags["trial"]) not in self._trials:
                self._trials[int(found.data.tags["trial"])] = run
            elif found.data.tags.get("kind") in (self._started.kind, "trial"):
                client.delete_run(run.id)

    def _log_sweep(self, client: MlflowClient, project_run: str | None) -> _Run:
        started, parent, ended = self._started, self._parent, self._record.ended
        if parent is not None and (not self._sweep_changed or (ended and parent.is_(ENDED[ended.status], ended.time))):
            return parent
        driver = {f"{DRIVER}{key}": value for key, value in process.identity().items()}
        if parent is None:
            tags = {"kind": started.kind, "objective": started.objective, "data.digest": started.digest, **self._tags()}
            if started.git_commit:
                tags |= {"git.commit": started.git_commit, "git.dirty": str(started.git_dirty).lower()}
            if project_run:
                tags["mlflow.parentRunId"] = project_run
            if started.confirms:  # below its sweep
                tags["confirms"] = started.confirms
                for sweep in _search(client, f"tags.sweep = '{started.confirms}' and tags.kind = 'sweep'")[:1]:
                    tags["mlflow.parentRunId"], self._experiment = sweep.info.run_id, sweep.info.experiment_id
            name = f"{started.model} {'confirm' if started.confirms else started.tuner} {_short(started.sweep)}"
            parent = self._parent = self._create(client, name, tags | driver, started.time)
        else:
            self._open(client, parent, driver)
        client.log_text(parent.id, started.config, "config.yaml")
        return parent

    def _log_trial(self, client: MlflowClient, parent: _Run, trial: TrialRecord) -> None:
        run = self._trials.get(trial.trial)
        if run is not None and run.is_(ENDED.get(trial.status), trial.last):
            return
        if run is not None and not self._agrees(client, run, trial):
            client.delete_run(run.id)
            run = None
        if run is None:
            run = self._create_trial(client, parent, trial)
        elif run.status != "RUNNING":  # another attempt, or a Hyperband promotion
            self._open(client, run, {})
        if run.attempt != (trial.attempt, trial.epochs):
            params = [Param(name, str(value)) for name, value in trial.values.items()]
            client.log_batch(run.id, params=params, tags=[RunTag("attempt", str(trial.attempt))])
            client.log_inputs(run.id, [self._dataset()])
            run.attempt = (trial.attempt, trial.epochs)
        self._log_curves(client, run, trial)
        if not trial.running:
            self._end_trial(client, run, trial)

    def _create_trial(self, client: MlflowClient, parent: _Run, trial: TrialRecord) -> _Run:
        tags = {
            "kind": "trial",
            "trial": str(trial.trial),
            "baseline": str(trial.baseline).lower(),
            "trial.seed": str(trial.seed),
            "mlflow.parentRunId": parent.id,
            **self._tags(),
        }
        if trial.origin is not None:
            tags["origin"] = str(trial.origin)
        name = f"{self._started.model}-{_short(self._started.sweep)}-{trial.trial:02d}"
        run = self._trials[trial.trial] = self._create(client, name, tags, trial.started)
        return run

    def _agrees(self, client: MlflowClient, run: _Run, trial: TrialRecord) -> bool:
        """Whether the run's curves are the trial's, as far as both go.

        An attempt that is run again gives the same numbers on the same machine, but it may be another one; and MLflow
        cannot take back a point.
        """
        if run.curves is None:
            run.curves = {name: _history(client, run.id, name) for name in CURVES}
        for name, logged in run.curves.items():
            curve = trial.curves.get(name, [])
            n = len(logged) if not trial.running else min(len(logged), len(curve))
            if logged[:n] != curve[:n]:
                return False
        return True

    def _log_curves(self, client: MlflowClient, run: _Run, trial: TrialRecord) -> None:
        assert run.curves is not None
        metrics = [
            Metric(name, value, _milliseconds(trial.epoch_times[epoch]), epoch + 1)
            for name, curve in trial.curves.items()
            for epoch, value in enumerate(curve)
            if epoch >= len(run.curves.get(name, []))
        ]
        for start in range(0, len(metrics), LARGEST_BATCH):
            client.log_batch(run.id, metrics[start : start + LARGEST_BATCH])
        for metric in metrics:
            run.curves.setdefault(metric.key, []).append(metric.value)

    def _end_trial(self, client: MlflowClient, run: _Run, trial: TrialRecord) -> None:
        # At step 0: MLflow draws a metric that has only a step 0 as bars, any other single step as a lone dot.
        costs = {f"cost/{name}": value for name, value in trial.cost.items()}
        self._log_at_step_0(client, run, {**trial.test, **costs}, trial.last)
        if trial.best_epoch is not None:
            client.set_tag(run.id, "best_epoch", str(trial.best_epoch))
        if trial.traceback:
            client.log_text(run.id, trial.traceback, "traceback.txt")
        if trial.epochs_run:
            self._log_loss_curves(client, run, trial)
        self._terminate(client, run, ENDED[trial.status], trial.last, trial.reason)

    def _log_loss_curves(self, client: MlflowClient, run: _Run, trial: TrialRecord) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "loss_curves.png"
            name = f"{self._started.model} on {self._started.dataset}, trial {trial.trial}"
            figures.loss_curves(trial.curves, name, path, held_out=self._started.held_out)
            client.log_artifact(run.id, str(path))

    def _log_end(self, client: MlflowClient, parent: _Run) -> None:
        ended, best = self._record.ended, self._record.best
        if ended is None or parent.is_(ENDED[ended.status], ended.time):
            return
        if best is not None and best.best_epoch is not None:
            chosen = {
                name: curve[best.best_epoch - 1] for name, curve in best.curves.items() if name.startswith("val/")
            }
            self._log_at_step_0(client, parent, {**chosen, **best.test}, ended.time)
            client.set_tag(parent.id, "best_trial", str(best.trial))
        if self._started.confirms:
            self._log_at_step_0(client, parent, verdict.metrics(verdict.outcomes(self._record)), ended.time)
        page = report.kept(self._record)
        if page is not None:
            client.log_artifact(parent.id, str(page))
        self._terminate(client, parent, ENDED[ended.status], ended.time, ended.reason)

    def _log_journal(self, client: MlflowClient, parent: _Run) -> None:
        """As far as it goes: from it a sweep that runs, or was interrupted, is reported from the store alone."""
        client.log_artifact(parent.id, str(self._record.directory / journal.FILE))

    def _log_at_step_0(self, client: MlflowClient, run: _Run, metrics: Mapping[str, float], when: float) -> None:
        now = _milliseconds(when)
        # Six digits: MLflow's pages print every one there is.
        client.log_batch(run.id, [Metric(name, float(f"{value:.6g}"), now, 0) for name, value in metrics.items()])

    def _tags(self) -> dict[str, str]:
        started = self._started
        return {
            "sweep": started.sweep,
            "model": started.model,
            "dataset": started.dataset,
            "tuner": started.tuner,
            "seed": str(started.seed),
            "source": started.source,
        }

    def _dataset(self) -> DatasetInput:
        started = self._started
        source = json.dumps({"dataset": started.dataset, "source": started.source})
        dataset = Dataset(started.dataset, started.digest, started.source, source)
        return DatasetInput(dataset, [InputTag("mlflow.data.context", "train, validation, test")])

    def _create(self, client: MlflowClient, name: str, tags: Mapping[str, str], when: float) -> _Run:
        run = client.create_run(self._experiment, _milliseconds(when), dict(tags), name)
        return _Run(str(run.info.run_id))

    def _open(self, client: MlflowClient, run: _Run, tags: Mapping[str, str]) -> None:
        """Have a run go on that had ended, or that another process had."""
        client.log_batch(run.id, tags=[RunTag(key, value) for key, value in tags.items()])
        client.update_run(run.id, "RUNNING")
        run.status, run.ended = "RUNNING", None

    def _terminate(self, client: MlflowClient, run: _Run, status: str, when: float, reason: str) -> None:
        """The status last: a run that has it is complete."""
        if run.is_(status, when):
            return
        client.set_tag(run.id, "status.reason", reason[:LONGEST_REASON])
        client.set_terminated(run.id, status, _milliseconds(when))
        run.status, run.ended = status, _milliseconds(when)


def _history(client: MlflowClient, run: str, name: str) -> list[float]:
    """A curve as logged; what was logged twice with different values makes it longer than it can be."""
    points = {(point.step, point.value) for point in client.get_metric_history(run, name)}
    return [value for _, value in sorted(points)]


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)


def _short(sweep: str) -> str:
    """Four letters that tell a sweep's runs from another's in a legend."""
    return hashlib.sha256(sweep.encode()).hexdigest()[:4]


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
