"""The state of a sweep in words: whether it runs, how it ended, and what it found."""

from __future__ import annotations

from collections.abc import Iterator

from sweeps import invocation
from sweeps.analysis import against_reference, confirmation, epochs, networks, references
from sweeps.journal import SweepRecord, SweepStarted
from sweeps.journal.endings import IN_WORDS, RUNNING


def title(started: SweepStarted) -> str:
    """Name what a sweep searches: `lstm on imdb`."""
    name = f"{started.model} on {started.dataset}"
    return f"{name}, confirmation" if started.confirms else name


def sentence(record: SweepRecord, state: str) -> str:
    """Say where a sweep stands, and how one that was cut short goes on."""
    of_budget = f" of {record.budget}" if record.finished <= record.budget else ""  # a resumed sweep may have fewer
    counted = f"{record.finished}{of_budget} trials have ended"
    if record.ended is not None:
        early = IN_WORDS.get(record.ended.reason)
        ended = f"This sweep has ended early: {early}" if early else "This sweep has ended"
        return f"{ended}; {counted}."
    if state == RUNNING:
        return f"Running: {counted}."
    resume = invocation.resume(record.directory.parent, confirms=bool(record.started.confirms))
    return f"Interrupted: {counted}, and nothing runs it. To go on: {resume}"


def verdict(record: SweepRecord) -> list[str]:
    """Return what a sweep that has ended found, in sentences."""
    return list(_of_confirmation(record) if record.started.confirms else _of_search(record))


def _of_search(record: SweepRecord) -> Iterator[str]:
    if record.best is None:
        yield "No trial completed, so nothing can be said about any configuration."
    yield from epochs.sentences(record)
    yield from networks.sentences(record)
    yield from references.sentences(record)


def _of_confirmation(record: SweepRecord) -> Iterator[str]:
    if record.started.finalists:
        yield from confirmation.conclusions(confirmation.outcomes(record))
    yield from against_reference.sentences(against_reference.of(record))
