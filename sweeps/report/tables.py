"""The tables of a sweep's page."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from sweeps import metrics
from sweeps.analysis import references as linear
from sweeps.analysis.summary import SweepSummary
from sweeps.analysis.wording import gain, number
from sweeps.journal import ReferenceEnded, TrialRecord
from sweeps.search.space import searched_values

# Reasons of a completed trial's end, as words.
ENDINGS = {
    "finished": "ran all their epochs",
    "patience": "stopped: out of patience",
    "stopped": "stopped: below the median",
}


class Row(NamedTuple):
    """A trial in a table, as text."""

    name: str
    mark: str  # best | baseline | ""
    cells: tuple[tuple[str, str], ...]  # heading, text
    values: str  # the hyperparameters
    link: str = ""  # to its run


def leaderboard(sweep: SweepSummary) -> list[Row]:
    """The completed trials, best objective first."""
    return [_ranked(sweep, rank, trial) for rank, trial in enumerate(sweep.ranking, start=1)]


def leaders(rows: list[Row], shown: int) -> list[Row]:
    """The first `shown` rows of the leaderboard, and the baseline's."""
    return rows[:shown] + [row for row in rows[shown:] if row.mark == "baseline"]


def failures(sweep: SweepSummary) -> list[Row]:
    """The trials that failed or never ended, with their reasons."""
    unfinished = [trial for trial in sweep.record.trials.values() if not trial.completed]
    return [_unfinished(sweep, trial) for trial in sorted(unfinished, key=lambda trial: trial.trial)]


def endings(sweep: SweepSummary) -> list[tuple[str, int]]:
    """The reasons why trials ended, and the number of trials for each, the most frequent reason first."""
    reasons = [
        ENDINGS.get(trial.reason, f"stopped: {trial.reason}") if trial.completed else f"failed: {trial.reason}"
        for trial in sweep.record.trials.values()
        if not trial.running
    ]
    return Counter(reasons).most_common()


def references(sweep: SweepSummary) -> list[Row]:
    """The linear references that were trained, last the one on whole texts."""
    return [_reference(reference) for reference in linear.shown(sweep.record)]


def _reference(reference: ReferenceEnded) -> Row:
    scores = ("val/accuracy", *metrics.shown_in("report"))
    cells = (
        *((name.replace("/", "/ "), number(reference.scores.get(name))) for name in scores),
        ("seconds", f"{reference.cost['seconds']:.1f}"),
        ("texts", f"{reference.cost['documents']:,.0f}"),
        ("on train and validation", number(reference.final.get("test/accuracy"))),
    )
    return Row(linear.title(reference), "", cells, "")


def _ranked(sweep: SweepSummary, rank: int, trial: TrialRecord) -> Row:
    cells = (
        ("rank", str(rank)),
        (sweep.objective, number(trial.objective)),
        ("gain", gain(trial, sweep.baseline, sweep.objective)),
        # The space lets a heading break.
        *((name.replace("/", "/ "), number(trial.test.get(name))) for name in metrics.shown_in("report")),
        ("epoch", f"{trial.best_epoch} of {trial.epochs_run}"),
        ("seconds", f"{trial.cost.get('seconds', 0.0):.0f}"),
        ("parameters", f"{trial.cost.get('parameters', 0):,.0f}"),
    )
    mark = "best" if trial is sweep.best else "baseline" if trial.baseline else ""
    return Row(_name(trial), mark, cells, _values(sweep, trial), _link(sweep, trial))


def _unfinished(sweep: SweepSummary, trial: TrialRecord) -> Row:
    cells = (
        ("state", "failed" if trial.failed else "not ended"),
        ("epochs", f"{trial.epochs_run} of {trial.epochs}"),
        ("reason", trial.reason or "interrupted, or still running"),
    )
    return Row(_name(trial), "", cells, _values(sweep, trial), _link(sweep, trial))


def _link(sweep: SweepSummary, trial: TrialRecord) -> str:
    return sweep.record.links.addresses.get(trial.trial, "")


def _name(trial: TrialRecord) -> str:
    return f"{trial.trial} (baseline)" if trial.baseline else str(trial.trial)


def _values(sweep: SweepSummary, trial: TrialRecord) -> str:
    return " ".join(f"{name}={value}" for name, value in searched_values(sweep.searched, trial.values).items())
