"""Reports of a trial within its epochs: nothing depends on them, so they have a way of their own beside `on_epoch`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sweeps.trials.spec import StepReport

EVERY = 1.0  # seconds between two reports, so that they cost less than can be measured

Listener = Callable[[StepReport], object]
_listeners: list[Listener] = []  # of this process, which runs one trial at a time


@contextmanager
def reported_to(listener: Listener) -> Iterator[None]:
    """Let a listener hear of the steps of the trial that runs in the block."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


class Steps:
    """The steps of one epoch, counted by whoever trains it."""

    def __init__(self, first: StepReport) -> None:
        self._report = first
        self._next = time.monotonic() + EVERY

    def done(self, count: int) -> None:
        """Take in how many steps are done, and report it if the last report is old enough."""
        if _listeners and time.monotonic() >= self._next:
            self._next = time.monotonic() + EVERY
            for listener in _listeners:
                listener(self._report._replace(done=count))
