"""The engine on Dask: workers embedded in this process, or a cluster that exists already. The only file with Dask."""

from __future__ import annotations

import asyncio
import atexit
import gc
import importlib
import logging
import multiprocessing
import os
import queue
import resource
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import dask
from distributed import Client, Future, KilledWorker, LocalCluster, Worker, get_worker
from distributed.comm import connect
from distributed.deploy.spec import close_clusters
from distributed.security import Security

from conf.schema import ConfigError
from conf.schema import Engine as EngineConfig
from sweeps import runtime
from sweeps.errors import SweepError, TrialFailedError, reason_of, traceback_of
from sweeps.trials import certificates, gpus, memory
from sweeps.trials.engine import OUT_OF_MEMORY, Failed, Finished, Message, Started
from sweeps.trials.identity import difference, identity
from sweeps.trials.native_logs import without_native_logs
from sweeps.trials.spec import EpochReport, TrialSpec

# TensorFlow and the libraries below it read these when they are first used.
THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
ANSWER = 5  # seconds for a scheduler to answer
WAIT_FOR_WORKERS = 60  # seconds
WAIT_FOR_START = 600  # seconds for a worker's process that is there to connect
IN_VAIN = 3  # workers in a row whose memory did not suffice for beginning a trial, after which none can be expected to
WAIT_FOR_DATA = 600  # seconds for the driver to send a piece of the data
WAIT_FOR_CAUSE = 2  # seconds for a nanny's message that it ended its worker, which may come after the worker's end
FILES, FILES_OF_A_WORKER = 96, 8  # that this process holds open: its libraries', and a worker's connections and pipes
CERTIFICATES = (
    "tls:// needs certificates: set DASK_DISTRIBUTED__COMM__TLS__CA_FILE, "
    "DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT and DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY to their files"
)
SAME_SOFTWARE = "it needs this project and its packages as they are here"
CHANGED = "the code or its packages changed while this command ran"
TEMPORARY = 2**20  # bytes of temporary files that must have room
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
    # Otherwise a worker is given up for good if it is not back at the instant 15 s after it was last lost.
    "distributed.deploy.lost-worker-timeout": "10000 days",
    # Of the pages that scheduler and workers would serve to everybody on this machine, none.
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.scheduler.work-stealing": False,  # a worker never has a second trial that could be stolen
    # TensorFlow's memory cannot be spilled, and a worker that pauses because of it would pause for ever.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 1.0,
}


class _Terms(NamedTuple):
    """The facts about its driver that a worker needs for every trial."""

    topic: str  # of its messages
    functions: tuple[str, ...]  # the dotted names of those that trials call
    software: Mapping[str, str]  # that it must have, for these functions
    sends_data: bool  # if the worker lacks them


class _Wanted(NamedTuple):
    """A worker's request for a piece of the data of its trial."""

    key: str  # the trial's in Dask
    worker: str  # its address
    file: str
    start: int


