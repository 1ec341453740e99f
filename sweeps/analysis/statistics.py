"""The uncertainty of a number: standard errors, intervals, and the luck of the best of many."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95  # of every interval
POWER = 0.8  # the chance to show a difference that is there
Z = NormalDist().inv_cdf((1 + LEVEL) / 2)  # standard errors in half of an interval
RESAMPLES = 2000
SEED = 7  # of the resampling: the same record gives the same page


class Interval(NamedTuple):
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0


def standard_error(accuracy: float, examples: int) -> float:
    """The standard error of a share of correct answers among independent examples (binomial)."""
    return math.sqrt(max(0.0, accuracy * (1 - accuracy)) / examples)


def half_width_of_difference(error: float, other: float) -> float:
    """Half the width of the interval of the difference of two values with these standard errors, if independent."""
    return Z * math.hypot(error, other)


def luck_of_the_best(n: int) -> float:
    """The number of standard errors by which the best of `n` equally good ones is expected to exceed their mean.

    It is Blom's approximation of the largest normal order statistic (Statistical Estimates and Transformed
    Beta-Variables, 1958), within 0.02 of the exact value for every n.
    """
    return NormalDist().inv_cdf((n - 0.375) / (n + 0.25)) if n > 1 else 0.0


def level_of_each(intervals: int) -> float:
    """The level at which each of so many intervals has to be, so that all hold together in 95 % (Bonferroni)."""
    return 1 - (1 - LEVEL) / max(1, intervals)


def half_width(values: Sequence[float], level: float = LEVEL) -> float:
    """Half the width of the interval of the mean of a few values (Student's t); infinite for one value."""
    n = len(values)
    return _quantile(level, n) * float(np.std(values, ddof=1)) / math.sqrt(n) if n > 1 else math.inf


def detectable(half_width: float, n: int) -> float:
    """The difference that `n` pairs with this 95 % interval show with a chance of 80 %; needs at least two pairs."""
    return half_width * (1 + _student(POWER, n) / _quantile(LEVEL, n))


def pairs_for(wished: float, half_width: float, n: int) -> int:
    """The number of pairs whose 95 % interval has the `wished` half width, where that of `n` pairs has this one."""
    deviation = half_width * math.sqrt(n) / _quantile(LEVEL, n)
    return next(m for m in itertools.count(2) if _quantile(LEVEL, m) * deviation / math.sqrt(m) <= wished)


def _quantile(level: float, n: int) -> float:
    return _student((1 + level) / 2, n)


def _student(probability: float, n: int) -> float:
    """Return a quantile of Student's t for `n` values, as scipy.stats does, which takes a second to be imported."""
    from scipy.special import stdtrit

    return float(stdtrit(n - 1, probability))


def bootstrap_mean(values: NDArray[np.float64], level: float = LEVEL) -> Interval:
    """The percentile interval of the mean of (n,) values, resampled with replacement."""
    # How often each value is drawn in n draws among n values is multinomial. Equal values are drawn together, so
    # 25,000 examples with a dozen different values cost no more than a dozen examples.
    distinct, counts = np.unique(values, return_counts=True)
    drawn = np.random.default_rng(SEED).multinomial(len(values), counts / len(values), size=RESAMPLES)
    means = drawn @ distinct / len(values)
    return Interval(*(float(q) for q in np.quantile(means, [(1 - level) / 2, (1 + level) / 2])))
