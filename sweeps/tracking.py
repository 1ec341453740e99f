"""Journal -> MLflow, from a thread of its own.

What the store holds is compared with what the journal says (`sweeps.runs`): so a store that was away, a sweep that is
resumed and a journal that is logged again all lead to the same runs, and never to a second one for the same thing.
"""

from __future__ import annotations

import logging
import math
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

# Set before MLflow is imported: it reports its use to its makers unless told otherwise, and a server that is away
# would hold each call for four minutes.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from conf.schema import ConfigError
from sweeps import journal, process, store
from sweeps.journal import Event, SweepRecord, SweepStarted
from sweeps.runs import DRIVER, SweepRuns, search

log = logging.getLogger(__name__)

RETRY_AFTER = 10.0  # seconds before a store that did not answer is asked again
LAST_TRIES = 5.0  # seconds in which it is asked again at the end
OPENING = 20.0  # seconds that a sweep waits for its store before it starts without
# MLflow wraps what a database says only once a store is open.
AWAY = (MlflowException, SQLAlchemyError, OSError, sqlite3.Error)


class Tracker:
    """Shows sweeps in MLflow, from a thread of its own: training never waits for the store.

    One per process: `mlflow run`'s own run, if there is one, is the parent of all its sweeps.
    """

    def __init__(self, uri: str, experiment: str | None = None) -> None:
        self.uri = uri
        self._experiment_name = experiment
        self._project_run = os.environ.get("MLFLOW_RUN_ID")
        self._events: queue.SimpleQueue[tuple[SweepStarted, Path, Sequence[Event]] | None] = queue.SimpleQueue()
        self._sweeps: dict[str, SweepRuns] = {}
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
                    self._sweeps[started.sweep] = SweepRuns(started, directory)
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
    for sweep in search(client, f"attributes.status = 'RUNNING' and tags.kind = 'sweep' and {here}"):
        if not _abandoned(sweep):
            continue
        open_runs = f"attributes.status = 'RUNNING' and tags.sweep = '{sweep.data.tags['sweep']}'"
        ended = sweep.info.start_time
        for trial in search(client, f"{open_runs} and tags.kind = 'trial'"):
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


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
