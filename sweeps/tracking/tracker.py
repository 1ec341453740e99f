"""Journal -> MLflow, from a thread of its own.

What the store holds is compared with what the journal says (`sweeps.tracking.runs`): so a store that was away, a sweep that is
resumed and a journal that is logged again all lead to the same runs, and never to a second one for the same thing.
"""

from __future__ import annotations

import logging
import math
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import quote

from mlflow import MlflowClient
from mlflow.entities import Experiment, Run, RunTag
from mlflow.exceptions import MlflowException

from conf.schema import ConfigError
from sweeps import journal
from sweeps.tracking import driver_process, store
from sweeps.journal import Event, SweepRecord, SweepStarted
from sweeps.tracking.runs import AWAY, DRIVER, SweepRuns, driver_tags, first_line, search

log = logging.getLogger(__name__)

RETRY_AFTER = 10.0  # seconds before a store that did not answer is asked again
LAST_TRIES = 5.0  # seconds in which it is asked again at the end
OPENING = 20.0  # seconds that a sweep waits for its store before it starts without


class Tracker:
    """Shows sweeps in MLflow, from a thread of its own: training never waits for the store.

    One per process: `mlflow run`'s own run, if there is one, is the parent of all its sweeps.
    """

    def __init__(
        self, uri: str, experiment: str | None = None, announce: Callable[[str, str], None] = lambda *_: None
    ) -> None:
        """`announce` is called with a sweep and the address of its comparison, once that page is there."""
        self.uri = uri
        self._announce = announce
        self._announced: set[str] = set()
        self._experiment_name = experiment
        # That of another store than the one that `mlflow run` used is none here.
        self._project_run = os.environ.get("MLFLOW_RUN_ID") if uri == store.uri(None) else None
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
            address = store.without_password(self.uri)
            raise ConfigError(f"tracking.uri={address}: {first_line(self._refused)}") from self._refused

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

    def comparison(self, sweep: str) -> str | None:
        """The address of MLflow's page that compares a sweep's trials, best first; None where it is not there yet."""
        page = self._sweeps[sweep].comparison if sweep in self._sweeps else None
        return f"{store.server(self.uri)}/{page}" if page else None

    def ui_command(self) -> str | None:
        """What shows this store in a browser; None where a server does already."""
        if self.uri.startswith("http"):
            return None
        command = "python -m pipelines.ui"
        return command if self.uri == store.local() else f"{command} tracking.uri={store.without_password(self.uri)}"

    def _run(self) -> None:
        client = self._open()
        if self._refused is not None:
            return
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
                    address = store.without_password(self.uri)
                    log.warning("%s does not answer; the sweep goes on without: %s", address, first_line(error))
                    told = True

    def _open(self) -> MlflowClient | None:
        """The store, unless it is away; what is wrong with a local one is known at once."""
        try:
            return self._connect()
        except ImportError as error:  # of a database's driver
            self._refused = error
            return None
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
        for sweep, runs in self._sweeps.items():
            runs.log(client, lambda started: self._experiment(client, started), self._project_run)
            self._announce_once(sweep)
            if closing:
                runs.close(client)

    def _announce_once(self, sweep: str) -> None:
        address = self.comparison(sweep)
        if address and sweep not in self._announced:
            self._announced.add(sweep)
            self._announce(sweep, address)

    def _experiment(self, client: MlflowClient, started: SweepStarted) -> str:
        """The id of a new sweep's experiment. Under `mlflow run` it is the project run's: MLflow wants them in one."""
        if self._project_run:
            return self._adopt(client, self._project_run)
        name = self._experiment_name or started.dataset
        if started.source == "standin":  # its numbers must never stand among real ones
            name += "-standin"
        known = client.get_experiment_by_name(name)
        if known is not None:
            return self._within_reach(known)
        return str(client.create_experiment(name, artifact_location=self._artifact_location(name)))

    def _adopt(self, client: MlflowClient, project_run: str) -> str:
        """Say who works on the run that `mlflow run` made; returns its experiment."""
        tags = [RunTag("kind", "project"), *(RunTag(*tag) for tag in driver_tags().items())]
        client.log_batch(project_run, tags=tags)
        return self._within_reach(client.get_experiment(client.get_run(project_run).info.experiment_id))

    def _within_reach(self, experiment: Experiment) -> str:
        """The id of an experiment, if its artifacts can be written from here."""
        if experiment.artifact_location.startswith("mlflow-artifacts:") and not self.uri.startswith("http"):
            raise MlflowException(
                f"a server made the experiment {experiment.name} and keeps its artifacts: log to the server, "
                "tracking.uri=http://host:port, or in another experiment"
            )
        return str(experiment.experiment_id)

    def _artifact_location(self, name: str) -> str | None:
        """Beside a local database, absolute, so that it is found from every folder; a server has its own place."""
        if not self.uri.startswith(store.SQLITE):
            return None
        return (store.database(self.uri).parent / "mlruns" / quote(name, safe="")).as_uri()


def end_project_run(status: str) -> None:
    """End the run that `mlflow run` made for this process, if it did, unless it has ended."""
    run, uri = os.environ.get("MLFLOW_RUN_ID"), store.uri(None)
    if run is None:
        return
    try:
        client = MlflowClient(uri)
        if client.get_run(run).info.status == "RUNNING":
            client.set_terminated(run, status)
    except AWAY as error:
        log.warning("%s does not answer; run %s is left as it is: %s", uri, run, first_line(error))


def _close_abandoned(client: MlflowClient) -> None:
    """End as KILLED what a driver of this machine left RUNNING when it was killed."""
    here = f"attributes.status = 'RUNNING' and tags.`{DRIVER}host` = '{driver_process.identity()['host']}'"
    for kind in ("sweep", "confirm"):
        for sweep in search(client, f"{here} and tags.kind = '{kind}'"):
            if _abandoned(sweep):
                _kill(client, sweep, sweep.info.run_id, _close_trials(client, sweep))
    for project in search(client, f"{here} and tags.kind = 'project'"):
        _kill(client, project, project.info.run_id, None)


def _close_trials(client: MlflowClient, sweep: Run) -> int:
    """Returns when the last of them was last heard of, in milliseconds."""
    open_runs = f"attributes.status = 'RUNNING' and tags.sweep = '{sweep.data.tags['sweep']}'"
    ended = int(sweep.info.start_time)
    for trial in search(client, f"{open_runs} and tags.kind = 'trial'"):
        histories = [client.get_metric_history(trial.info.run_id, name) for name in trial.data.metrics]
        last = max((point.timestamp for history in histories for point in history), default=trial.info.start_time)
        ended = max(ended, last)
        _kill(client, sweep, trial.info.run_id, last)
    return ended


def _abandoned(run: Run) -> bool:
    tags = run.data.tags
    driver = {key.removeprefix(DRIVER): tag for key, tag in tags.items() if key.startswith(DRIVER)}
    return run.info.status == "RUNNING" and driver_process.known_dead(driver)


def _kill(client: MlflowClient, owner: Run, run: str, when: int | None) -> None:
    if _abandoned(client.get_run(owner.info.run_id)):  # it may just have been resumed
        client.set_tag(run, "status.reason", journal.INTERRUPTED)
        client.set_terminated(run, "KILLED", when)
