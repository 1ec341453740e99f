"""The thread that brings the journal into MLflow.

The content of the store is compared with the journal (`sweeps.tracking.runs`): so a store that did not answer, a sweep
that is resumed and a journal that is logged again all lead to the same runs, and never to two runs for one thing.
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

from mlflow import MlflowClient

from conf.schema import ConfigError
from sweeps.journal import Event, SweepRecord, SweepStarted
from sweeps.tracking import abandoned_runs, database_file, failures, store
from sweeps.tracking.client import UNAVAILABLE, connect
from sweeps.tracking.experiments import Experiments, Sweep
from sweeps.tracking.extras import ExtrasOf, no_extras
from sweeps.tracking.failures import first_line
from sweeps.tracking.runs import SweepRuns

log = logging.getLogger(__name__)

RETRY_AFTER = 10.0  # seconds until a store that did not answer is asked again
LAST_TRIES = 5.0  # seconds in which it is asked again at the end
LAST_RETRY_AFTER = 1.0  # seconds between those last tries


class Tracker:
    """A listener that shows sweeps in MLflow, from a thread of its own: training never waits for the store.

    A process has one: the run that `mlflow run` made, if there is one, is the parent of all its sweeps.
    """

    def __init__(
        self,
        uri: str,
        experiment: str | None = None,
        *,
        sweeps: Sequence[Sweep] = (),
        extras: ExtrasOf = no_extras,
        announce: Callable[[str, str], None] = lambda sweep, address: None,
    ) -> None:
        """`sweeps` are those that are about to run: a store that refuses one of them refuses before it starts.

        `announce` is called with a sweep and the address of its comparison, once that page is there.

        Both functions are called in the tracker's thread.
        """
        self.uri = uri
        self._about_to_run = sweeps
        self._extras = extras
        self._announce = announce
        self._announced: set[str] = set()
        # MLFLOW_RUN_ID belongs to the default store and means nothing in another one.
        project_run = os.environ.get("MLFLOW_RUN_ID") if uri == store.uri(None) else None
        self._experiments = Experiments(uri, experiment, project_run)
        self._events: queue.SimpleQueue[tuple[SweepStarted, Path, Sequence[Event]] | None] = queue.SimpleQueue()
        self._sweeps: dict[str, SweepRuns] = {}
        self._opened = threading.Event()
        self._refused: ConfigError | None = None
        self._all_logged = False
        self._training = False
        self._thread = threading.Thread(target=self._run, name="mlflow", daemon=True)
        self._thread.start()

    def wait_until_opened(self) -> None:
        """Wait until the store has answered, or has not in time; raises `ConfigError` if it cannot be used at all."""
        self._opened.wait()
        if self._refused is not None:
            raise self._refused

    def on_event(self, record: SweepRecord, event: Event) -> None:
        """Hand the event to the thread, which logs it soon."""
        self._training = True
        self._events.put((record.started, record.directory, [event]))

    def catch_up(self, directory: Path, events: Sequence[Event]) -> None:
        """Log everything of a journal that the store does not have yet."""
        for started in events[:1]:
            assert isinstance(started, SweepStarted)
            self._events.put((started, directory, events))

    def close(self, limit: float | None = None) -> bool:
        """Log the rest and end everything that is still open as KILLED, because nobody works on it any more.

        Waits at most `limit` seconds. Returns whether everything is in the store.
        """
        self._events.put(None)
        self._thread.join(limit)
        return not self._thread.is_alive() and self._all_logged

    def comparison(self, sweep: str) -> str | None:
        """Return the address of MLflow's page that compares a sweep's trials; None while it is not there yet."""
        page = self._sweeps[sweep].comparison if sweep in self._sweeps else None
        return f"{store.server(self.uri)}/{page}" if page else None

    def ui_command(self) -> str | None:
        """Return the command that shows this store in a browser; None if a server does already."""
        return store.ui_command(self.uri) or None

    def _run(self) -> None:
        client = self._open()
        if self._refused is not None:
            return
        closing = warned = tidied = False
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
                if not tidied:
                    abandoned_runs.close(client)
                    tidied = True
                self._log(client, closing=closing)
                self._all_logged = closing
            except Exception as error:  # also one of a library that keeps artifacts: nobody else would tell
                next_try = time.monotonic() + (LAST_RETRY_AFTER if closing else RETRY_AFTER)
                if not warned:
                    log.warning(self._in_words(error))
                    warned = True

    def _open(self) -> MlflowClient | None:
        """Return the store's client, or None for one that does not answer now; any other is refused."""
        try:
            return self._connect()
        except ConfigError as error:
            self._refused = error
            return None
        except UNAVAILABLE:
            return None
        finally:
            self._opened.set()

    def _connect(self) -> MlflowClient:
        database_file.check(self.uri)
        client = connect(self.uri, create=True)
        database_file.remember(self.uri)
        for sweep in self._about_to_run:
            self._experiments.check(client, sweep)
        return client

    def _receive(self, wait: float) -> bool:
        """Take in all events there are, and return whether the end was among them.

        Waits for an event if nothing else is to be done.
        """
        pending = not all(runs.complete for runs in self._sweeps.values())
        timeout = max(0.0, wait) if pending else None
        try:
            while True:
                entry = self._events.get(timeout=timeout)
                if entry is None:
                    return True
                started, directory, events = entry
                if started.sweep not in self._sweeps:
                    self._sweeps[started.sweep] = SweepRuns(started, directory, self._extras)
                for event in events:
                    self._sweeps[started.sweep].add(event)
                timeout = 0.0
        except queue.Empty:
            return False

    def _log(self, client: MlflowClient, *, closing: bool) -> None:
        database_file.check(self.uri)
        for sweep, runs in self._sweeps.items():
            if closing:
                runs.compare_with_store()
            runs.log(client, self._experiments)
            self._announce_once(sweep)
            if closing:
                runs.close(client)
        database_file.check(self.uri)

    def _in_words(self, error: Exception) -> str:
        """Say in one line why something could not be logged."""
        address = store.without_password(self.uri)
        if isinstance(error, database_file.ReplacedError):
            return str(error)
        if failures.is_of_deleted_run(error):
            return f"{address} no longer has runs of this sweep; they are logged again"
        failure = str(failures.of(self.uri, error))
        return f"{failure}; the sweep goes on without" if self._training else failure

    def _announce_once(self, sweep: str) -> None:
        address = self.comparison(sweep)
        if address and sweep not in self._announced:
            self._announced.add(sweep)
            self._announce(sweep, address)


def end_project_run(status: str) -> None:
    """End the run that `mlflow run` made for this process, if it did, unless it has ended."""
    run = os.environ.get("MLFLOW_RUN_ID")
    if run is None:
        return
    try:
        client = connect(store.uri(None))
        if client.get_run(run).info.status == "RUNNING":
            client.set_terminated(run, status)
    except (*UNAVAILABLE, ConfigError) as error:
        log.warning("run %s is left as it is: %s", run, first_line(error))
