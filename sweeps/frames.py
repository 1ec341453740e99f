"""The trials of sweeps and their curves as pandas data frames, for notebooks, scripts and files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from conf.schema import NETWORK
from sweeps.journal import SweepRecord, TrialRecord
from sweeps.metrics import CURVES

IDENTITY = ("sweep", "dataset", "model", "trial")  # the first columns of every table
STATE = ("baseline", "status", "reason", "objective", "epochs", "best_epoch", "seed")
CONFIRMATION = ("origin", "shuffled")  # what `sweeps.journal.TrialStarted` says of a confirmation's trials


def trials(records: Sequence[SweepRecord]) -> pd.DataFrame:
    """Return a row for each trial of some sweeps, in the order in which they began.

    Behind its name and state stand its hyperparameters, the metrics of its chosen epoch and of its test, and its cost.
    A hyperparameter that has the name of another column is `hyperparameter <name>`.
    """
    rows = [_row(record, trial) for record in records for trial in record.trials.values()]
    extra = CONFIRMATION if any(record.started.confirms for record in records) else ()
    parts = [list(dict.fromkeys(key for row in rows for key in row[part])) for part in (1, 2)]
    taken = {*IDENTITY, *STATE, *CONFIRMATION, *parts[1]}
    names = {name: f"hyperparameter {name}" if name in taken else name for name in parts[0]}
    values = [{**fixed, **{names[key]: value for key, value in chosen.items()}, **rest} for fixed, chosen, rest in rows]
    return _frame(values, [*IDENTITY, *STATE, *extra, *names.values(), *parts[1]])


def curves(records: Sequence[SweepRecord]) -> pd.DataFrame:
    """Return a row for each epoch of each trial, with the metrics that have a curve."""
    rows = [
        {**_identity(record, trial), "epoch": epoch + 1, **_at(trial, epoch)}
        for record in records
        for trial in record.trials.values()
        for epoch in range(trial.epochs_run)
    ]
    known = dict.fromkeys((*CURVES, *(key for row in rows for key in row)))
    present = [name for name in known if name not in (*IDENTITY, "epoch") and any(name in row for row in rows)]
    return _frame(rows, [*IDENTITY, "epoch", *present])


def _row(record: SweepRecord, trial: TrialRecord) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return a trial's name and state, its hyperparameters, and its metrics and cost."""
    state = {
        **_identity(record, trial),
        **{"baseline": trial.baseline, "status": trial.status, "reason": trial.reason, "objective": trial.objective},
        **{"epochs": trial.epochs_run, "best_epoch": trial.best_epoch, "seed": trial.seed},
        **{"origin": trial.origin, "shuffled": trial.shuffled},
    }
    values = {name: value for name, value in trial.values.items() if name != NETWORK}
    cost = {name: value for name, value in trial.cost.items() if name != "epochs"}
    return state, values, {**trial.scores(), **cost}


def _identity(record: SweepRecord, trial: TrialRecord) -> dict[str, Any]:
    started = record.started
    network = str(trial.values.get(NETWORK, started.model))
    return dict(zip(IDENTITY, (started.sweep, started.dataset, network, trial.trial), strict=True))


def _at(trial: TrialRecord, epoch: int) -> dict[str, float]:
    return {name: curve[epoch] for name, curve in trial.curves.items() if epoch < len(curve)}


def _frame(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame({column: _column([row.get(column) for row in rows]) for column in columns})


def _column(values: Sequence[Any]) -> pd.Series:
    """Return a column of one type: whole numbers stay whole where some are missing."""
    kinds = {type(value) for value in values if value is not None}
    complete = None not in values
    if kinds == {bool}:
        return pd.Series(values, dtype="bool" if complete else "boolean")
    if kinds == {int}:
        return pd.Series(values, dtype="int64" if complete else "Int64")
    if kinds <= {int, float}:
        return pd.Series(values, dtype="float64")
    return pd.Series([None if value is None else str(value) for value in values], dtype="string")
