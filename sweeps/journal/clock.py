"""The clock of a journal's events: durations must be right although the machine's clock may be set at any time."""

from __future__ import annotations

import time


class Clock:
    """Seconds since 1970 that go on evenly from the machine's clock as it was at the first look."""

    def __init__(self) -> None:
        self._origin: float | None = None

    def now(self) -> float:
        if self._origin is None:
            self._origin = time.time() - _steady()
        return self._origin + _steady()

    def go_on_after(self, when: float) -> None:
        """Never return a time before `when`, that of the last event of another process."""
        self._origin = max(self.now(), when) - _steady()


CLOCK = Clock()


def _steady() -> float:
    """Return the seconds since the boot, if possible with those in which the machine slept."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
