"""Whether trials had epochs enough."""

from dataclasses import replace

import pytest

from sweeps.analysis import epochs
from sweeps.journal import SweepRecord
from tests import records


def record(best_epochs: list[int]) -> SweepRecord:
    """A sweep of trials of three epochs, the first of which is the best one."""
    swept = records.record(trials=len(best_epochs))
    for trial, epoch in zip(swept.ranking(), best_epochs, strict=True):
        trial.epochs, trial.best_epoch = 3, epoch
    return swept


@pytest.mark.parametrize("best_epochs", [[3, 3, 1, 2], [2, 3, 3, 3], [1]])
def test_trials_that_were_better_before_need_no_more_epochs(best_epochs: list[int]) -> None:
    assert list(epochs.sentences(record(best_epochs))) == []


def test_trials_that_still_improve_are_told_with_twice_their_epochs() -> None:
    (sentence,) = epochs.sentences(record([3, 3, 3, 2]))
    assert sentence.startswith("3 of 4 trials, the best among them, were best in their last epoch: ")
    assert sentence.endswith(" Try epochs=6.")
    (alone,) = epochs.sentences(record([3]))
    assert alone.startswith("The only trial was best in its last epoch")


def test_where_the_test_set_is_looked_at_each_epoch_nothing_is_said() -> None:
    swept = record([3, 3])
    swept.started = replace(swept.started, held_out="test")
    assert list(epochs.sentences(swept)) == []
