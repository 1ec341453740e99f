"""The best epoch of a curve, and the rules by which a trial ends early: patience, and the median of other trials."""

from __future__ import annotations

import statistics
from bisect import insort
from collections.abc import Sequence

from sweeps import metrics

Bar = Sequence[float | None]  # for epoch 1, 2, …: the best value so far must not be worse; None lets any value pass


def best_epoch(objective: str, curve: Sequence[float]) -> int:
    """Return the epoch (1, 2, …) with the best value; of equal ones the first."""
    return curve.index(metrics.best(objective, curve)) + 1


def reason_to_end(objective: str, curve: Sequence[float], patience: int | None, bar: Bar = ()) -> str:
    """Return `patience` or `stopped` (by the bar) if a trial should end after its curve's last epoch, otherwise ""."""
    if not curve:
        return ""
    if patience is not None and len(curve) - best_epoch(objective, curve) >= patience:
        return "patience"
    threshold = bar[len(curve) - 1] if len(curve) <= len(bar) else None
    if threshold is not None and metrics.is_better(objective, threshold, metrics.best(objective, curve)):
        return "stopped"
    return ""


class Median:
    """The bar of `stopping=median`: at each epoch, the median of the finished trials' best values until that epoch.

    A trial gets its bar when it starts. So no messages pass while trials run, which suits a cluster, and as the bar is
    recorded with the trial, a repetition ends at the same epoch. A trial that ended early counts with its best value
    for the epochs that it did not run.
    """

    def __init__(self, objective: str, *, epochs: int, grace: int, min_trials: int) -> None:
        self._objective = objective
        self._grace = grace
        self._min_trials = min_trials
        self._best_so_far: list[list[float]] = [[] for _ in range(epochs)]  # for each epoch the trials' values, sorted

    def add(self, curve: Sequence[float]) -> None:
        """Take in the curve of a finished trial."""
        best = curve[0]
        for epoch, finished in enumerate(self._best_so_far):
            best = metrics.best(self._objective, [best, *curve[epoch : epoch + 1]])
            insort(finished, best)

    def bar(self) -> Bar:
        """Return the bar for a trial that starts now; it is empty while too few trials have finished."""
        if len(self._best_so_far[0]) < self._min_trials:
            return ()
        grace = min(self._grace, len(self._best_so_far))
        return (*[None] * grace, *[statistics.median(finished) for finished in self._best_so_far[grace:]])
