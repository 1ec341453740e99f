"""The overview of all sweeps: the best configuration and the baseline of each network on each dataset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from sweeps.analysis import networks, references
from sweeps.analysis.confirmation import of_choice
from sweeps.journal import ReferenceEnded, SweepRecord, TrialRecord
from sweeps.report import html

COMPARED_BY = "val/accuracy"  # sweeps may have had different objectives
SHORT = 8  # digits of a digest


class Searched(NamedTuple):
    """A sweep, and those of its trials that have one network."""

    record: SweepRecord
    ranking: Sequence[TrialRecord]  # completed, best objective first
    baseline: TrialRecord | None  # that with the network's defaults, if it completed


class Cell(NamedTuple):
    """The result of all sweeps of one network on one dataset; validation decides which trial is the best."""

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
    groups: dict[tuple[str, Corpus], list[Searched]] = {}
    best: dict[Corpus, ReferenceEnded] = {}
    for record in records:
        started = record.started
        if started.held_out == "validation" and not started.confirms:
            corpus = Corpus(started.dataset, started.source, started.digest)
            for network, searched in _searched(record):
                groups.setdefault((network, corpus), []).append(searched)
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


def _searched(record: SweepRecord) -> Iterator[tuple[str, Searched]]:
    """Yield the network of a sweep, or each of several, with its trials."""
    several = networks.outcomes(record)
    if not several:
        yield record.started.model, Searched(record, record.ranking(), record.baseline)
    for number, network in enumerate(several):  # the first trials have the defaults of each in turn
        defaults = next((trial for trial in network.trials if trial.trial == number), None)
        yield network.name, Searched(record, network.trials, defaults)


def _cell(sweeps: Sequence[Searched], confirmed: Mapping[str, str]) -> Cell | None:
    """Sum up the sweeps of one network on one dataset; None where no trial completed."""
    completed = [sweep for sweep in sweeps if sweep.ranking]
    if not completed:
        return None
    record, ranking, baseline = max(completed, key=lambda sweep: sweep.ranking[0].at_best(COMPARED_BY) or 0.0)
    best, trials = ranking[0], sum(len(sweep.ranking) for sweep in sweeps)
    name = record.started.sweep
    found = confirmed.get(name, "") if best is record.best else ""  # that is said of the choice of the whole sweep
    return Cell(len(sweeps), trials, name, best, baseline, found)
