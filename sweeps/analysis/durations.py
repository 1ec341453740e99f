"""The time that a sweep took, and how a duration is written."""

from __future__ import annotations

import math

from sweeps.journal import SweepRecord


def training_seconds(record: SweepRecord) -> float:
    """The seconds that all trials trained, added up over workers that ran side by side."""
    return sum(trial.cost.get("seconds", 0.0) for trial in record.trials.values())


def running_seconds(record: SweepRecord, until: float = math.inf) -> float:
    """The seconds that the sweep ran before the time `until`, without the pauses between two sessions."""
    return sum(max(0.0, min(last, until) - first) for first, last in record.sessions)


def in_words(seconds: float) -> str:
    """Write a duration in whole hours and minutes, or in seconds if it is short: `2 h 05 min`, `12 min`, `40 s`."""
    hours, minutes = divmod(round(seconds / 60), 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min" if minutes > 1 else f"{seconds:.0f} s"
