"""A clock that is set while processes run: two hours forward at SIGUSR1, two hours back at SIGUSR2."""

from __future__ import annotations

import signal
import time

HOURS = 2 * 3600.0

_time = time.time
_offset = 0.0


def prepare() -> None:
    """Let this process and those that it forks have such a clock."""
    time.time = lambda: _time() + _offset
    signal.signal(signal.SIGUSR1, lambda *_: set_by(HOURS))
    signal.signal(signal.SIGUSR2, lambda *_: set_by(-HOURS))


def set_by(seconds: float) -> None:
    global _offset  # noqa: PLW0603  # as the machine's clock is one
    _offset += seconds


def is_right() -> bool:
    return _offset == 0.0


def correct() -> None:
    set_by(-_offset)
