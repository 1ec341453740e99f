"""The signals that end a command."""

import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.servers import Start

WAITS = """
import signal
from pipelines.command import execute

def wait(console):
    try:
        print("ready", flush=True)
        signal.pause()
    finally:
        print("in order", flush=True)
    return True

execute(wait)
"""
Command = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def command(start: Start) -> Command:
    """Starts a command that waits, with these words before it."""

    def ready(*prefix: str) -> subprocess.Popen[str]:
        process = start([*prefix, sys.executable, "-c", WAITS], stdin=subprocess.DEVNULL)
        assert process.stdout is not None
        while "ready" not in process.stdout.readline():
            assert process.poll() is None
        return process

    return ready


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_command_ends_in_order(number: int, command: Command) -> None:
    process = command()
    process.send_signal(number)
    assert process.communicate()[0] == "in order\n"
    assert process.returncode == 130


def test_a_command_outlives_its_terminal_below_nohup(command: Command) -> None:
    process = command("nohup")
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.terminate()
    assert process.wait(120) == 130


IN_A_LIBRARY = """
import signal
from conf.schema import ConfigError
from pipelines.command import execute

def wait(console):
    try:
        signal.raise_signal(signal.SIGTERM)
    except KeyboardInterrupt:
        raise {error}("an error of the library's own")

execute(wait)
"""


@pytest.mark.parametrize("error", ["AttributeError", "ConfigError"])
def test_an_interruption_that_a_library_takes_for_an_error_is_no_error(error: str, start: Start) -> None:
    process = start([sys.executable, "-c", IN_A_LIBRARY.format(error=error)])
    assert process.communicate()[0] == ""
    assert process.returncode == 130
