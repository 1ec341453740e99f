"""The spelling of numbers and durations in the terminal and on pages."""

from __future__ import annotations

import math

from sweeps.journal import TrialRecord

MISSING = "–"  # stands for a value that was not recorded


def number(value: float | None, form: str = ".4f") -> str:
    """Write a number; one that is missing or not finite is a dash."""
    return MISSING if value is None or not math.isfinite(value) else format(value, form)


def gain(trial: TrialRecord, baseline: TrialRecord | None) -> str:
    """Write the difference of a trial's objective to the baseline's; the baseline's own is empty."""
    if baseline is None or baseline.objective is None or trial.objective is None or trial.baseline:
        return ""
    return f"{trial.objective - baseline.objective:+.4f}"


def duration(seconds: float) -> str:
    """Write a duration in hours and minutes, or in seconds if it is short: `2 h 05 min`, `12 min`, `40 s`."""
    hours, minutes = divmod(round(seconds / 60), 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min" if minutes > 1 else f"{seconds:.0f} s"
