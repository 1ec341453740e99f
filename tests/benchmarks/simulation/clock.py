"""The progress of a search in simulated time, and what validation has chosen by then."""

from __future__ import annotations

import heapq
import itertools
from typing import Any, NamedTuple

from tests.benchmarks.simulation.table import Epoch


class Seen(NamedTuple):
    """An epoch that has ended, with the test accuracy of what validation had chosen by then, over all trials."""

    seconds: float  # since the search began
    test: float


class Clock:
    """The time, what is to end next, and what has been seen."""

    def __init__(self) -> None:
        self.now = 0.0
        self.seen: list[Seen] = []
        self._best: Epoch | None = None
        self._ends: list[tuple[float, int, Any]] = []
        self._count = itertools.count()

    def after(self, seconds: float, what: Any) -> None:
        heapq.heappush(self._ends, (self.now + seconds, next(self._count), what))

    def next(self) -> Any:
        """Go on to the next end and return what ends; None where nothing runs."""
        if not self._ends:
            return None
        self.now, _, what = heapq.heappop(self._ends)
        return what

    def ended(self, epoch: Epoch) -> None:
        if self._best is None or epoch.validation > self._best.validation:
            self._best = epoch
        self.seen.append(Seen(self.now, self._best.test))
