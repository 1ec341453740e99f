import random
from pathlib import Path
from typing import Any

import pytest

from conf.schema import Value
from sweeps.analysis.summary import SweepSummary
from sweeps.journal import SweepEnded
from sweeps.report import conclusions
from tests import confirmations, records


def summary(**options: Any) -> SweepSummary:
    return SweepSummary.of(records.record(**options))


def text(sweep: SweepSummary) -> str:
    return " ".join(conclusions.sentences(sweep))


def same(values: dict[str, Value], rng: random.Random) -> float:
    return 0.5


def test_trials_that_tie_are_not_presented_as_one_winner() -> None:
    assert "The baseline has the best val/accuracy, 0.5000, of 5 completed trials; 4 others reached the same." in text(
        summary(trials=5, accuracy=same)
    )
    assert "1 other reached the same" in text(summary(trials=2, accuracy=same))


def test_the_luck_of_the_best_is_told_in_points_only_if_the_accuracy_chose_it() -> None:
    assert "points) above their mean" in text(summary(trials=6))
    by_loss = text(summary(trials=6, objective="val/loss"))
    assert "the luckiest of 6" in by_loss
    assert "points) above" not in by_loss
    assert "too good an estimate" in by_loss


def test_a_confirmation_is_proposed_only_where_it_is_possible() -> None:
    assert conclusions.can_be_confirmed(summary(trials=6))
    without_baseline = summary(trials=6, failing=lambda trial: trial == 0)
    assert not conclusions.can_be_confirmed(without_baseline)
    assert "train the best configurations again" not in text(without_baseline)


def test_an_accuracy_of_all_or_none_has_no_standard_error_of_nothing() -> None:
    assert "±" not in text(summary(trials=1, accuracy=lambda values, rng: 1.0))
    sweep = summary(trials=3, accuracy=lambda values, rng: 1.0)
    score = sweep.score(sweep.ranking[0], "val/accuracy")
    assert score is not None
    assert str(score) == "1.0000"


@pytest.mark.parametrize(
    ("reason", "words"),
    [("minutes", "the time is up"), ("target", "the target is reached"), ("trials", "all trials"), ("new", "new")],
)
def test_the_reason_of_an_end_is_in_words(reason: str, words: str) -> None:
    record = records.record(trials=2, end=False)
    record.add(SweepEnded("completed", 0, reason))
    assert conclusions.state(record) == f"completed ({words})"


def test_the_counts_hold_after_the_budget_was_cut_and_name_what_failed_trials_hide() -> None:
    record = records.record(trials=5, failing=lambda trial: trial == 3)
    record.budget = 3
    sweep = SweepSummary.of(record)
    assert conclusions.counts(sweep) == "5 trials were started: 4 completed, 1 failed"
    assert conclusions.effort(sweep).endswith("without that of failed trials")
    assert "failed" not in conclusions.effort(summary(trials=2))


def test_a_difference_that_the_choice_of_texts_can_explain_is_told_with_its_interval() -> None:
    explained = text(summary(trials=6, sizes={"train": 100, "validation": 40, "test": 50}))
    assert "points, which the choice of the texts can explain." in explained


def test_what_a_confirmation_found_stands_where_one_was_proposed(tmp_path: Path) -> None:
    sweep, confirmed = summary(trials=6), confirmations.record(tmp_path, {3: 0.03})
    said = " ".join(conclusions.sentences(sweep, conclusions.confirmed([confirmed])))
    assert "Trained again with 5 fresh seeds, trial 3 has a test/accuracy of 0.8" in said
    assert "Confirmed: trial 3, the search's choice, is better than the baseline. This is again/imdb." in said
    assert "To see whether this holds" not in said
    assert "To see whether this holds" in text(sweep)
    nothing = confirmations.record(tmp_path / "failed", {}, seeds=1, failed=(0, 1, 2))
    assert " ".join(conclusions.sentences(sweep, conclusions.confirmed([nothing]))) == text(sweep)
