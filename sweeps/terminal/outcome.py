"""The outcome of a sweep or of a confirmation, as the commands that run and list them print it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sweeps.analysis import against_reference, confirmation
from sweeps.terminal import sentences, tables
from sweeps.terminal.console import say

if TYPE_CHECKING:
    from rich.console import Console

    from sweeps.journal import SweepRecord


def show(record: SweepRecord, console: Console) -> None:
    """Print a table of the configurations, what can be said of them, and why a sweep ended before all of its trials."""
    if record.started.finalists:
        outcomes, against = confirmation.outcomes(record), against_reference.of(record)
        console.print(tables.confirmation_table(record, outcomes, against_reference.leads(record, against)))
        said = [*confirmation.conclusions(outcomes), *against_reference.sentences(against)]
    else:
        console.print(tables.results(record))
        said = sentences.verdict(record)
    for sentence in said:
        say(console, sentence)
    if ending := sentences.ending(record):
        console.print(ending, soft_wrap=True)
