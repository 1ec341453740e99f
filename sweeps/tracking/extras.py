"""The parts of a run that other subjects make: figures, pages, notes and metrics besides the trials' own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from sweeps.journal import SweepRecord, TrialRecord


class Extras(NamedTuple):
    """Additions to one run."""

    metrics: Mapping[str, float] = MappingProxyType({})
    files: Mapping[str, bytes] = MappingProxyType({})  # name -> content
    note: str = ""  # Markdown for a sweep's page


# Returns the additions to the run of a trial that has ended, or (None) to the run of the sweep itself.
ExtrasOf = Callable[[SweepRecord, TrialRecord | None], Extras]


def no_extras(record: SweepRecord, trial: TrialRecord | None) -> Extras:
    return Extras()