class DaskEngine:
    """A `sweeps.trials.engine.Engine` that runs each trial as a Dask task.

    `starting` tells whether a worker's process is there that has yet to connect. Each worker must have the software of
    this process, with the `functions` that trials call by their dotted names; `otherwise` says what it means if one has
    not. With `sends_data` a worker that lacks a trial's data gets them from this process.
    """

    def __init__(
        self,
        client: Client,
        *,
        limit: str = "",
        starting: Callable[[], bool] = lambda: False,
        functions: tuple[str, ...] = (),
        otherwise: str = SAME_SOFTWARE,
        sends_data: bool = False,
    ) -> None:
        self._client = client
        self._otherwise = otherwise
        self._limit = limit  # of a worker's memory, as configured
        self._starting = starting
        self._terms = _Terms(f"trials-{uuid.uuid4().hex}", functions, dict(identity(functions)), sends_data)
        # Dask's threads put here: the key of a trial that has started, a report, a request, a future that is done.
        self._messages: queue.SimpleQueue[str | EpochReport | _Wanted | Future] = queue.SimpleQueue()
        self._out: dict[str, TrialSpec] = {}  # Dask key -> spec
        self._where: dict[str, str] = {}  # Dask key -> address of the worker
        self._killed: dict[str, str] = {}  # Dask key -> reason
        self._over_memory: dict[str, int] = {}  # address -> bytes when its nanny ended the worker
        self._in_vain: dict[int, int] = {}  # process -> the same, for workers since a trial last began that had none
        self._kills = memory.kills()
        self._warming_up: list[Future] = []
        self._most_workers = self.workers
        self._workers_seen = self._all_seen = time.monotonic()
        client.subscribe_topic(self._terms.topic, self._on_message)
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

    @property
    def lost_workers(self) -> int:
        """The number of workers that have been away for a minute."""
        away = time.monotonic() - self._all_seen > WAIT_FOR_WORKERS
        return max(0, self._most_workers - self.workers) if away else 0

    def warm_up(self, function: str) -> None:
        """Call a function without arguments, given by its dotted name, on every worker in the background."""
        addresses = self._client.scheduler_info(n_workers=-1)["workers"]
        # The futures are stored because Dask drops a task whose future nobody holds. All workers start at once: the
        # scheduler takes a worker that has yet to warm up for busier than one that trains, and would give the latter a
        # second trial.
        self._warming_up = [self._client.submit(_warm_up, function, workers=[a], pure=False) for a in addresses]

    def warmed_up(self) -> list[Any]:
        """Wait until all workers are warm, and return what the function returned in each that has not died."""
        until = time.monotonic() + WAIT_FOR_START  # a task waits for ever if its worker died before it was given there
        while any(future.status == "pending" for future in self._warming_up) and time.monotonic() < until:
            self._refuse_memory()
            time.sleep(0.05)
        return [future.result() for future in self._warming_up if future.status == "finished"]

    def submit(self, function: str, spec: TrialSpec) -> None:
        key = f"{spec.sweep}-{spec.trial}-{uuid.uuid4().hex}"
        self._out[key] = spec
        future = self._client.submit(_call, function, spec, self._terms, key=key, pure=False)
        future.add_done_callback(self._messages.put)

    def stop(self, sweep: str, reason: str) -> None:
        # It does not wait, as a worker may be busy. A worker that joins later gets no trial of this sweep.
        self._client.run(_stop, f"{self._terms.topic}/{sweep}", reason, wait=False, on_error="ignore")

    def kill(self, spec: TrialSpec, reason: str) -> None:
        key = next(key for key, out in self._out.items() if (out.sweep, out.trial) == (spec.sweep, spec.trial))
        self._killed[key] = reason
        self._end_worker(key)

    def next(self, timeout: float) -> Message | None:
        self._refuse_memory()
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
            case _Wanted():
                self._send(message)
                return None
        return self._ended(message)

    def _send(self, wanted: _Wanted) -> None:
        if wanted.key in self._out:
            spec = self._out[wanted.key]
            content = importlib.import_module(spec.cache).piece(spec.digest, wanted.file, wanted.start)
            self._client.run(_take, wanted.key, content, workers=[wanted.worker], wait=False, on_error="ignore")

    def _started(self, key: str) -> Started | None:
        if key in self._killed:  # a cluster's scheduler runs it again, three times unless configured otherwise
            self._end_worker(key)
        return Started(self._out[key]) if key in self._out else None

    def _ended(self, future: Future) -> Finished | Failed:
        key = future.key
        spec = self._out.pop(key)
        self._where.pop(key, None)
        if future.status == "cancelled":
            raise SweepError("the connection to the Dask scheduler is lost")
        error = future.exception()
        if error is None:
            return Finished(spec, future.result())
        if isinstance(error, KilledWorker):
            ours = self._killed.pop(key, "")
            return Failed(spec, ours or self._why_died(error.last_worker.address), str(error), lost=not ours)
        if isinstance(error, _TrialError):
            reason, trace = error.args
            return Failed(spec, reason, trace, lost=False)
        # The function was never called: no other trial could run there either, and this one is not at fault.
        unlike = (
            _unlike_worker(self._client, self._terms.functions) or f"a worker cannot run trials: {reason_of(error)}"
        )
        raise SweepError(f"{unlike}; {self._otherwise}") from error

    def _why_died(self, address: str) -> str:
        """Return why a worker's process ended that nobody here has ended."""
        deadline = time.monotonic() + WAIT_FOR_CAUSE
        while self._limit and address not in self._over_memory and time.monotonic() < deadline:
            time.sleep(0.05)
        if size := self._over_memory.pop(address, 0):
            return f"{OUT_OF_MEMORY}: the worker took {memory.in_words(size)}, more than engine.memory={self._limit}"
        before, self._kills = self._kills, memory.kills()
        if self._kills > before:
            return f"{OUT_OF_MEMORY}: the system, which has {memory.in_words(memory.limit())}, ended the worker"
        return "worker died"

    def _end_worker(self, key: str) -> None:
        self._client.run(_die, workers=[self._where[key]], wait=False, on_error="ignore")

    def _look_for_workers(self) -> None:
        """Raise `SweepError` if no worker has been there for a minute and none is starting."""
        workers, now = self.workers, time.monotonic()
        self._most_workers = max(workers, self._most_workers)
        if workers == self._most_workers:
            self._all_seen = now
        if workers:
            self._workers_seen = now
        limit = WAIT_FOR_START if self._starting() else WAIT_FOR_WORKERS
        if now - self._workers_seen > limit:
            raise SweepError(f"no worker is left, and none came within {limit} s")

    def _refuse_memory(self) -> None:
        """Raise `SweepError` if one worker after the other takes too much memory before it has begun a trial."""
        if len(self._in_vain) >= IN_VAIN:
            size = memory.in_words(max(self._in_vain.values()))
            raise SweepError(
                f"engine.memory={self._limit}: too little, a worker takes {size} before it can train anything"
            )

    def _on_message(self, event: tuple[float, dict[str, Any]]) -> None:
        _, message = event
        if "report" in message:
            self._messages.put(EpochReport(**message["report"]))
        elif "wanted" in message:
            self._messages.put(_Wanted(**message["wanted"]))
        else:
            self._where[message["started"]] = message["worker"]  # Dask adds the worker
            self._in_vain.clear()
            self._messages.put(message["started"])

    def _on_memory(self, event: tuple[float, dict[str, Any]]) -> None:
        address, size = event[1]["worker"], event[1]["rss"]
        self._over_memory[address] = size
        if address not in list(self._where.values()):
            self._in_vain[event[1]["pid"]] = size  # its replacement may have its address


