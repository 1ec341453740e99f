"""The names of a sweep's runs."""

from dataclasses import replace

import pytest

from sweeps.journal import SweepRecord
from sweeps.tracking import naming
from tests import records


def names(record: SweepRecord, sweep: str) -> list[str]:
    started = replace(record.started, sweep=sweep)
    return [naming.sweep_name(started), *(naming.trial_name(started, trial) for trial in record.trials.values())]


@pytest.mark.parametrize(
    ("sweep", "suffix"),
    [
        ("lstm-20261130-091349-f8ca/imdb", "f8ca"),
        ("lstm-20261130-091349-f8ca-confirm-8938/imdb", "8938"),
        ("mine/imdb", "9fae"),
    ],
)
def test_runs_have_the_suffix_of_their_directory(sweep: str, suffix: str) -> None:
    record = records.record(trials=2, accuracy=lambda values, rng: 0.5)
    assert names(record, sweep) == [f"lstm-{suffix} random imdb", f"lstm-{suffix}-00", f"lstm-{suffix}-01"]


def test_of_several_networks_a_trial_has_the_name_of_its_own() -> None:
    record = records.several(trials=2, accuracy=lambda values, rng: 0.5)
    assert names(record, "bag-lstm-1-f8d1/imdb") == ["bag-lstm-f8d1 random imdb", "bag-f8d1-00", "lstm-f8d1-01"]
