"""The workers of `engine=local`: processes of this machine that end with this one."""

from __future__ import annotations

import atexit
import logging
import multiprocessing
import os
import resource
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec

import dask
from distributed import Client, LocalCluster
from distributed.deploy.spec import close_clusters
from distributed.security import Security

from conf.schema import Engine as EngineConfig
from sweeps.errors import SweepError, reason_of
from sweeps.trials import certificates, gpus
from sweeps.trials.dask_engine.engine import DaskEngine
from sweeps.trials.dask_engine.worker import THREADS
from sweeps.trials.identity import identity

FILES, FILES_OF_A_WORKER = 96, 8  # that this process holds open: its libraries', and a worker's connections and pipes
CHANGED = "the code or its packages changed while this command ran"
TEMPORARY = 2**20  # bytes of temporary files that must have room
# Dask's settings for `engine=local`.
EMBEDDED = {
    # Dask's own variables make the C library return memory at once, and a trial takes 3 to 9 % longer (2026-11-25).
    # Variables of this project would override those that the user sets, which the workers inherit.
    "distributed.nanny.pre-spawn-environ": {},
    "distributed.worker.preload": ["sweeps.trials.dask_engine.worker"],
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


@contextmanager
def embedded(config: EngineConfig, functions: tuple[str, ...]) -> Iterator[DaskEngine]:
    identity(functions)  # which is remembered: the code as it is before a worker imports it
    with dask.config.set(EMBEDDED), _main_left_alone(), _local_cluster(config) as cluster, Client(cluster) as client:

        def starting() -> bool:
            return any(nanny.is_alive() for nanny in list(cluster.workers.values()))

        limit = config.memory or ""
        yield DaskEngine(client, limit=limit, starting=starting, functions=functions, otherwise=CHANGED)


@contextmanager
def _main_left_alone() -> Iterator[None]:
    """Keep workers from importing the module that this process runs, which takes each a second: they need none of it.

    Python's multiprocessing imports it in every process that it starts, unless it is the `__main__` of a package.
    """
    main = sys.modules["__main__"]
    spec, main.__spec__ = main.__spec__, ModuleSpec("text_sweeps.__main__", None)
    try:
        yield
    finally:
        main.__spec__ = spec


def _local_cluster(config: EngineConfig) -> LocalCluster:
    workers = _workers(config)
    allow_open_files(FILES + FILES_OF_A_WORKER * workers, workers)
    _check_system()
    try:
        return LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            env={
                **dict.fromkeys(THREADS, str(config.threads)),
                **gpus.hidden_from_workers(),
                "TF_CPP_MIN_LOG_LEVEL": "3",
            },
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",  # with None it listens too, and two sweeps would want the same port
            memory_limit=config.memory or 0,
            security=security(*certificates.new()),
            silence_logs=logging.CRITICAL,  # the journal has a trial's error; its worker need not print it too
        )
    except Exception as error:  # a setting of the user's for Dask may raise any
        raise SweepError(f"the workers cannot be started: {reason_of(error)}") from error
    except KeyboardInterrupt:
        # Both complain of workers that are starting, which end with this process.
        atexit.unregister(close_clusters)
        logging.getLogger("asyncio").setLevel(logging.CRITICAL + 1)
        raise


def security(certificate: str, key: str) -> Security:
    """Let nobody in who lacks a certificate and its key, which only this process and its workers have."""
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


def allow_open_files(needed: int, workers: int) -> None:
    """Raise this process's limit of open files as far as it may be; with too few Dask waits for ever."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < needed <= hard or (soft < needed and hard == resource.RLIM_INFINITY):
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    elif soft < needed:
        need = "worker needs" if workers == 1 else "workers need"
        raise SweepError(f"ulimit -n {hard}: {workers} {need} at least {needed} open files; allow more of them")


def _workers(config: EngineConfig) -> int:
    return config.workers or config.workers_per_gpu * len(gpus.gpus().ids) or os.cpu_count() or 1
