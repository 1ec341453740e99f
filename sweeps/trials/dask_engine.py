"""The engine on Dask: workers embedded in this process, or a cluster that exists already. The only file with Dask."""

from __future__ import annotations

import gc
import importlib
import logging
import os
import queue
import signal
import sys
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dask
from distributed import Client, Future, KilledWorker, LocalCluster, get_worker

from conf.schema import ConfigError
from conf.schema import Engine as EngineConfig
from sweeps import runtime
from sweeps.errors import SweepError, TrialFailedError
from sweeps.trials import gpus
from sweeps.trials.engine import Failed, Finished, Message, Started
from sweeps.trials.native_logs import without_native_logs
from sweeps.trials.spec import EpochReport, TrialSpec

# TensorFlow and the libraries below it read these when they are first used.
THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
ANSWER = 5  # seconds for a scheduler to answer
WAIT_FOR_WORKERS = 60  # seconds
# Dask's settings for `engine=local`.
EMBEDDED = {
    # Dask's own variables make the C library return memory at once, and a trial takes 3 to 9 % longer (2026-11-25).
    # Variables of this project would override those that the user sets, which the workers inherit.
    "distributed.nanny.pre-spawn-environ": {},
    "distributed.worker.preload": ["sweeps.trials.dask_engine"],
    # The driver repeats a trial whose worker died; it knows what an attempt is.
    "distributed.scheduler.allowed-failures": 0,
    # Dask watches itself many times a second by default, which takes 5 % of a core in this process.
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "10s",
    "distributed.scheduler.work-stealing": False,  # a worker never has a second trial that could be stolen
    # TensorFlow's memory cannot be spilled, and a worker that pauses because of it would pause for ever.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 1.0,
}


