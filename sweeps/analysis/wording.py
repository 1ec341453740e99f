"""The spelling of numbers and durations in the terminal and on pages."""

from __future__ import annotations

import math

from sweeps.journal import TrialRecord
from sweeps.metrics import is_better

MISSING = "–"  # stands for a value that was not recorded


def number(value: float | None, form: str = ".4f") -> str:
    """Write a number; one that is missing or not finite is a dash."""
    return MISSING if value is None or not math.isfinite(value) else format(value, form)


def count(value: float) -> str:
    """Write a count, or the mean of several, with a decimal if that says more."""
    return format(value, ",.0f" if value == round(value) or value >= 100 else ".1f")


def gain(trial: TrialRecord, baseline: TrialRecord | None, objective: str) -> str:
    """Write by how much a trial's objective is better than the baseline's; the baseline's own is empty."""
    if baseline is None or baseline.objective is None or trial.objective is None or trial.baseline:
        return ""
    difference = trial.objective - baseline.objective
    return _signed(difference if is_better(objective, 1, 0) else -difference, 4)


def points(difference: float) -> str:
    """Write a difference of two accuracies in points of a hundred."""
    return _signed(100 * difference, 1)


def percent(share: float) -> str:
    """Write a share in whole percent, rounded down: 99.9 % are not all."""
    return f"{math.floor(100 * share + 1e-9)} %"


def percentage(share: float) -> str:
    """Write a share in percent with one decimal."""
    return f"{100 * share:.1f} %"


def _signed(value: float, digits: int) -> str:
    return f"{round(value, digits) + 0.0:+.{digits}f}"  # the sum makes -0.0 a 0.0


def duration(seconds: float) -> str:
    """Write a duration in hours and minutes, or in seconds if it is short: `2 h 05 min`, `12 min`, `40 s`."""
    hours, minutes = divmod(round(seconds / 60), 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min" if minutes > 1 else f"{seconds:.0f} s"
