"""The overview of all sweeps: the best configuration and the baseline of each model on each dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sweeps.journal import SweepRecord, TrialRecord
from sweeps.report import html

COMPARED_BY = "val/accuracy"  # sweeps may have had different objectives


class Cell(NamedTuple):
    """The result of all sweeps of one model on one dataset; validation decides which trial is the best."""

    sweeps: int
    trials: int  # completed
    sweep: str  # the best trial's
    best: TrialRecord
    baseline: TrialRecord | None  # of the same sweep


class Overview(NamedTuple):
    models: tuple[str, ...]
    datasets: tuple[str, ...]
    cells: Mapping[tuple[str, str], Cell]


def build(records: Sequence[SweepRecord]) -> Overview:
    """Collect the sweeps; stand-in data have columns of their own.

    Confirmations are left out, and so are sweeps that validate on the test set.
    """
    groups: dict[tuple[str, str], list[SweepRecord]] = {}
    for record in records:
        started = record.started
        if started.held_out == "validation" and not started.confirms:
            dataset = started.dataset + (" (stand-in)" if started.source == "standin" else "")
            groups.setdefault((started.model, dataset), []).append(record)
    cells = {key: cell for key, group in groups.items() if (cell := _cell(group)) is not None}
    models, datasets = (tuple(sorted({key[i] for key in cells})) for i in (0, 1))
    return Overview(models, datasets, cells)


def render(overview: Overview, pages: Mapping[str, str]) -> str:
    """Render the overview; `pages` maps each sweep's name to the address of its page."""
    return html.render("overview.html", overview=overview, pages=pages, compared_by=COMPARED_BY)


def _cell(records: Sequence[SweepRecord]) -> Cell | None:
    """Sum up the sweeps of one model on one dataset; None where no trial completed."""
    best = max(records, key=_best_score)
    if best.best is None:
        return None
    trials = sum(len(record.completed) for record in records)
    return Cell(len(records), trials, best.started.sweep, best.best, best.baseline)


def _best_score(record: SweepRecord) -> float:
    score = record.best.at_best(COMPARED_BY) if record.best is not None else None
    return 0.0 if score is None else score