@contextmanager
def open_engine(config: EngineConfig, functions: tuple[str, ...] = ()) -> Iterator[DaskEngine]:
    """Yield an engine whose workers are there or starting; those of `engine=local` end with the block.

    `functions` are the dotted names of those that trials call: a worker that has others is refused.
    """
    # A spec holds the checkpoint from which a promoted trial goes on: some 20 MB, of which Dask would warn.
    settings = {"distributed.admin.large-graph-warning-threshold": "1GB"}
    opened = _connected if config.name == "cluster" else _embedded
    with dask.config.set(settings), opened(config, functions) as engine:
        yield engine


@contextmanager
def _embedded(config: EngineConfig, functions: tuple[str, ...]) -> Iterator[DaskEngine]:
    identity(functions)  # which is remembered: the code as it is before a worker imports it
    with dask.config.set(EMBEDDED), _local_cluster(config) as cluster, Client(cluster) as client:

        def starting() -> bool:
            return any(nanny.is_alive() for nanny in list(cluster.workers.values()))

        limit = config.memory or ""
        yield DaskEngine(client, limit=limit, starting=starting, functions=functions, otherwise=CHANGED)


def _local_cluster(config: EngineConfig) -> LocalCluster:
    workers = _workers(config)
    _allow_open_files(FILES + FILES_OF_A_WORKER * workers, workers)
    _check_system()
    try:
        return LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            env={**dict.fromkeys(THREADS, str(config.threads)), "TF_CPP_MIN_LOG_LEVEL": "3"},
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",  # with None it listens too, and two sweeps would want the same port
            memory_limit=config.memory or 0,
            security=_security(),
            silence_logs=logging.CRITICAL,  # the journal has a trial's error; its worker need not print it too
        )
    except Exception as error:  # a setting of the user's for Dask may raise any
        raise SweepError(f"the workers cannot be started: {reason_of(error)}") from error
    except KeyboardInterrupt:
        # Both complain of workers that are starting, which end with this process.
        atexit.unregister(close_clusters)
        logging.getLogger("asyncio").setLevel(logging.CRITICAL + 1)
        raise


def _security() -> Security:
    """Let nobody in who lacks a certificate that only this process and its workers have."""
    certificate, key = certificates.new()
    parts = ("client", "scheduler", "worker")
    ours = {f"tls_{part}_cert": certificate for part in parts} | {f"tls_{part}_key": key for part in parts}
    return Security(require_encryption=True, tls_ca_file=certificate, **ours)


def _check_system() -> None:
    """Raise `SweepError` if the system lacks what workers need, of which Dask would not say what and where."""
    try:
        multiprocessing.get_context("spawn").Lock()
    except OSError as error:
        raise SweepError(f"/dev/shm: {error.strerror}; workers need semaphores there") from error
    try:
        with tempfile.TemporaryFile() as file:
            file.write(bytes(TEMPORARY))
    except OSError as error:
        where = f"the temporary folder {tempfile.tempdir or ''}".rstrip()
        raise SweepError(f"{where}: {error.strerror}; make room for 1 MB there or set TMPDIR") from error


