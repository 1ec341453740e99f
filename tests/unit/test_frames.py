"""The trials and curves of sweeps as data frames."""

import io
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from sweeps import frames
from sweeps.journal import SweepRecord, TrialEnded, TrialStarted
from tests import confirmations, records


def test_each_trial_is_a_row_with_its_values_scores_cost_and_state() -> None:
    record = records.record(trials=3, failing=lambda trial: trial == 2)
    frame = frames.trials([record])
    assert list(frame.columns[:4]) == ["sweep", "dataset", "model", "trial"]
    for row, trial in zip(frame.to_dict("records"), record.trials.values(), strict=True):
        assert row["trial"] == trial.trial
        assert row["status"] == trial.status
        assert row["baseline"] == (trial.trial == 0)
        assert all(row[name] == value for name, value in trial.values.items())
    assert frame["test/accuracy"].tolist()[:2] == [record.trials[n].test["test/accuracy"] for n in (0, 1)]
    assert frame["val/accuracy"][1] == record.trials[1].at_best("val/accuracy")
    assert frame["seconds"][0] == record.trials[0].cost["seconds"]
    assert frame["reason"][2] == "diverged: train/loss is nan in epoch 1"
    assert pd.isna(frame["objective"][2])


def test_a_column_has_one_type_and_whole_numbers_stay_whole_where_some_are_missing() -> None:
    frame = frames.trials([records.record(trials=2, failing=lambda trial: trial == 1)])
    types = {name: str(frame[name].dtype) for name in ("lstm_units", "dropout", "best_epoch", "parameters", "baseline")}
    whole = {"lstm_units": "int64", "best_epoch": "Int64", "parameters": "Int64"}
    assert types == {**whole, "dropout": "float64", "baseline": "bool"}


def test_a_hyperparameter_that_only_one_of_several_networks_has_is_missing_in_the_others() -> None:
    frame = frames.trials([records.several(4, accuracy=lambda values, rng: 0.7)])
    assert frame["model"].tolist() == ["bag", "lstm", "bag", "lstm"]
    assert frame["lstm_units"].isna().tolist() == [True, False, True, False]
    assert str(frame["lstm_units"].dtype) == "Int64"
    assert str(frame["padding"].dtype) == "string"


def test_a_hyperparameter_with_the_name_of_another_column_hides_nothing() -> None:
    events = [
        replace(event, values={**event.values, "seed": 7, "seconds": 8}) if isinstance(event, TrialStarted) else event
        for event in records.events(2)
    ]
    frame = frames.trials([SweepRecord.of(Path("x"), events)])
    assert frame["seed"].tolist() == [1000, 1001]
    assert frame["hyperparameter seed"].tolist() == [7, 7]
    assert (frame["seconds"] > 8).all()
    assert frame["hyperparameter seconds"].tolist() == [8, 8]


def test_a_confirmation_says_whose_configuration_a_trial_repeats(tmp_path: Path) -> None:
    record = confirmations.record(tmp_path, {3: 0.02, 5: 0.01}, seeds=2)
    frame = frames.trials([record])
    assert frame["origin"].tolist() == [trial.origin for trial in record.trials.values()]
    assert "origin" not in frames.trials([records.record()])


def test_each_epoch_is_a_row_of_the_curves() -> None:
    record = records.record(trials=2, epochs=3)
    frame = frames.curves([record])
    assert frame["epoch"].tolist() == [1, 2, 3, 1, 2, 3]
    for trial in record.trials.values():
        of_trial = frame[frame["trial"] == trial.trial]
        assert {name: of_trial[name].tolist() for name in trial.curves} == trial.curves


def test_sweeps_without_a_trial_have_tables_without_rows() -> None:
    record = SweepRecord.of(Path("x"), [records.started()])
    assert len(frames.trials([record])) == len(frames.curves([record])) == 0
    assert "trial" in frames.trials([])


@pytest.mark.parametrize("table", [frames.trials, frames.curves])
def test_a_frame_comes_back_from_parquet_as_it_was(table: object) -> None:
    assert callable(table)
    frame = table([records.several(3, accuracy=lambda values, rng: 0.7, failing=lambda trial: trial == 2)])
    pd.testing.assert_frame_equal(pd.read_parquet(io.BytesIO(frame.to_parquet(index=False))), frame)


def test_values_of_different_types_are_texts() -> None:
    values = iter([1, "auto"])
    events = [
        replace(event, values={**event.values, "depth": next(values)}) if isinstance(event, TrialStarted) else event
        for event in records.events(2)
        if not isinstance(event, TrialEnded)
    ]
    frame = frames.trials([SweepRecord.of(Path("x"), events[:-1])])
    assert frame["depth"].tolist() == ["1", "auto"]
    assert frame["status"].tolist() == ["running", "running"]
