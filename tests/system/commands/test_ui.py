"""`python -m pipelines.ui`: a light server that ends with the command, and mistakes in one line."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from conf.schema import ConfigError
from pipelines import ui
from tests.servers import Start, free_port

Command = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def command(start: Start) -> Command:
    """Starts `python -m pipelines.ui` with these arguments."""
    return lambda *arguments: start([sys.executable, "-m", "pipelines.ui", *arguments])


def refusal(command: Command, *arguments: str) -> str:
    """Return the line with which the command ends, in less processor time than a server takes to start."""
    began = processor_time()
    process = command(*arguments)
    output, _ = process.communicate()
    assert process.returncode == 1
    assert processor_time() - began < 5
    (line,) = output.splitlines()
    return line


def processor_time() -> float:
    """Seconds of all processes that ended, which other processes on the machine do not change."""
    times = os.times()
    return times.children_user + times.children_system


@pytest.mark.usefixtures("fresh_store")
@pytest.mark.parametrize(
    "number",
    [
        signal.SIGHUP,
        *(pytest.param(number, marks=pytest.mark.long) for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)),
    ],
)
def test_a_signal_ends_the_server_and_its_children(number: int, command: Command) -> None:
    port = free_port()
    process = command(f"port={port}", "open=false")
    assert process.stdout is not None
    printed = []
    for line in process.stdout:
        printed.append(line.strip())
        if "Ctrl-C" in line:
            break
    assert (
        printed[2] == f"http://127.0.0.1:{port}/#/experiments?workflowType=machine_learning"
    )  # no sweep yet, so no comparison
    started = psutil.Process(process.pid).children(recursive=True)
    assert len(started) >= 2  # MLflow and its one worker
    listening = {
        c.laddr.ip for child in started for c in child.net_connections("tcp") if c.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}
    process.send_signal(number)
    process.send_signal(number)  # a terminal that is closed and its shell send one each
    last = process.communicate()[0].splitlines()[-1:]
    if number in (signal.SIGQUIT, signal.SIGKILL):  # the server ends with it all the same, as soon as the kernel says
        psutil.wait_procs(started, timeout=20)
    else:
        assert last == ["ended"]
        assert process.returncode == 0
    assert [child for child in started if child.is_running() and child.status() != psutil.STATUS_ZOMBIE] == []


def test_a_port_in_use_is_refused_before_anything_starts(tmp_path: Path, command: Command) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert (
            refusal(command, f"port={port}")
            == f"error: port={port}: Address already in use; give another one, e.g. port={port + 1}"
        )
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_is_not_there_is_named(tmp_path: Path, command: Command) -> None:
    line = refusal(command, f"port={free_port()}")
    assert line.startswith(
        f"error: tracking.uri=sqlite:///{tmp_path}/mlflow.db: there is no such store; a sweep creates it: "
    )
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_away_is_named(command: Command) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    assert refusal(command, f"tracking.uri={address}").startswith(f"error: {address} does not answer: ")


@pytest.mark.parametrize(
    ("argument", "line"),
    [
        ("port=x", "port=x: must be at least 1 and at most 65535"),
        ("port=65536", "port=65536: must be at least 1 and at most 65535"),
        ("open=maybe", "open=maybe: allowed: true, false"),
        ("prot=5000", "prot=5000: allowed: tracking.uri=…, port=…, open=…; did you mean 'port'?"),
        ("5000", "5000: allowed: tracking.uri=…, port=…, open=…"),
        ("tracking.uri=mlruns", "tracking.uri=mlruns: must be sqlite:///"),
    ],
)
def test_a_mistake_is_answered_in_one_line(argument: str, line: str) -> None:
    with pytest.raises(ConfigError) as error:
        ui.read_arguments([argument])
    assert str(error.value).startswith(line)


def test_a_correct_command_line_is_read(tmp_path: Path) -> None:
    assert ui.read_arguments([]) == (f"sqlite:///{tmp_path}/mlflow.db", 5000, True)
    assert ui.read_arguments(["port=1", "open=false", "tracking.uri=http://x"]) == ("http://x", 1, False)
