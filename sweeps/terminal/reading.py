"""The progress of reading a dataset: a bar on a terminal, a line now and then elsewhere, nothing if it is quick."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from sweeps.terminal.console import escaped
from sweeps.terminal.waiting import Waiting

QUIET = 2  # seconds of which nothing is said
LINES = 30  # seconds between two lines where no bar can be drawn


class Reading:
    """A callback for `pipelines.data.dataset.load`, which is told the step, the rows done, and all if it is known."""

    def __init__(self, console: Console, dataset: str) -> None:
        self._console, self._dataset = console, dataset
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=console, refresh_per_second=2, transient=True)
        self._task = self._bar.add_task("", total=None)
        self._waiting = Waiting(console, f"{dataset}: reading the data")
        self._step = ""
        self._first = 0.0, 0  # time and rows when the step was first heard of, perhaps long after it began
        self._next = time.monotonic() + QUIET

    def __enter__(self) -> Self:
        self._waiting.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._waiting.end()
        if self._bar.live.is_started:  # otherwise Rich would print an empty line
            self._bar.stop()

    def __call__(self, step: str, done: int, total: int | None) -> None:
        now = time.monotonic()
        if step != self._step:
            self._step, self._first = step, (now, done)
            self._bar.reset(self._task)
        what = escaped(f"{self._dataset}: {step}, {done:,} rows")
        self._bar.update(self._task, description=what, completed=done, total=total)
        if now < self._next:
            return
        self._waiting.end()
        if self._console.is_terminal:
            self._bar.start()
        else:
            began, rows = self._first
            self._console.print(Text(what + _left(now - began, done - rows, done, total)), soft_wrap=True)
            self._next = now + LINES


def _left(seconds: float, gained: int, done: int, total: int | None) -> str:
    """Say how much of a step is left, of which some seconds gained some rows; empty if nobody knows."""
    if total is None or done >= total:
        return ""
    left = f", some {seconds * (total - done) / gained:.0f} s left" if gained else ""
    return f" of about {total:,}{left}"
