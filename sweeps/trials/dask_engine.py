"""Where trials run: Dask, embedded in this process or a cluster that is already there. The only file that imports dask.

A worker runs one trial at a time. It says when it has started, sends an `EpochReport` after each epoch and returns the
result; all arrive in `Engine.next`, in no promised order.
"""

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
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import dask
from distributed import Client, Future, KilledWorker, LocalCluster, get_worker

from conf.schema import ConfigError
from conf.schema import Engine as EngineConfig
from sweeps.trials import gpus
from sweeps.trials.native_logs import without_native_logs
from sweeps.trials.spec import EpochReport, TrialSpec
from sweeps.errors import SweepError, TrialFailedError

# What TensorFlow and the libraries below it read when they are first used.
THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
ANSWER = 5  # seconds for a scheduler to answer
WAIT_FOR_WORKERS = 60  # seconds


class Started(NamedTuple):
    """Now on a worker that has imported what the trial needs."""

    spec: TrialSpec


class Finished(NamedTuple):
    spec: TrialSpec
    result: Any  # what the function returned: for a trial a `TrialResult`


class Failed(NamedTuple):
    """`lost`: the worker died, the trial may be innocent; otherwise it raised, and would again."""

    spec: TrialSpec
    reason: str
    traceback: str
    lost: bool


Message = Started | EpochReport | Finished | Failed


class Engine(Protocol):
    """What the driver needs of it."""

    @property
    def free(self) -> int:
        """Workers without a trial."""

    @property
    def busy(self) -> int:
        """Trials that are out."""

    def submit(self, function: str, spec: TrialSpec) -> None:
        """Run `function(spec, report)`, given by its dotted name, on a worker."""

    def stop(self, sweep: str, reason: str) -> None:
        """Have the running trials of a sweep end with their epoch, as completed, for this reason."""

    def kill(self, spec: TrialSpec, reason: str) -> None:
        """End a trial's worker, whatever it does; the trial then has failed for this reason."""

    def next(self, timeout: float) -> Message | None:
        """Wait for the next message, so many seconds."""


class DaskEngine:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._topic = f"trials-{uuid.uuid4().hex}"
        # Dask's threads put here what they hear: the key of a trial that started, a report, a future that is done.
        self._messages: queue.SimpleQueue[str | EpochReport | Future] = queue.SimpleQueue()
        self._out: dict[str, TrialSpec] = {}  # Dask key -> spec
        self._where: dict[str, str] = {}  # Dask key -> address of the worker
        self._killed: dict[str, str] = {}  # Dask key -> why
        self._over_memory: set[str] = set()  # addresses
        self._warming_up: list[Future] = []
        self._workers_seen = time.monotonic()
        client.subscribe_topic(self._topic, self._on_message)
        client.subscribe_topic("worker-restart-memory", self._on_memory)  # a nanny's, before it ends its worker

    @property
    def workers(self) -> int:
        return len(self._client.scheduler_info(n_workers=-1)["workers"])

    @property
    def busy(self) -> int:
        return len(self._out)

    @property
    def free(self) -> int:
        return max(0, self.workers - self.busy)

    def warm_up(self, module: str) -> None:
        """Import `module` on every worker, in the background."""
        addresses = self._client.scheduler_info(n_workers=-1)["workers"]
        # Kept: Dask drops a task that nobody holds the future of. On all at once: with one that is still to import the
        # scheduler finds that worker busier than one that trains, and gives that a second trial.
        self._warming_up = [self._client.submit(_import, module, workers=[a], pure=False) for a in addresses]

    def submit(self, function: str, spec: TrialSpec) -> None:
        key = f"{spec.sweep}-{spec.trial}-{uuid.uuid4().hex}"
        self._out[key] = spec
        future = self._client.submit(_call, function, spec, self._topic, key=key, pure=False)
        future.add_done_callback(self._messages.put)

    def stop(self, sweep: str, reason: str) -> None:
        # Not waited for: a worker may be busy. One that joins later gets no trial of this sweep.
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
        if isinstance(message, str):
            return self._started(message)
        if isinstance(message, EpochReport):
            return message
        spec = self._out.pop(message.key)
        address = self._where.pop(message.key, None)
        if message.status == "cancelled":
            raise SweepError("the connection to the Dask scheduler is lost")
        error = message.exception()
        if error is None:
            return Finished(spec, message.result())
        if isinstance(error, KilledWorker):
            if message.key in self._killed:
                return Failed(spec, self._killed.pop(message.key), str(error), lost=False)
            reason = "out of memory" if address in self._over_memory else "worker died"
            self._over_memory.discard(address)
            return Failed(spec, reason, str(error), lost=True)
        lines = traceback.format_exception(type(error), error, message.traceback())
        reason = str(error) if isinstance(error, TrialFailedError) else f"error: {type(error).__name__}: {error}"
        return Failed(spec, reason.splitlines()[0], "".join(lines), lost=False)

    def _started(self, key: str) -> Started | None:
        if key in self._killed:  # a cluster's scheduler runs it again, three times unless configured otherwise
            self._end_worker(key)
        return Started(self._out[key]) if key in self._out else None

    def _end_worker(self, key: str) -> None:
        self._client.run(_die, workers=[self._where[key]], wait=False, on_error="ignore")

    def _look_for_workers(self) -> None:
        """A worker that died is replaced within seconds; without any the sweep would wait for ever."""
        if self.workers:
            self._workers_seen = time.monotonic()
        elif time.monotonic() - self._workers_seen > WAIT_FOR_WORKERS:
            raise SweepError(f"no worker is left, and none came within {WAIT_FOR_WORKERS} s")

    def _on_message(self, event: tuple[float, dict[str, Any]]) -> None:
        _, message = event
        if "report" in message:
            self._messages.put(EpochReport(**message["report"]))
        else:
            self._where[message["started"]] = message["worker"]  # Dask adds it
            self._messages.put(message["started"])

    def _on_memory(self, event: tuple[float, dict[str, Any]]) -> None:
        self._over_memory.add(event[1]["worker"])


