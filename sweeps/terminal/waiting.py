"""A wait of which nobody knows how long it takes: a line that moves on a terminal, and one line elsewhere."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from rich.console import Console

from sweeps.terminal.console import escaped

QUIET = 0.5  # seconds of which nothing is said


class Waiting:
    """Says what a block waits for, once it has waited for long enough that somebody could wonder."""

    def __init__(self, console: Console, what: str) -> None:
        self._console, self._what = console, escaped(what)
        self._status = console.status(self._what, refresh_per_second=4)
        self._timer = threading.Timer(QUIET, self._show)
        self._timer.daemon = True
        self._lock = threading.Lock()
        self._over = False

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def say(self, what: str) -> None:
        """Say more exactly what it is, on a terminal."""
        self._status.update(escaped(what))

    def end(self) -> None:
        """Take the line away, as what it waited for is there or says more by itself."""
        self._timer.cancel()
        with self._lock:
            self._over = True
            self._status.stop()

    def _show(self) -> None:
        with self._lock:
            if self._over:
                return
            if self._console.is_terminal and not self._console.is_dumb_terminal:
                self._status.start()
            else:
                self._console.print(f"{self._what} …", soft_wrap=True)
