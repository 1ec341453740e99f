"""Real processes for the tests of this folder: Dask clusters, MLflow servers, databases and one recorded sweep."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from distributed import Client

from sweeps.plan import Plan
from tests import servers
from tests.conftest import ROOT


def _wait_for(condition: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} within {seconds} s"
        time.sleep(0.1)


@pytest.fixture(scope="session")
def dask_processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts Dask's own commands, and ends what is left at the end of the session."""
    folder = tmp_path_factory.mktemp("dask")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder)}
    del environment["TF_NUM_INTRAOP_THREADS"]  # as a user would start them
    started: list[subprocess.Popen[bytes]] = []

    def start(*command: str) -> subprocess.Popen[bytes]:
        log = (folder / f"{len(started)}.log").open("wb")
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *command], cwd=folder, env=environment, stdout=log, stderr=log
        )
        log.close()
        started.append(process)
        return process

    yield start
    for process in reversed(started):
        process.terminate()
    for process in started:
        process.wait(timeout=30)


@pytest.fixture(scope="session")
def cluster(dask_processes: Callable[..., subprocess.Popen[bytes]]) -> str:
    """The address of a real scheduler with two real worker processes, all on loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    dask_processes("scheduler", "--host", address, "--dashboard-address", "127.0.0.1:0")
    for name in ("a", "b"):
        dask_processes(
            "worker",
            address,
            "--host",
            "127.0.0.1",
            "--nthreads",
            "1",
            "--dashboard-address",
            "127.0.0.1:0",
            "--name",
            name,
        )
    with Client(address, timeout=60) as client:
        client.wait_for_workers(2, timeout=60)
    return address


@pytest.fixture
def start_worker(cluster: str, dask_processes: Callable[..., subprocess.Popen[bytes]]) -> Iterator[Callable[..., None]]:
    """One more worker for the time of a test."""
    added: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> None:
        added.append(
            dask_processes("worker", cluster, "--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0", *arguments)
        )
        with Client(cluster) as client:
            client.wait_for_workers(3, timeout=60)

    yield start
    for process in added:
        process.terminate()
        process.wait(timeout=30)
    with Client(cluster) as client:
        _wait_for(lambda: len(client.scheduler_info(n_workers=-1)["workers"]) == 2, 30, "the added worker is gone")


# ---------------------------------------------------------------------------------------------------------------------
# MLflow: a database and a server for the whole test run, and one sweep that has really trained


@pytest.fixture(scope="session")
def database() -> Iterator[str]:
    """The URI of a PostgreSQL database; its password is `tests.servers.PASSWORD`."""
    if servers.postgresql_programs() is None:
        pytest.skip("PostgreSQL is not here (Debian: postgresql)")
    with servers.postgresql(servers.PASSWORD) as uri:
        yield uri


@pytest.fixture(scope="session")
def server(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an MLflow server on that database, which serves artifacts too."""
    folder = tmp_path_factory.mktemp("server")
    options = ("--backend-store-uri", database, "--artifacts-destination", str(folder / "artifacts"))
    with servers.mlflow_server(folder, *options) as address:
        yield address


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """The plan of a sweep that has ended: two trials that really trained. Tests only read its directory."""
    from tests import registered  # imports TensorFlow

    planned = registered.planned(tmp_path_factory.mktemp("outputs") / "sweep" / "imdb")
    registered.swept(planned)
    return planned
