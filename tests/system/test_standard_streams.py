"""Processes whose output nobody reads any more."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

PRINTS = """
import logging, os, sys
from sweeps.terminal import standard_streams
standard_streams.outlive_readers()
for line in range(20000):
    print("a line of text", file=sys.stdout)
    print("a line of text", file=sys.stderr)
logging.getLogger("mlflow").warning("not read either")
opened = os.open(os.devnull, os.O_RDONLY)
sys.exit(opened if opened > 2 else 1)
"""


def run(program: str, streams: str = "", options: str = "") -> subprocess.CompletedProcess[str]:
    command = ["bash", "-o", "pipefail", "-c", f"{sys.executable} {options} -c '{program}' {streams}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("streams", [">&-", "2>&-", "<&- >&- 2>&-", "2>&1 | head -1", "| head -1 2>&1"])
def test_a_process_goes_on_although_nobody_reads_what_it_prints(streams: str) -> None:
    ended = run(PRINTS, streams)
    assert ended.returncode > 2  # the descriptor of a file that was opened later
    assert "Traceback" not in ended.stderr + ended.stdout


def test_a_process_goes_on_when_its_terminal_is_gone() -> None:
    terminal, stream = os.openpty()
    command = [sys.executable, "-c", f"import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n{PRINTS}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment, stdout=stream, stderr=stream)
    os.close(stream)
    os.read(terminal, 10)
    os.close(terminal)
    assert process.wait() > 2


COMMAND = """
from pipelines.command import execute
def act(console):
    for line in range(20000):
        console.print("a line of text")
    return True
execute(act)
"""


@pytest.mark.parametrize("streams", ["2>&1 | head -1", ">&-"])
def test_a_command_goes_on_although_nobody_reads_what_it_prints(streams: str) -> None:
    ended = run(COMMAND, streams)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("options", ["", "-u"])
def test_what_is_read_is_complete(options: str) -> None:
    assert run(PRINTS, options=options).stdout.splitlines() == ["a line of text"] * 20000
    program = "from sweeps.terminal import standard_streams as s; s.outlive_readers(); print(chr(0xD55C))"
    assert run(program, options=options).stdout == "한\n"
