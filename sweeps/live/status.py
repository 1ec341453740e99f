"""The state of a sweep in words: whether it runs, how it ended, and what it found."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from sweeps import invocation
from sweeps.analysis import against_reference, confirmation, networks, references
from sweeps.journal import SweepRecord, SweepStarted
from sweeps.journal.endings import IN_WORDS, MAX_FAILURES

RUNNING, INTERRUPTED = "running", "interrupted"  # besides these, the status with which it ended
ENDINGS = {**IN_WORDS, MAX_FAILURES: "too many trials failed in a row"}


def title(started: SweepStarted) -> str:
    """Name what a sweep searches: `lstm on imdb`."""
    name = f"{started.model} on {started.dataset}"
    return f"{name}, confirmation" if started.confirms else name


def sentence(record: SweepRecord, state: str) -> str:
    """Say where a sweep stands, and how one that was cut short goes on."""
    of_budget = f" of {record.budget}" if record.finished <= record.budget else ""  # a resumed sweep may have fewer
    counted = f"{record.finished}{of_budget} trials have ended"
    if record.ended is not None:
        early = ENDINGS.get(record.ended.reason)
        ended = f"This sweep has ended early: {early}" if early else "This sweep has ended"
        return f"{ended}; {counted}."
    if state == RUNNING:
        return f"Running: {counted}."
    return f"Interrupted: {counted}, and nothing runs it. To go on: {_resume(record)}"


def verdict(record: SweepRecord) -> list[str]:
    """Return what a sweep that has ended found, in sentences."""
    return list(_of_confirmation(record) if record.started.confirms else _of_search(record))


def _of_search(record: SweepRecord) -> Iterator[str]:
    if record.best is None:
        yield "No trial completed, so nothing can be said about any configuration."
    yield from networks.sentences(record)
    yield from references.sentences(record)


def _of_confirmation(record: SweepRecord) -> Iterator[str]:
    if record.started.finalists:
        yield from confirmation.conclusions(confirmation.outcomes(record))
    yield from against_reference.sentences(against_reference.of(record))


def _resume(record: SweepRecord) -> str:
    command = invocation.command("confirm" if record.started.confirms else "sweep")
    return f"{command} {shlex.quote(f'resume={record.directory.parent}')}"
