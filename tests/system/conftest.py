"""Real processes for the tests of this folder: Dask clusters, MLflow servers, databases and sweeps that have trained.

Every process ends with the fixture that started it, also after Ctrl-C and SIGTERM.
"""

import io
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from distributed import Client
from rich.console import Console

from conf.schema import Job
from pipelines import sweep
from sweeps.journal import SweepRecord
from sweeps.plan import Plan
from tests import servers
from tests.conftest import ROOT, composed_job
from tests.servers import Start, free_port


@pytest.fixture(scope="session", autouse=True)
def _end_in_order() -> Iterator[None]:
    """Let SIGTERM end the tests as Ctrl-C does: with the fixtures' own ends."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts commands; see `servers.processes`."""
    with servers.processes() as start:
        yield start


# ---------------------------------------------------------------------------------------------------------------------
# Dask: a scheduler with two workers for the whole test run


def _wait_for(condition: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} within {seconds} s"
        time.sleep(0.1)


@pytest.fixture(scope="session")
def dask_command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts Dask's own commands."""
    folder = tmp_path_factory.mktemp("dask")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder)}
    del environment["TF_NUM_INTRAOP_THREADS"]  # as a user would start them
    with servers.processes() as start, (folder / "log").open("wb") as log:
        started: list[subprocess.Popen[str]] = []

        def start_dask(*arguments: str, **variables: str) -> subprocess.Popen[str]:
            command = [sys.executable, "-m", "dask", *arguments, "--dashboard-address", "127.0.0.1:0"]
            started.append(start(command, cwd=folder, env=environment | variables, stdout=log))
            return started[-1]

        yield start_dask
        for process in reversed(started):  # a nanny waits for its worker
            process.terminate()
        for process in started:
            process.wait(timeout=120)


@pytest.fixture(scope="session")
def cluster(dask_command: Callable[..., subprocess.Popen[str]]) -> str:
    """The address of a real scheduler with two real worker processes, all on loopback."""
    address = f"tcp://127.0.0.1:{free_port()}"
    dask_command("scheduler", "--host", address)
    for name in ("a", "b"):
        dask_command("worker", address, "--host", "127.0.0.1", "--nthreads", "1", "--name", name)
    with Client(address, timeout=240) as client:
        client.wait_for_workers(2, timeout=240)
    return address


@pytest.fixture
def start_worker(cluster: str, dask_command: Callable[..., subprocess.Popen[str]]) -> Iterator[Callable[..., None]]:
    """One more worker for the time of a test."""
    added: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> None:
        added.append(dask_command("worker", cluster, "--host", "127.0.0.1", *arguments))
        with Client(cluster) as client:
            client.wait_for_workers(3, timeout=240)

    yield start
    for process in added:
        process.terminate()
        process.wait(timeout=120)
    with Client(cluster) as client:
        _wait_for(lambda: len(client.scheduler_info(n_workers=-1)["workers"]) == 2, 120, "the added worker is gone")


# ---------------------------------------------------------------------------------------------------------------------
# MLflow: a database and a server for the whole test run


@pytest.fixture(scope="session")
def database() -> Iterator[str]:
    """The URI of a PostgreSQL database; its password is `tests.servers.PASSWORD`."""
    if servers.postgresql_programs() is None:
        pytest.skip("PostgreSQL is not here (Debian: postgresql)")
    with servers.postgresql(servers.PASSWORD) as uri:
        yield uri


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an MLflow server that serves artifacts too, on that database where there is one."""
    folder = tmp_path_factory.mktemp("server")
    has_database = servers.postgresql_programs() is not None
    store = request.getfixturevalue("database") if has_database else f"sqlite:///{folder}/mlflow.db"
    options = ("--backend-store-uri", store, "--artifacts-destination", str(folder / "artifacts"))
    with servers.mlflow_server(folder, *options) as address:
        yield address


# ---------------------------------------------------------------------------------------------------------------------
# Sweeps that have really trained


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """The plan of a sweep that has ended: two trials that really trained. Tests only read its directory."""
    from tests import registered  # imports TensorFlow

    planned = registered.planned(tmp_path_factory.mktemp("outputs") / "sweep" / "imdb")
    registered.swept(planned)
    return planned


class Searched(NamedTuple):
    """A finished sweep: its folder with `outputs/` and `mlflow.db`, and everything that its user read."""

    folder: Path
    record: SweepRecord
    output: str

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.folder}/mlflow.db"


SEARCHED = (
    "experiment=smoke",
    "trials=3",
    "epochs=2",
    "stopping=none",
    "datasets.imdb.maxlen=20",
    "model.space.embedding_dim={values: [8, 12], default: 8}",
    "model.space.conv_filters=8",
    "model.space.lstm_units={min_value: 4, max_value: 12, step: 4, default: 8}",
    # So low that curves differ.
    "optimizer.space.learning_rate={kind: Float, min_value: 0.0005, max_value: 0.003, sampling: log, default: 0.001}",
)


@pytest.fixture(scope="session")
def searched(cluster: str, tmp_path_factory: pytest.TempPathFactory) -> Searched:
    """A sweep from the command line to the store, on real workers. Tests only read it, or take `searched_here`."""
    folder = tmp_path_factory.mktemp("searched")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        patched.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patched.delenv("MLFLOW_TRACKING_URI", raising=False)
        patched.delenv("MLFLOW_RUN_ID", raising=False)
        (record,), output = run_job(composed_job(*SEARCHED, "engine=cluster", f"engine.scheduler={cluster}"))
    return Searched(folder, record, output)


@pytest.fixture
def searched_here(searched: Searched, tmp_path: Path, own_folder: None) -> SweepRecord:
    """A copy of that sweep and its store in the test's own folder; the artifacts stay where they are."""
    shutil.copytree(searched.folder / "outputs", tmp_path / "outputs")
    with (
        closing(sqlite3.connect(searched.folder / "mlflow.db")) as store,
        closing(sqlite3.connect("mlflow.db")) as copy,
    ):
        store.backup(copy)
    return searched.record


def run_job(job: Job) -> tuple[list[SweepRecord], str]:
    """Run a job as `python -m pipelines.sweep` does; returns its records and what it printed."""
    console = Console(file=io.StringIO(), width=120)
    records = sweep.run([job], console)
    assert isinstance(console.file, io.StringIO)
    return records, console.file.getvalue()
