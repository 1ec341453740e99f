"""Children whose output is read through a real pipe, each line with the instant at which it was read."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from tests.conftest import ROOT

LOOK = 0.002  # seconds between two looks at a child


class Process:
    """A fork of this process that runs a function; the function may replace it by another program."""

    def __init__(self, run: Callable[[], object]) -> None:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        reading, writing = os.pipe()
        self.lines: list[tuple[float, str]] = []
        self.status: int | None = None  # as `subprocess` has it: negative for a signal
        self.ended = 0.0
        self.pid = os.fork()
        if self.pid == 0:
            os.close(reading)
            _become(run, writing)
        os.close(writing)
        os.set_blocking(reading, False)
        self._reading: int | None = reading
        self._rest = b""

    @property
    def output(self) -> str:
        return "\n".join(line for _, line in self.lines)

    def wait(self, until: float) -> bool:
        """Read what it prints until it ends or that instant of `time.monotonic` comes; returns whether it ended."""
        while self.status is None:
            done, status = os.waitpid(self.pid, os.WNOHANG)
            self._read()
            if done:
                self.status, self.ended = os.waitstatus_to_exitcode(status), time.monotonic()
                self.stop_reading()
            elif time.monotonic() > until:
                return False
            else:
                time.sleep(LOOK)
        return True

    def wait_for_line(self, until: float) -> None:
        """Wait until it has printed a line, or has ended."""
        while not self.lines and time.monotonic() < until and not self.wait(time.monotonic() + LOOK):
            pass

    def send(self, number: int) -> None:
        if self.status is None:
            os.kill(self.pid, number)

    def stop_reading(self) -> None:
        if self._reading is not None:
            os.close(self._reading)
            self._reading = None

    def _read(self) -> None:
        while self._reading is not None:
            try:
                chunk = os.read(self._reading, 65536)
            except BlockingIOError:
                return
            if not chunk:
                return
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            self.lines += [(time.monotonic(), line.decode()) for line in lines]


def program(folder: Path, *command: str, code: Path = ROOT) -> Process:
    """Start a program in a folder, with this project's code or that of another folder."""

    def run() -> NoReturn:
        os.chdir(folder)
        os.execve(command[0], command, {**os.environ, "PYTHONPATH": str(code), "COLUMNS": "200"})

    return Process(run)


def result(function: Callable[[], str]) -> str:
    """Return what a function returns in a process of its own: none may fork with a database open."""
    process = Process(lambda: print(function()))
    process.wait(time.monotonic() + 600)
    if process.status != 0:
        raise RuntimeError(process.output)
    return process.lines[-1][1] if process.lines else ""


def _become(run: Callable[[], object], writing: int) -> NoReturn:
    status = 70
    try:
        for descriptor in (1, 2):
            os.dup2(writing, descriptor)
        os.close(writing)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # also under `nohup`
        signal.signal(signal.SIGINT, signal.default_int_handler)  # also in the background of a shell
        run()
        status = 0
    except SystemExit as exit_:
        status = exit_.code if isinstance(exit_.code, int) else 1
        if isinstance(exit_.code, str):
            print(exit_.code, file=sys.stderr)
    except KeyboardInterrupt:
        status = 130
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(status)
