"""The overview of all sweeps: the best configuration and the baseline of each model on each dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sweeps.analysis import references
from sweeps.analysis.confirmation import of_choice
from sweeps.journal import ReferenceEnded, SweepRecord, TrialRecord
from sweeps.report import html

COMPARED_BY = "val/accuracy"  # sweeps may have had different objectives
SHORT = 8  # digits of a digest


class Cell(NamedTuple):
    """The result of all sweeps of one model on one dataset; validation decides which trial is the best."""

    sweeps: int
    trials: int  # completed
    sweep: str  # the best trial's
    best: TrialRecord
    baseline: TrialRecord | None  # of the same sweep
    confirmed: str  # what its newest confirmation found, in words; empty if there is none


class Corpus(NamedTuple):
    """The data of a sweep. Different data may have one name, and scores on them cannot be compared."""

    name: str
    source: str  # archive | standin
    digest: str


class Overview(NamedTuple):
    models: tuple[str, ...]
    datasets: tuple[Corpus, ...]
    cells: Mapping[tuple[str, Corpus], Cell]
    references: Mapping[Corpus, ReferenceEnded]  # the best linear one on validation

    def label(self, corpus: Corpus) -> str:
        """The heading of a column, with a short digest where the name alone would stand for different data."""
        alike = [other for other in self.datasets if other[:2] == corpus[:2]]
        digest = f", data {corpus.digest[:SHORT]}" if len(alike) > 1 else ""
        return f"{corpus.name}{' (stand-in)' if corpus.source == 'standin' else ''}{digest}"


def build(records: Sequence[SweepRecord]) -> Overview:
    """Collect the sweeps; each different data has a column of its own.

    Confirmations are left out, and so are sweeps that validate on the test set.
    """
    groups: dict[tuple[str, Corpus], list[SweepRecord]] = {}
    best: dict[Corpus, ReferenceEnded] = {}
    for record in records:
        started = record.started
        if started.held_out == "validation" and not started.confirms:
            corpus = Corpus(started.dataset, started.source, started.digest)
            groups.setdefault((started.model, corpus), []).append(record)
            if (reference := references.best(record)) is not None:
                best[corpus] = reference  # all sweeps on the same data have the same
    found = {
        record.started.confirms: of_choice(record) for record in sorted(records, key=_time) if record.started.confirms
    }
    cells = {key: cell for key, group in groups.items() if (cell := _cell(group, found)) is not None}
    models, datasets = {model for model, _ in cells}, {corpus for _, corpus in cells}
    return Overview(tuple(sorted(models)), tuple(sorted(datasets)), cells, best)


def render(overview: Overview, pages: Mapping[str, str]) -> str:
    """Render the overview; `pages` maps each sweep's name to the address of its page."""
    return html.render("overview.html", overview=overview, pages=pages, compared_by=COMPARED_BY, references=references)


def _time(record: SweepRecord) -> float:
    return record.started.time


def _cell(records: Sequence[SweepRecord], confirmed: Mapping[str, str]) -> Cell | None:
    """Sum up the sweeps of one model on one dataset; None where no trial completed."""
    sweeps = [(record, record.best) for record in records if record.best is not None]
    if not sweeps:
        return None
    record, best = max(sweeps, key=lambda sweep: sweep[1].at_best(COMPARED_BY) or 0.0)
    trials = sum(len(record.completed) for record in records)
    sweep = record.started.sweep
    return Cell(len(records), trials, sweep, best, record.baseline, confirmed.get(sweep, ""))
