"""Which epoch of a curve is the best one, and when a trial that no longer gets better ends."""

from __future__ import annotations

from collections.abc import Sequence

from conf.schema import OBJECTIVES


def best_epoch(objective: str, curve: Sequence[float]) -> int:
    """The epoch (1, 2, …) with the best objective; of equals the first."""
    choose = max if OBJECTIVES[objective] == "max" else min
    return curve.index(choose(curve)) + 1


def out_of_patience(objective: str, curve: Sequence[float], patience: int | None) -> bool:
    """Whether the last `patience` epochs have not bettered the objective; never with patience None."""
    if patience is None or len(curve) <= patience:
        return False
    return len(curve) - best_epoch(objective, curve) >= patience
