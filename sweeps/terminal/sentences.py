"""Sentences about a whole sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from sweeps.analysis import epochs, networks, references
from sweeps.journal.endings import IN_WORDS, MAX_FAILURES, MINUTES, TARGET
from sweeps.terminal.console import escaped

if TYPE_CHECKING:
    from sweeps.journal import SweepRecord
    from sweeps.plan import Plan


def progress_so_far(record: SweepRecord) -> str:
    """Say how many trials of a sweep have ended: `imdb: 3 of 12 trials finished`."""
    return f"{record.started.dataset}: {record.finished} of {record.budget} trials finished"


def ending(record: SweepRecord) -> Text | None:
    """Say why a sweep ended before all of its trials; None if all of them ran or it has not ended."""
    if record.ended is None:
        return None
    name, reason = heading(record), record.ended.reason
    if reason not in IN_WORDS:
        return None
    message = f"{name}: ended early, {IN_WORDS[reason]}"
    if reason != MAX_FAILURES:
        return Text(escaped(message))
    last = max(record.failed, key=lambda trial: trial.last_event)
    return Text(escaped(f"{message}; the last was trial {last.trial}: {last.reason}"), style="red")


def idle(record: SweepRecord, plan: Plan, reason: str) -> str:
    """Say why nothing was run of a sweep that had ended before."""
    config = plan.config
    if reason == MINUTES:
        why = f"the {config.minutes:g} minutes are used up; to go on, give more minutes="
    elif reason == TARGET:
        why = f"the target {config.target:g} is reached; to go on, give another target="
    elif record.finished >= config.trials:
        why = f"{record.finished} trials have ended; to go on, give more trials="
    else:
        why = "no other configuration is left to try"
    return f"{heading(record)}: nothing was run, {why}"


def verdict(record: SweepRecord) -> list[str]:
    """Say whether trials still improved, and compare several networks, and the best trial with the references."""
    standin = "; generated STAND-IN data" if record.started.source == "standin" else ""
    sentences = (*epochs.sentences(record), *networks.sentences(record), *references.sentences(record))
    return [f"{heading(record)}{standin}: {sentence}" for sentence in sentences]


def heading(record: SweepRecord) -> str:
    return f"{record.started.model} on {record.started.dataset}"