class DaskEngine:
    """A `sweeps.trials.engine.Engine` that runs each trial as a Dask task."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._topic = f"trials-{uuid.uuid4().hex}"
        # Dask's threads put here: the key of a trial that has started, a report, a future that is done.
        self._messages: queue.SimpleQueue[str | EpochReport | Future] = queue.SimpleQueue()
        self._out: dict[str, TrialSpec] = {}  # Dask key -> spec
        self._where: dict[str, str] = {}  # Dask key -> address of the worker
        self._killed: dict[str, str] = {}  # Dask key -> reason
        self._over_memory: set[str] = set()  # addresses
        self._warming_up: list[Future] = []
        self._workers_seen = time.monotonic()
        client.subscribe_topic(self._topic, self._on_message)
        client.subscribe_topic("worker-restart-memory", self._on_memory)  # from a nanny, before it ends its worker

    @property
    def workers(self) -> int:
        return len(self._client.scheduler_info(n_workers=-1)["workers"])

    @property
    def busy(self) -> int:
        return len(self._out)

    @property
    def free(self) -> int:
        return max(0, self.workers - self.busy)

    def warm_up(self, function: str) -> None:
        """Call a function without arguments, given by its dotted name, on every worker in the background."""
        addresses = self._client.scheduler_info(n_workers=-1)["workers"]
        # The futures are stored because Dask drops a task whose future nobody holds. All workers start at once: the
        # scheduler takes a worker that has yet to warm up for busier than one that trains, and would give the latter a
        # second trial.
        self._warming_up = [self._client.submit(_warm_up, function, workers=[a], pure=False) for a in addresses]

    def submit(self, function: str, spec: TrialSpec) -> None:
        key = f"{spec.sweep}-{spec.trial}-{uuid.uuid4().hex}"
        self._out[key] = spec
        future = self._client.submit(_call, function, spec, self._topic, key=key, pure=False)
        future.add_done_callback(self._messages.put)

    def stop(self, sweep: str, reason: str) -> None:
        # It does not wait, as a worker may be busy. A worker that joins later gets no trial of this sweep.
        self._client.run(_stop, f"{self._topic}/{sweep}", reason, wait=False, on_error="ignore")

    def kill(self, spec: TrialSpec, reason: str) -> None:
        key = next(key for key, out in self._out.items() if (out.sweep, out.trial) == (spec.sweep, spec.trial))
        self._killed[key] = reason
        self._end_worker(key)

    def next(self, timeout: float) -> Message | None:
        try:
            message = self._messages.get(timeout=timeout)
        except queue.Empty:
            self._look_for_workers()
            return None
        match message:
            case str():
                return self._started(message)
            case EpochReport():
                return message
        return self._ended(message)

    def _started(self, key: str) -> Started | None:
        if key in self._killed:  # a cluster's scheduler runs it again, three times unless configured otherwise
            self._end_worker(key)
        return Started(self._out[key]) if key in self._out else None

    def _ended(self, future: Future) -> Finished | Failed:
        key = future.key
        spec, address = self._out.pop(key), self._where.pop(key, None)
        if future.status == "cancelled":
            raise SweepError("the connection to the Dask scheduler is lost")
        error = future.exception()
        if error is None:
            return Finished(spec, future.result())
        if isinstance(error, KilledWorker):
            if key in self._killed:
                return Failed(spec, self._killed.pop(key), str(error), lost=False)
            reason = "out of memory" if address in self._over_memory else "worker died"
            self._over_memory.discard(address)
            return Failed(spec, reason, str(error), lost=True)
        lines = traceback.format_exception(type(error), error, future.traceback())
        reason = str(error) if isinstance(error, TrialFailedError) else f"error: {type(error).__name__}: {error}"
        return Failed(spec, reason.splitlines()[0], "".join(lines), lost=False)

    def _end_worker(self, key: str) -> None:
        self._client.run(_die, workers=[self._where[key]], wait=False, on_error="ignore")

    def _look_for_workers(self) -> None:
        """Raise `SweepError` if no worker has been there for a minute; one that died is replaced within seconds."""
        if self.workers:
            self._workers_seen = time.monotonic()
        elif time.monotonic() - self._workers_seen > WAIT_FOR_WORKERS:
            raise SweepError(f"no worker is left, and none came within {WAIT_FOR_WORKERS} s")

    def _on_message(self, event: tuple[float, dict[str, Any]]) -> None:
        _, message = event
        if "report" in message:
            self._messages.put(EpochReport(**message["report"]))
        else:
            self._where[message["started"]] = message["worker"]  # Dask adds the worker
            self._messages.put(message["started"])

    def _on_memory(self, event: tuple[float, dict[str, Any]]) -> None:
        self._over_memory.add(event[1]["worker"])


@contextmanager
def open_engine(config: EngineConfig) -> Iterator[DaskEngine]:
    """Yield an engine whose workers are there or starting; those of `engine=local` end with the block."""
    # A spec holds the checkpoint from which a promoted trial goes on: some 20 MB, of which Dask would warn.
    settings = {"distributed.admin.large-graph-warning-threshold": "1GB"}
    opened = _connected if config.name == "cluster" else _embedded
    with dask.config.set(settings), opened(config) as client:
        yield DaskEngine(client)


@contextmanager
def _embedded(config: EngineConfig) -> Iterator[Client]:
    with (
        dask.config.set(EMBEDDED),
        LocalCluster(
            n_workers=_workers(config),
            threads_per_worker=1,
            env={**dict.fromkeys(THREADS, str(config.threads)), "TF_CPP_MIN_LOG_LEVEL": "3"},
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",  # with None it listens too, and two sweeps would want the same port
            memory_limit=config.memory or 0,
            silence_logs=logging.CRITICAL,  # the journal has a trial's error; its worker need not print it too
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def _workers(config: EngineConfig) -> int:
    return config.workers or config.workers_per_gpu * len(gpus.gpus().ids) or os.cpu_count() or 1


def dask_setup(worker: Any) -> None:
    """Set up an embedded worker; Dask calls this in each, as each preloads this module."""
    runtime.prepare()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the driver to handle
    # A worker that is terminated dies at once and is then replaced; one that leaves in order is not.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    gpus.pin_worker(worker.name)  # 0, 1, …; a replacement has the name of the worker that died


@contextmanager
def _connected(config: EngineConfig) -> Iterator[Client]:
    try:
        client = Client(config.scheduler, timeout=ANSWER)
    except (OSError, ValueError) as error:
        raise ConfigError(f"engine.scheduler={config.scheduler}: no Dask scheduler answers there ({error})") from error
    with client:
        try:
            client.wait_for_workers(1, timeout=WAIT_FOR_WORKERS)
        except TimeoutError as error:
            raise SweepError(f"engine.scheduler={config.scheduler}: no worker in {WAIT_FOR_WORKERS} s") from error
        for address, worker in client.scheduler_info(n_workers=-1)["workers"].items():
            if worker["nthreads"] != 1:
                raise ConfigError(
                    f"engine.scheduler={config.scheduler}: worker {address} runs {worker['nthreads']} tasks at once; "
                    "Keras trains one trial a process: start workers with --nthreads 1"
                )
        yield client


def _imported(function: str) -> Callable[..., Any]:
    """Return a function by its dotted name, on a worker, whose process is configured first."""
    runtime.prepare()
    for name in THREADS:  # a cluster's worker, too, is one of several, unless whoever started it set these variables
        os.environ.setdefault(name, "1")
    module, _, name = function.rpartition(".")
    if module not in sys.modules:
        with without_native_logs():
            importlib.import_module(module)
        # All that exists now stays. Keras runs the collector at every trial, which would go through it: some 0.2 s of
        # each trial (2026-11-25). This must not follow a trial, whose model would then never be freed.
        gc.freeze()
    called: Callable[..., Any] = getattr(sys.modules[module], name)
    return called


def _warm_up(function: str) -> None:
    _imported(function)()


def _call(function: str, spec: TrialSpec, topic: str) -> Any:
    """Call the function on a worker, and send its reports to the driver."""
    called = _imported(function)
    worker = get_worker()

    def on_epoch(report: EpochReport) -> str | None:
        worker.log_event(topic, {"report": report._asdict()})
        return _stopped.get(f"{topic}/{spec.sweep}")

    worker.log_event(topic, {"started": worker.get_current_task()})
    return called(spec, on_epoch)


# On a worker: the sweeps whose trials are to end with their current epoch, and the reason.
_stopped: dict[str, str] = {}


# Dask runs a function on its workers without waiting for it only if the function is a coroutine.
async def _stop(sweep: str, reason: str) -> None:
    _stopped[sweep] = reason


async def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