def _allow_open_files(needed: int, workers: int) -> None:
    """Raise this process's limit of open files as far as it may be; with too few Dask waits for ever."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < needed <= hard or (soft < needed and hard == resource.RLIM_INFINITY):
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    elif soft < needed:
        need = "worker needs" if workers == 1 else "workers need"
        raise SweepError(f"ulimit -n {hard}: {workers} {need} at least {needed} open files; allow more of them")


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
def _connected(config: EngineConfig, functions: tuple[str, ...]) -> Iterator[DaskEngine]:
    where = f"engine.scheduler={config.scheduler}"
    try:
        asyncio.run(asyncio.wait_for(_ask_for_scheduler(config.scheduler or ""), 2 * ANSWER))
        client = Client(config.scheduler, timeout=ANSWER)
    except (OSError, ValueError, TypeError, ImportError, TimeoutError) as error:
        if isinstance(error, TypeError) and str(config.scheduler).startswith("tls:"):
            raise ConfigError(f"{where}: {CERTIFICATES}") from error
        raise ConfigError(f"{where}: no Dask scheduler answers there ({reason_of(error)})") from error
    with client:
        try:
            client.wait_for_workers(1, timeout=WAIT_FOR_WORKERS)
        except TimeoutError as error:
            raise SweepError(f"{where}: no worker in {WAIT_FOR_WORKERS} s") from error
        for address, worker in client.scheduler_info(n_workers=-1)["workers"].items():
            if worker["nthreads"] != 1:
                raise ConfigError(
                    f"{where}: worker {address} runs {worker['nthreads']} tasks at once; "
                    "Keras trains one trial a process: start workers with --nthreads 1"
                )
        if unlike := _unlike_worker(client, functions):
            raise ConfigError(f"{where}: {unlike}; {SAME_SOFTWARE}")
        yield DaskEngine(client, functions=functions, sends_data=True)


async def _ask_for_scheduler(address: str) -> None:
    """Raise an error unless a scheduler answers; a `Client` waits for ever for the answer of anything else."""
    comm = await connect(address, timeout=ANSWER, **Security().get_connection_args("client"))
    try:
        await comm.write({"op": "identity"})
        kind = (await comm.read()).get("type")
    finally:
        comm.abort()
    if kind != "Scheduler":
        raise ValueError(f"it is a Dask {str(kind).lower()}")


def _unlike_worker(client: Client, functions: tuple[str, ...]) -> str:
    """Name a worker that lacks this project, or has it or its packages in another version; empty if there is none."""
    for address, answer in client.run(identity, functions, on_error="return").items():
        unlike = reason_of(answer) if isinstance(answer, Exception) else difference(identity(functions), answer)
        if unlike:
            return f"worker {address} cannot run trials: {unlike}"
    return ""


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
        # each trial (2026-11-25). The model of a trial before, were it still there, would never be freed.
        gc.collect()
        gc.freeze()
    called: Callable[..., Any] = getattr(sys.modules[module], name)
    return called


def _warm_up(function: str) -> Any:
    return _imported(function)()


class _TrialError(Exception):
    """The failure of a trial, as texts: an error of any library may be one that cannot be sent, or loses its cause."""

    def __init__(self, reason: str, trace: str) -> None:
        super().__init__(reason, trace)


def _call(function: str, spec: TrialSpec, terms: _Terms) -> Any:
    """Call the function on a worker, and send its reports to the driver."""
    if unlike := difference(terms.software, identity(terms.functions)):
        raise RuntimeError(unlike)
    worker, topic = get_worker(), terms.topic

    def on_epoch(report: EpochReport) -> str | None:
        worker.log_event(topic, {"report": report._asdict()})
        return _stopped.get(f"{topic}/{spec.sweep}")

    try:
        called = _imported(function)
        if terms.sends_data and spec.cache:
            _fetch_data(worker, spec, topic)
        worker.log_event(topic, {"started": worker.get_current_task()})
        return called(spec, on_epoch)
    except Exception as error:
        reason = str(error) if isinstance(error, TrialFailedError) else f"error: {reason_of(error)}"
        failure = _TrialError(reason.splitlines()[0], traceback_of(error))
    raise failure  # out here it does not take the error along, whose frames may be too many to be sent


def _fetch_data(worker: Worker, spec: TrialSpec, topic: str) -> None:
    """Copy the trial's data from the driver's cache into this machine's, unless they are in it."""
    key = worker.get_current_task()
    pieces = _pieces[key] = queue.SimpleQueue[bytes]()

    def piece(file: str, start: int) -> bytes:
        worker.log_event(topic, {"wanted": _Wanted(key, worker.address, file, start)._asdict()})
        try:
            return pieces.get(timeout=WAIT_FOR_DATA)
        except queue.Empty:
            raise TrialFailedError(f"the driver sent no data within {WAIT_FOR_DATA} s") from None

    try:
        importlib.import_module(spec.cache).fetch(spec.digest, piece)
    finally:
        del _pieces[key]


# On a worker: the pieces of data that have come for its trial, by the trial's key in Dask.
_pieces: dict[str, queue.SimpleQueue[bytes]] = {}
# On a worker: the sweeps whose trials are to end with their current epoch, and the reason.
_stopped: dict[str, str] = {}


# Dask runs a function on its workers without waiting for it only if the function is a coroutine.
async def _stop(sweep: str, reason: str) -> None:
    _stopped[sweep] = reason


async def _take(key: str, content: bytes) -> None:
    if key in _pieces:
        _pieces[key].put(content)


async def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
