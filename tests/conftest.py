import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from distributed import Client
from hypothesis import settings

# Before anything imports TensorFlow or MLflow.
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # the same tests on every machine
os.environ["TF_NUM_INTRAOP_THREADS"] = "1"  # trials that run in this process do as in a worker

from conf.compose import Job, compose

ROOT = Path(__file__).parent.parent

# What a test may take is no property of the code: the first example may import TensorFlow, a disk may be busy.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture
def composed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Job]:
    """The job that a command line asks for."""

    def compose_one(*arguments: str) -> Job:
        monkeypatch.setattr("sys.argv", ["sweep", *arguments])
        (job,) = compose()
        return job

    return compose_one


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test works in a folder and with caches of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)


@pytest.fixture
def home(own_folder: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which `own_folder` put both caches; archives may be fetched from this machine."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow takes seconds to make one; the tests copy it."""
    from sweeps.tracking import Tracker

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    assert Tracker(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def fresh_store(empty_store: Path, tmp_path: Path, own_folder: None) -> None:
    shutil.copy(empty_store, tmp_path / "mlflow.db")


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
