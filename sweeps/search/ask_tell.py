"""The protocol between the driver and whatever proposes trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from conf.schema import Value


class Proposal(NamedTuple):
    """A trial to run until `epochs`; from `initial_epoch` on if it ran before and was promoted."""

    trial: int
    values: dict[str, Value]  # every hyperparameter, fixed ones included
    initial_epoch: int
    epochs: int


class AskTell(Protocol):
    """The part of an oracle that the driver needs; `sweeps.search.oracle.Oracle` is the usual one."""

    @property
    def description(self) -> str:
        """The use that the search will make of its budget, in words for the user."""

    def ask(self) -> Proposal | None:
        """Return the next trial; None when the search is over or waits for trials that are running."""

    def tell(self, trial: int, objective: float | None, curve: Sequence[float] = ()) -> None:
        """Report the end of a proposed trial: its objective, which is the best of its curve, or None if it failed."""

    def replay(self, trial: int, values: Mapping[str, Value]) -> None:
        """Repeat one journaled proposal. If the proposal differs from the journal in the last digits, the journal wins.

        Raises `SweepError` where the journaled trial does not follow from those before it.
        """

    def extend(self, trials: int) -> None:
        """Change the budget: from now on the search has this many trials in all."""

    def candidates(self) -> set[int]:
        """The trials whose checkpoints may still be needed."""
