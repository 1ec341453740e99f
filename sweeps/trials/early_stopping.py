"""Which epoch of a curve is the best one, and when a trial ends that gets no better, or is worse than the others."""

from __future__ import annotations

import statistics
from bisect import insort
from collections.abc import Sequence

from sweeps.metrics import best as _best

Bar = Sequence[float | None]  # for epoch 1, 2, …: what the best so far must not be worse than; None: anything passes


def best_epoch(objective: str, curve: Sequence[float]) -> int:
    """The epoch (1, 2, …) with the best objective; of equals the first."""
    return curve.index(_best(objective, curve)) + 1


def reason_to_end(objective: str, curve: Sequence[float], patience: int | None, bar: Bar = ()) -> str:
    """`patience` or `stopped` (by the bar) where a trial should end with the last epoch of its curve, else empty."""
    if not curve:
        return ""
    if patience is not None and len(curve) - best_epoch(objective, curve) >= patience:
        return "patience"
    passes = bar[len(curve) - 1] if len(curve) <= len(bar) else None
    if passes is None:
        return ""
    best = _best(objective, curve)
    return "stopped" if best != _best(objective, [best, passes]) else ""


class Median:
    """The bar of `stopping=median`: at each epoch, the median of what the finished trials had best come to by then.

    A trial is given it when it starts: nobody has to talk while trials run, so it holds on a cluster too, and what is
    written down with the trial ends it at the same epoch again. A trial that ended early counts with its best for the
    epochs that it did not run.
    """

    def __init__(self, objective: str, *, epochs: int, grace: int, min_trials: int) -> None:
        self._objective = objective
        self._grace = grace
        self._min_trials = min_trials
        self._best_so_far: list[list[float]] = [[] for _ in range(epochs)]  # per epoch, of the finished trials, sorted

    def add(self, curve: Sequence[float]) -> None:
        """A trial has finished."""
        best = curve[0]
        for epoch, finished in enumerate(self._best_so_far):
            best = _best(self._objective, [best, *curve[epoch : epoch + 1]])
            insort(finished, best)

    def bar(self) -> Bar:
        """For a trial that starts now; empty while too few have finished."""
        if len(self._best_so_far[0]) < self._min_trials:
            return ()
        grace = min(self._grace, len(self._best_so_far))
        return (*[None] * grace, *[statistics.median(finished) for finished in self._best_so_far[grace:]])
