"""The worker's side of the engine on Dask: what runs in the processes that train."""

from __future__ import annotations

import gc
import importlib
import os
import queue
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from distributed import Worker, get_worker

from sweeps import runtime
from sweeps.errors import HostFailedError, TrialFailedError, reason_of, traceback_of
from sweeps.trials import gpus, steps
from sweeps.trials.identity import difference, identity
from sweeps.trials.native_logs import drop_native_logs, without_native_logs
from sweeps.trials.spec import EpochReport, TrialSpec

# TensorFlow and the libraries below it read these when they are first used.
THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
WAIT_FOR_DATA = 600  # seconds for the driver to send a piece of the data


class Terms(NamedTuple):
    """The facts about its driver that a worker needs for every trial."""

    topic: str  # of its messages
    functions: tuple[str, ...]  # the dotted names of those that trials call
    software: Mapping[str, str]  # that it must have, for these functions
    sends_data: bool  # if the worker lacks them


class Wanted(NamedTuple):
    """A worker's request for a piece of the data of its trial."""

    key: str  # the trial's in Dask
    worker: str  # its address
    file: str
    start: int


def dask_setup(worker: Any) -> None:
    """Set up an embedded worker; Dask calls this in each, as each preloads this module."""
    runtime.prepare()
    drop_native_logs()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the driver to handle
    # A worker that is terminated dies at once and is then replaced; one that leaves in order is not.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    gpus.pin_worker(worker.name)  # 0, 1, …; a replacement has the name of the worker that died


def _imported(function: str) -> Callable[..., Any]:
    """Return a function by its dotted name, on a worker, whose process is configured first."""
    runtime.prepare()
    for name in THREADS:  # a cluster's worker, too, is one of several, unless whoever started it set these variables
        os.environ.setdefault(name, "1")
    module, _, name = function.rpartition(".")
    if module not in sys.modules:
        with without_native_logs(), runtime.without(*runtime.UNUSED_BY_KERAS):
            importlib.import_module(module)
        # All that exists now stays. Keras runs the collector at every trial, which would go through it: some 0.2 s of
        # each trial (2026-11-25). The model of a trial before, were it still there, would never be freed.
        gc.collect()
        gc.freeze()
    called: Callable[..., Any] = getattr(sys.modules[module], name)
    return called


def warm_up(function: str) -> Any:
    return _imported(function)()


def answer(function: str, arguments: tuple[Any, ...]) -> Any:
    """Call a function, and return what it returns or the error that it raises: Dask would log that with the arguments.

    It is called as if this process had trained, which it need not have.
    """
    try:
        warm_up("sweeps.trials.building.prepare")
        return _imported(function)(*arguments)
    except Exception as error:
        return error


class TrialError(Exception):
    """The failure of a trial, as texts: an error of any library may be one that cannot be sent, or loses its cause.

    `own` says that the trial itself is at fault, on whichever worker it runs.
    """

    def __init__(self, reason: str, trace: str, worker: str, own: bool) -> None:
        super().__init__(reason, trace, worker, own)


class UnlikeError(Exception):
    """The worker has other software than the driver."""

    def __init__(self, difference: str, worker: str) -> None:
        super().__init__(difference, worker)


class UnwantedError(Exception):
    """Nobody waits for the trial any more: its driver has left, or the scheduler has taken the worker for lost."""


def call(function: str, spec: TrialSpec, terms: Terms) -> Any:
    """Call the function on a worker, and send its reports to the driver."""
    worker, topic = get_worker(), terms.topic
    if unlike := difference(terms.software, identity(terms.functions)):
        raise UnlikeError(unlike, worker.address)
    key = worker.get_current_task()

    def send(message: dict[str, Any]) -> None:
        # Dask lets a task that nobody wants run on, and the worker would begin no other before its end.
        if worker.state.tasks[key].state == "cancelled":
            raise UnwantedError
        worker.log_event(topic, message)

    def on_epoch(report: EpochReport) -> str | None:
        send({"report": report._asdict()})
        return _stopped.get(f"{topic}/{spec.sweep}")

    try:
        called = _imported(function)
        if terms.sends_data and spec.cache:
            _fetch_data(worker, spec, topic)
        send({"started": key})
        with steps.reported_to(lambda report: send({"steps": report._asdict()})):
            return called(spec, on_epoch)
    except Exception as error:
        reason = str(error) if isinstance(error, TrialFailedError) else f"error: {reason_of(error)}"
        own = isinstance(error, TrialFailedError) and not isinstance(error, HostFailedError)
        failure = TrialError(reason.splitlines()[0], traceback_of(error), worker.address, own)
    raise failure  # out here it does not take the error along, whose frames may be too many to be sent


def _fetch_data(worker: Worker, spec: TrialSpec, topic: str) -> None:
    """Copy the trial's data from the driver's cache into this machine's, unless they are in it."""
    key = worker.get_current_task()
    pieces = _pieces[key] = queue.SimpleQueue[bytes]()

    def piece(file: str, start: int) -> bytes:
        worker.log_event(topic, {"wanted": Wanted(key, worker.address, file, start)._asdict()})
        try:
            return pieces.get(timeout=WAIT_FOR_DATA)
        except queue.Empty:
            raise HostFailedError(f"the driver sent no data within {WAIT_FOR_DATA} s") from None

    try:
        importlib.import_module(spec.cache).fetch(spec.digest, piece)
    finally:
        del _pieces[key]


# The pieces of data that have come for this worker's trial, by the trial's key in Dask.
_pieces: dict[str, queue.SimpleQueue[bytes]] = {}
# The sweeps whose trials are to end with their current epoch, and the reason.
_stopped: dict[str, str] = {}


# Dask runs a function on its workers without waiting for it only if the function is a coroutine.
async def stop(sweep: str, reason: str) -> None:
    _stopped[sweep] = reason


async def take(key: str, content: bytes) -> None:
    if key in _pieces:
        _pieces[key].put(content)


async def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
