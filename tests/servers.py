"""Processes that end with a block: any command, a real PostgreSQL and a real MLflow server on loopback."""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil

from tests.conftest import ROOT

STARTING = 120  # seconds
MARK = "STARTED_BY_TEST"  # a variable of the environment
PASSWORD = secrets.token_hex(8)  # of the database; it stands in no file that a journal could quote

Start = Callable[..., subprocess.Popen[str]]


@contextmanager
def processes() -> Iterator[Start]:
    """Yield a function that starts a command as a terminal does, in a process group of its own.

    Its output can be read, and it finds this project's code. Whatever is left of it is killed at the end, also what it
    started in sessions of their own and left behind: all of them have the same mark in their environment.
    """
    started: list[subprocess.Popen[str]] = []
    mark = secrets.token_hex(8)

    def start(command: Sequence[str | Path], **options: Any) -> subprocess.Popen[str]:
        environment = options.pop("env", {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"})
        output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        marked = {**environment, MARK: mark}
        started.append(subprocess.Popen(command, **(output | options), env=marked, start_new_session=True))
        return started[-1]

    try:
        yield start
    finally:
        for process in reversed(started):
            end(process)
        while left := _marked(mark):
            for process in left:
                with suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs(left, timeout=1)


def _marked(mark: str) -> list[psutil.Process]:
    """The processes that have a mark in their environment."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def end(process: subprocess.Popen[Any]) -> None:
    """Kill a process with its group and its children, and wait for it."""
    children: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.kill()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(BrokenPipeError):
                stream.close()
    process.wait()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def postgresql_programs() -> Path | None:
    """The folder of the newest version that Debian installed, or else that of the PATH."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    in_path = shutil.which("initdb")
    return installed[-1].parent if installed else Path(in_path).parent if in_path else None


@contextmanager
def postgresql(password: str) -> Iterator[str]:
    """The URI of a new, empty database."""
    programs = postgresql_programs()
    assert programs is not None
    port = free_port()
    # Not in pytest's folder, which only its owner may enter: PostgreSQL does not run as root.
    with tempfile.TemporaryDirectory() as scratch:
        folder, user = Path(scratch), None
        if os.getuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(folder, owner.pw_uid, owner.pw_gid)
            user = "postgres"
        (folder / "password").write_text(password)
        os.chmod(folder / "password", 0o644)

        def call(program: str, *arguments: str) -> None:
            command = [str(programs / program), "-D", str(folder / "data"), *arguments]
            subprocess.run(command, user=user, cwd=folder, stdout=subprocess.DEVNULL, check=True)

        call("initdb", "-U", "mlflow", "-A", "scram-sha-256", f"--pwfile={folder / 'password'}", "--no-sync")
        call("pg_ctl", "start", "-w", "-l", str(folder / "log"), "-o", f"-h 127.0.0.1 -p {port} -k {folder} -F")
        try:
            yield f"postgresql://mlflow:{password}@127.0.0.1:{port}/postgres"
        finally:
            call("pg_ctl", "stop", "-w", "-m", "immediate")


@contextmanager
def mlflow_server(
    folder: Path, *options: str, environment: Mapping[str, str] | None = None, port: int | None = None
) -> Iterator[str]:
    """The address of a server that answers; it is killed at the end."""
    port = port or free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    light = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **(environment or {})}
    with (folder / "server.log").open("w+") as log, processes() as start:
        server = start([*command, *options], cwd=folder, env=light, stdout=log)
        wait_until_it_answers(f"{address}/health", server, folder / "server.log")
        yield address


def wait_until_it_answers(address: str, server: subprocess.Popen[str], log: Path) -> None:
    deadline = time.monotonic() + STARTING
    while True:
        assert server.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        try:
            with urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
