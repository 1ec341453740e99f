"""The recorded sweeps that a name stands for: those of this folder, or else those of a store."""

from __future__ import annotations

from sweeps import journal
from sweeps.journal import SweepRecord
from sweeps.session import outputs
from sweeps.tracking import store

KINDS = ("sweep", "confirm")


def here(name: str) -> list[SweepRecord]:
    """Return the records of the journals in this folder that have a name, which may be ahead of any store."""
    pasts = [(directory, journal.read(directory)) for directory in outputs.recorded_here(name)]
    return [SweepRecord.of(directory, past) for directory, past in pasts if past]


def anywhere(name: str, uri: str | None = None) -> list[SweepRecord]:
    """Return the records here that have a name, else those in the store `uri`, None being the one of this folder.

    Raises `ConfigError` if there are none, and `SweepError` if the store does not answer.
    """
    if records := here(name):
        return records
    from sweeps.tracking.reader import StoredSweeps

    stored_sweeps = StoredSweeps(store.uri(uri))
    return [stored_sweeps.record(sweep) for sweep in stored_sweeps.chosen(name, *KINDS)]
