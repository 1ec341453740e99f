"""The uncertainty of a number: standard errors, intervals, and the luck of the best of many."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95  # of every interval
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


def luck_of_the_best(n: int) -> float:
    """The number of standard errors by which the best of `n` equally good ones is expected to exceed their mean.

    It is Blom's approximation of the largest normal order statistic (Statistical Estimates and Transformed
    Beta-Variables, 1958), within 0.02 of the exact value for every n.
    """
    return NormalDist().inv_cdf((n - 0.375) / (n + 0.25)) if n > 1 else 0.0


def half_width(values: Sequence[float]) -> float:
    """Half the width of the 95 % interval of the mean of a few values (Student's t); infinite for one value."""
    if len(values) < 2:
        return math.inf
    from scipy.stats import t

    return float(t.ppf((1 + LEVEL) / 2, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values)))


def bootstrap_mean(values: NDArray[np.float64]) -> Interval:
    """The 95 % percentile interval of the mean of (n,) values, resampled with replacement."""
    # How often each value is drawn in n draws among n values is multinomial. Equal values are drawn together, so
    # 25,000 examples with a dozen different values cost no more than a dozen examples.
    distinct, counts = np.unique(values, return_counts=True)
    drawn = np.random.default_rng(SEED).multinomial(len(values), counts / len(values), size=RESAMPLES)
    means = drawn @ distinct / len(values)
    return Interval(*(float(q) for q in np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])))
