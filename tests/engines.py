"""Helpers of the tests of an engine: its messages, its workers, and waiting for them."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from sweeps.trials.dask_engine.engine import DaskEngine
from sweeps.trials.engine import Failed, Finished, Message, Started
from sweeps.trials.spec import EpochReport
from tests.specs import spec


def messages_until_idle(engine: DaskEngine) -> list[Message]:
    """Everything but `Started` until all trials have ended."""
    messages = []
    while engine.busy:
        message = engine.next(1)
        if message is not None and not isinstance(message, Started):
            messages.append(message)
    return messages


def results(engine: DaskEngine) -> list[Any]:
    """The results of the functions that finished, once all trials have ended."""
    return [message.result for message in messages_until_idle(engine) if isinstance(message, Finished)]


def failure(engine: DaskEngine) -> Failed:
    """The one failure, once all trials have ended."""
    (failed,) = [message for message in messages_until_idle(engine) if not isinstance(message, EpochReport)]
    assert isinstance(failed, Failed)
    return failed


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def wait_for_start(engine: DaskEngine) -> None:
    wait_until(lambda: isinstance(engine.next(1), Started))


def embedded_workers() -> list[psutil.Process]:
    workers = []
    for process in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):  # it has just ended
            if "spawn_main" in " ".join(process.cmdline()):
                workers.append(process)
    return workers


def met(engine: DaskEngine, folder: Path) -> int:
    """Return how many processes ran two trials that wait for each other in an empty folder."""
    for trial in range(2):
        engine.submit("tests.specs.meeting", spec(trial=trial, values={"folder": str(folder)}))
    return len(set(results(engine)))


def wait_until_whole(engine: DaskEngine, workers: int = 2) -> None:
    """Wait until the scheduler knows so many embedded workers, and all of them live."""

    def whole() -> bool:
        alive = {process.pid for process in embedded_workers()}
        known = engine._client.run(os.getpid, on_error="return").values()  # an error for one that has died
        return len(known) == workers == engine.workers and alive.issuperset(known)

    wait_until(whole)
