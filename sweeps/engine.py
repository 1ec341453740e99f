"""Where trials run: Dask, embedded in this process or a cluster that is already there. The only file that imports dask.

A worker runs one trial at a time. It sends an `EpochReport` after each epoch and returns the result; both arrive in
`Engine.next`, in no promised order.
"""

from __future__ import annotations

import importlib
import logging
import os
import queue
import signal
import traceback
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import dask
from distributed import Client, Future, KilledWorker, LocalCluster, get_worker

from conf.schema import ConfigError
from conf.schema import Engine as EngineConfig
from sweeps.silence import without_native_logs
from sweeps.spec import EpochReport, SweepError, TrialFailedError, TrialSpec

ANSWER = 5  # seconds for a scheduler to answer
WAIT_FOR_WORKERS = 60  # seconds


class Finished(NamedTuple):
    spec: TrialSpec
    result: Any  # what the function returned: for a trial a `TrialResult`


class Failed(NamedTuple):
    """`lost`: the worker died, the trial may be innocent; otherwise it raised, and would again."""

    spec: TrialSpec
    reason: str
    traceback: str
    lost: bool


Message = EpochReport | Finished | Failed


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

    def next(self) -> Message:
        """Wait for the next message."""


class DaskEngine:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._topic = f"epochs-{uuid.uuid4().hex}"
        self._messages: queue.SimpleQueue[Message | Future] = queue.SimpleQueue()
        self._out: dict[str, TrialSpec] = {}  # Dask key -> spec
        self._warming_up: list[Future] = []
        client.subscribe_topic(self._topic, self._on_report)

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
        # Kept: Dask drops a task that nobody holds the future of.
        self._warming_up = [self._client.submit(_import, module, workers=[a], pure=False) for a in addresses]

    def submit(self, function: str, spec: TrialSpec) -> None:
        future = self._client.submit(_call, function, spec, self._topic, pure=False)
        self._out[future.key] = spec
        future.add_done_callback(self._messages.put)

    def next(self) -> Message:
        message = self._messages.get()
        if not isinstance(message, Future):
            return message
        spec = self._out.pop(message.key)
        if message.status == "cancelled":
            raise SweepError("the connection to the Dask scheduler is lost")
        error = message.exception()
        if error is None:
            return Finished(spec, message.result())
        if isinstance(error, KilledWorker):
            return Failed(spec, "worker died", str(error), lost=True)
        lines = traceback.format_exception(type(error), error, message.traceback())
        reason = str(error) if isinstance(error, TrialFailedError) else f"error: {type(error).__name__}: {error}"
        return Failed(spec, reason.splitlines()[0], "".join(lines), lost=False)

    def _on_report(self, event: tuple[float, dict[str, Any]]) -> None:
        _, message = event  # Dask adds a "worker" to it
        self._messages.put(EpochReport(**message["report"]))


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
    threads = str(config.threads)
    settings = {
        # TensorFlow reads these when it loads, so they must be set before the worker starts.
        "distributed.nanny.pre-spawn-environ": {
            "TF_NUM_INTRAOP_THREADS": threads,
            "TF_NUM_INTEROP_THREADS": threads,
            "OMP_NUM_THREADS": threads,
            "TF_CPP_MIN_LOG_LEVEL": "3",
        },
        "distributed.worker.preload": ["sweeps.engine"],
        # A trial whose worker died is run again by the driver, which knows what an attempt is.
        "distributed.scheduler.allowed-failures": 0,
        # What Dask does many times a second to watch itself: together 5 % of a core in this process.
        "distributed.worker.profile.enabled": False,
        "distributed.admin.tick.interval": "1s",
        "distributed.admin.system-monitor.interval": "10s",
        "distributed.scheduler.work-stealing": False,  # a worker never has a second trial to be stolen
    }
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=config.workers or os.cpu_count(),
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",  # with None it listens too, and two sweeps want one port
            memory_limit=config.memory or 0,
            silence_logs=logging.ERROR,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def dask_setup(worker: Any) -> None:
    """Called by Dask in each embedded worker, which preloads this module: Ctrl-C is the driver's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


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
    with without_native_logs():
        importlib.import_module(module)


def _call(function: str, spec: TrialSpec, topic: str) -> Any:
    """On a worker: call the function, sending its reports to the driver."""
    module, _, name = function.rpartition(".")
    _import(module)
    worker = get_worker()
    return getattr(importlib.import_module(module), name)(
        spec, lambda report: worker.log_event(topic, {"report": report._asdict()})
    )