@contextmanager
def open_engine(config: EngineConfig) -> Iterator[DaskEngine]:
    """Workers that are there or on their way; those of `engine=local` end with the block."""
    # A spec holds the checkpoint that a promoted trial goes on from: some 20 MB, which Dask would warn of.
    settings = {"distributed.admin.large-graph-warning-threshold": "1GB"}
    opened = _connected if config.name == "cluster" else _embedded
    with dask.config.set(settings), opened(config) as client:
        yield DaskEngine(client)


@contextmanager
def _embedded(config: EngineConfig) -> Iterator[Client]:
    settings = {
        # Nothing of Dask's, with which the C library gives memory back at once, and a trial takes 3 to 9 % longer. And
        # nothing of ours: what this process's environment says would hold against it, and gets it.
        "distributed.nanny.pre-spawn-environ": {},
        "distributed.worker.preload": ["sweeps.trials.dask_engine"],
        # A trial whose worker died is run again by the driver, which knows what an attempt is.
        "distributed.scheduler.allowed-failures": 0,
        # What Dask does many times a second to watch itself: together 5 % of a core in this process.
        "distributed.worker.profile.enabled": False,
        "distributed.admin.tick.interval": "1s",
        "distributed.admin.system-monitor.interval": "10s",
        "distributed.scheduler.work-stealing": False,  # a worker never has a second trial to be stolen
        # What TensorFlow holds cannot be spilled, and a worker that pauses for it would pause for ever.
        "distributed.worker.memory.target": False,
        "distributed.worker.memory.spill": False,
        "distributed.worker.memory.pause": False,
        "distributed.worker.memory.terminate": 1.0,
    }
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=_workers(config),
            threads_per_worker=1,
            env={**dict.fromkeys(THREADS, str(config.threads)), "TF_CPP_MIN_LOG_LEVEL": "3"},
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",  # with None it listens too, and two sweeps want one port
            memory_limit=config.memory or 0,
            silence_logs=logging.CRITICAL,  # what a trial raised is in the journal; its worker need not print it too
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def _workers(config: EngineConfig) -> int:
    return config.workers or config.workers_per_gpu * len(gpus.gpus().ids) or os.cpu_count() or 1


def dask_setup(worker: Any) -> None:
    """Called by Dask in each embedded worker, which preloads this module."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to handle
    # Dead at once, and so replaced: a worker that takes its leave in order is not.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    gpus.share(worker.name)  # 0, 1, …; one that replaces another has its name


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


def _import(module: str) -> None:
    for name in THREADS:  # a worker of a cluster is one of several, too, unless who started it says otherwise
        os.environ.setdefault(name, "1")
    if module not in sys.modules:
        with without_native_logs():
            importlib.import_module(module)
        # What there is now stays. Keras has the collector called at every trial, and it would go through all that: some
        # 0.2 s of each. Not after a trial, whose model would then never be freed.
        gc.freeze()


def _call(function: str, spec: TrialSpec, topic: str) -> Any:
    """On a worker: call the function, sending its reports to the driver."""
    module, _, name = function.rpartition(".")
    _import(module)
    worker = get_worker()

    def report(ended: EpochReport) -> str | None:
        worker.log_event(topic, {"report": ended._asdict()})
        return _stopped.get(f"{topic}/{spec.sweep}")

    worker.log_event(topic, {"started": worker.get_current_task()})
    return getattr(importlib.import_module(module), name)(spec, report)


# On a worker: the sweeps whose trials end with their epoch, and why. Dask can run what follows without waiting for it
# only if it is a coroutine.
_stopped: dict[str, str] = {}


async def _stop(sweep: str, reason: str) -> None:
    _stopped[sweep] = reason


async def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
