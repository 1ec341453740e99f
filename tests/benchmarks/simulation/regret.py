"""The regret of searches over simulated time: how far what validation has chosen is from the best, on the test.

The mean over searches is judged: a single one may choose well by luck and badly later, as validation is noisy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.simulation.clock import Seen

TIMES = 400  # at which regret is looked at, from the first epoch of any search to the end of the last
RESAMPLES = 500


class Settled(NamedTuple):
    """The seconds until the mean regret stays below a bound, and the ends of their 90 % interval; infinite if never."""

    seconds: float
    low: float
    high: float


def curves(searches: Sequence[Sequence[Seen]], best: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return times, (times,), and the regret of each search at them, (searches, times).

    Before its first epoch a search has chosen nothing, which is right for no text; after its end its choice stays.
    """
    last = max(seen[-1].seconds for seen in searches)
    times = np.geomspace(min(seen[0].seconds for seen in searches), last, TIMES)
    regrets = np.empty((len(searches), TIMES))
    for row, seen in zip(regrets, searches, strict=True):
        chosen = np.array([0.0, *(each.test for each in seen)])
        row[:] = best - chosen[np.searchsorted([each.seconds for each in seen], times, side="right")]
    return times, regrets


def settled(times: NDArray[np.float64], regrets: NDArray[np.float64], bound: float) -> Settled:
    """Return when the mean regret comes below the bound for good, with a bootstrap over searches."""
    generator = np.random.default_rng(0)
    n = len(regrets)
    drawn = [_time(times, regrets[generator.integers(n, size=n)].mean(axis=0), bound) for _ in range(RESAMPLES)]
    low, high = np.quantile(drawn, (0.05, 0.95), method="nearest")
    return Settled(_time(times, regrets.mean(axis=0), bound), float(low), float(high))


def _time(times: NDArray[np.float64], mean: NDArray[np.float64], bound: float) -> float:
    above = np.flatnonzero(mean > bound)
    first = int(above[-1]) + 1 if len(above) else 0
    return float(times[first]) if first < len(times) else float("inf")
