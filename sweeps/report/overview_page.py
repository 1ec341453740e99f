"""Across sweeps: of each model on each dataset, the best configuration and the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sweeps.report import html
from sweeps.journal import SweepRecord, TrialRecord


class Cell(NamedTuple):
    """What the sweeps of one model on one dataset came to; the best is validation's."""

    sweeps: int
    trials: int  # completed
    sweep: str  # of the best trial
    best: TrialRecord
    baseline: TrialRecord | None  # that sweep's


class Matrix(NamedTuple):
    models: tuple[str, ...]
    datasets: tuple[str, ...]
    cells: Mapping[tuple[str, str], Cell]


def of(records: Sequence[SweepRecord]) -> Matrix:
    """Stand-in data have columns of their own; confirmations, and what validates on the test set, have no place."""
    grouped: dict[tuple[str, str], list[SweepRecord]] = {}
    for record in records:
        started = record.started
        if started is not None and started.held_out == "validation" and not started.confirms:
            dataset = started.dataset + (" (stand-in)" if started.source == "standin" else "")
            grouped.setdefault((started.model, dataset), []).append(record)
    cells = {where: cell for where, group in grouped.items() if (cell := _cell(group)) is not None}
    models, datasets = (tuple(sorted({where[i] for where in cells})) for i in (0, 1))
    return Matrix(models, datasets, cells)


def _cell(records: Sequence[SweepRecord]) -> Cell | None:
    """None where no trial completed. Sweeps may have had different objectives: all are compared by val/accuracy."""
    chosen = max(records, key=lambda record: chosen_accuracy(record.best))
    if chosen.best is None or chosen.started is None:
        return None
    baseline = next((trial for trial in chosen.completed if trial.baseline), None)
    trials = sum(len(record.completed) for record in records)
    return Cell(len(records), trials, chosen.started.sweep, chosen.best, baseline)


def chosen_accuracy(trial: TrialRecord | None) -> float:
    """Validation accuracy after the epoch that was chosen; 0 where there is none."""
    if trial is None or trial.best_epoch is None:
        return 0.0
    return trial.curves["val/accuracy"][trial.best_epoch - 1]


def render(matrix: Matrix, pages: Mapping[str, str]) -> str:
    """The overview; `pages` are the addresses of the sweeps' own pages."""
    return html.render("overview.html", matrix=matrix, pages=pages, accuracy=chosen_accuracy)
