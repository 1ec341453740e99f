"""The axis of a hyperparameter: a place for each of its values, and ticks only at values that it can have."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes

from conf.schema import Value
from sweeps.report.figures import style
from sweeps.search.space import Hyperparameter

TICKS = 8  # at most, of numbers
MARGIN = 0.04  # of the range, beside its ends
SPREAD = 0.3  # of the distance between two categories, over which their trials are spread
GOLDEN = 0.618034  # multiples of it spread evenly
KINDS = {"Int": "whole number", "Float": "number", "Choice": "choice", "Boolean": "yes or no"}


def names(hp: Hyperparameter) -> list[str]:
    """Return the names of the values of a choice, in its order; empty for a number in a range."""
    if hp.kind in ("Int", "Float"):
        return []
    return [str(value) for value in hp.arguments.get("values", [False, True])]


def in_words(hp: Hyperparameter) -> str:
    """Say what stands on the axis, and whether its scale is logarithmic."""
    return KINDS[hp.kind] + (", logarithmic" if is_logarithmic(hp) else "")


def place(hp: Hyperparameter, value: Value) -> float:
    """Return the place of a value from 0 to 1: of a choice its number in the list, of a number that in its range."""
    if categories := names(hp):
        return categories.index(str(value)) / max(1, len(categories) - 1)
    return hp.place(value)


def position(hp: Hyperparameter, value: Value, trial: int) -> float:
    """Return where a trial stands on the axis of `prepare`; the trials of one category stand beside each other."""
    if categories := names(hp):
        spread = SPREAD * ((trial * GOLDEN) % 1 - 0.5) if trial else 0.0
        return categories.index(str(value)) + spread
    return float(value)


def prepare(axes: Axes, hp: Hyperparameter) -> None:
    """Scale the x axis as the hyperparameter is sampled, over all of its range."""
    if categories := names(hp):
        lines = max(map(len, categories)) * len(categories) > 45
        axes.set_xticks(
            range(len(categories)), categories, rotation=30 if lines else 0, ha="right" if lines else "center"
        )
        axes.set_xlim(-0.5, len(categories) - 0.5)
        return
    low, high = float(hp.bounds[0]), float(hp.bounds[1])
    if is_logarithmic(hp):
        axes.set_xscale("log")
        style.logarithmic(axes.xaxis)
        margin = (high / low) ** MARGIN
        axes.set_xlim(low / margin, high * margin)
    else:
        margin = MARGIN * (high - low)
        axes.set_xlim(low - margin, high + margin)
    if possible := _possible(hp):
        axes.set_xticks(possible)
        style.plain(axes.xaxis)


def is_logarithmic(hp: Hyperparameter) -> bool:
    return hp.logarithmic and not names(hp)


def _possible(hp: Hyperparameter) -> Sequence[float]:
    """Return values for ticks, evenly spread; empty for a number that can be anything in its range."""
    low, high, step = float(hp.bounds[0]), float(hp.bounds[1]), hp.arguments.get("step")
    if low == high:
        return [low]
    if hp.logarithmic:
        return _thinned(_geometric(low, high, step)) if step else _round_numbers(low, high) if hp.kind == "Int" else []
    if step is None and hp.kind == "Float":
        return []
    step = step or 1
    return _thinned([float(f"{low + number * step:.6g}") for number in range(int((high - low) / step + 1e-6) + 1)])


def _geometric(low: float, high: float, step: float) -> list[float]:
    return [float(f"{low * step**number:.6g}") for number in range(int(math.log(high / low, step) + 1e-6) + 1)]


def _round_numbers(low: float, high: float) -> list[float]:
    """Return the whole numbers 1, 2 and 5 of each decade in a range, and its ends where they stand alone."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    inside = [float(digit * 10**decade) for decade in decades if decade >= 0 for digit in (1, 2, 5)]
    chosen = [number for number in inside if low <= number <= high]
    return chosen if len(chosen) > 1 else [low, high]


def _thinned(values: Sequence[float]) -> Sequence[float]:
    return values[:: -(-len(values) // TICKS)]
