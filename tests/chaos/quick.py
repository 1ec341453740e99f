"""Quick sweeps: the whole product from the command line on, with trials that take milliseconds."""

from __future__ import annotations

import os
import queue
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console

from conf.schema import Engine
from pipelines import sweep, sync
from sweeps.plan import Plan
from sweeps.session import session
from sweeps.tracking import tracker
from sweeps.trials.engine import Finished, Message, Started
from sweeps.trials.spec import EpochReport, TrialSpec
from tests.chaos import clock
from tests.chaos.cases import Case, Outcome
from tests.chaos.differences import parted
from tests.chaos.driving import Sessions, until_done
from tests.chaos.mishaps import strikes
from tests.chaos.processes import Process, result
from tests.chaos.sweeping import references
from tests.fakes import learn

LONGEST = 2.5  # seconds until something happens to a process at the latest


class ThreadEngine:
    """Workers that are threads, and trials that take milliseconds."""

    lost_workers = 0
    hosts = ""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.busy = 0
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()

    @property
    def free(self) -> int:
        return self.workers - self.busy

    def expect(self, trials: int) -> None:
        """Do nothing: there are as many threads as there are."""

    def submit(self, function: str, spec: TrialSpec) -> None:
        self.busy += 1
        threading.Thread(target=self._run, args=(spec,), daemon=True).start()

    def stop(self, sweep: str, reason: str) -> None:
        raise NotImplementedError

    def kill(self, spec: TrialSpec, reason: str) -> None:
        raise NotImplementedError

    def next(self, timeout: float) -> Message | None:
        try:
            message = self._messages.get(timeout=timeout)
        except queue.Empty:
            return None
        self.busy -= isinstance(message, Finished)
        return message

    def _run(self, spec: TrialSpec) -> None:
        def on_epoch(report: EpochReport) -> str | None:
            time.sleep(random.uniform(0.0, 0.05))
            self._messages.put(report)
            return None

        self._messages.put(Started(spec))
        if spec.reference:
            time.sleep(random.uniform(0.0, 0.05))
        result_of = references() if spec.reference else learn(spec, on_epoch)
        self._messages.put(Finished(spec, result_of))


def run(case: Case) -> Outcome:
    """Start it, let something happen to it, and start it again, until a process comes to its end."""
    case.folder.mkdir(parents=True)

    def start(command: str, arguments: list[str]) -> Process:
        return Process(lambda: _call(case, command, arguments))

    first = [*case.arguments, f"tracking.uri={case.store}"]
    try:
        outcome = until_done(case, Sessions(start, first, strikes(case), (0.0, LONGEST)))
    finally:
        clock.correct()
    (directory,) = case.directories
    outcome.faults["sweeps that parted"] += result(lambda: str(parted(case, directory))) == "True"
    return outcome


def _call(case: Case, command: str, arguments: list[str]) -> None:
    @contextmanager
    def workers(
        config: Engine, plans: Sequence[Plan], console: Console, meanwhile: Callable[[], object]
    ) -> Iterator[ThreadEngine]:
        meanwhile()
        yield ThreadEngine(case.workers)

    session.workers = workers  # type: ignore[assignment]
    tracker.RETRY_AFTER = 0.5
    os.chdir(case.folder)
    main: Callable[[], None] = {"sweep": sweep.main, "sync": sync.main}[command]
    sys.argv = [command, *arguments]
    main()
