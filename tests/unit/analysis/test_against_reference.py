"""The choice of a confirmation beside the best linear reference."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sweeps.analysis import against_reference
from sweeps.journal import SweepRecord
from sweeps.trials import predictions
from sweeps.trials.spec import Predictions
from tests import confirmations, records
from tests.confirmations import EXAMPLES


def confirmed(folder: Path, accuracy: float, *, gain: float = 0.03, **options: int) -> SweepRecord:
    """A confirmation whose choice, trial 3, has 0.8 and the gain, and whose reference has an accuracy of its own."""
    record = confirmations.record(folder, {3: gain}, shuffled=-0.2, **options)
    labels = np.zeros(EXAMPLES, np.uint8)
    predicted = (np.arange(EXAMPLES) >= accuracy * EXAMPLES).astype(np.uint8)
    digest = predictions.save(folder, "svm_final", Predictions(predicted, labels))
    final = {"test/accuracy": accuracy}
    record.add(replace(records.reference("svm", 0.5), final=final, final_predictions=digest))
    return record


@pytest.mark.parametrize(("accuracy", "words"), [(0.80, "better"), (0.88, "worse")])
def test_a_clear_difference_is_said_with_its_interval(accuracy: float, words: str, tmp_path: Path) -> None:
    record = confirmed(tmp_path, accuracy)
    (sentence,) = against_reference.sentences(against_reference.of(record))
    assert f"trained on the same texts, reaches {100 * accuracy:.1f} %: the search's choice is {words} by " in sentence
    against = against_reference.of(record)
    assert against is not None
    assert against.lead.pairs == 5
    assert against.lead.mean == pytest.approx(0.83 - accuracy, abs=0.002)
    assert against.lead.over_examples is not None
    assert f"{100 * abs(against.lead.mean):.1f} ± {100 * against.lead.half_width:.1f} points." in sentence
    assert against_reference.metrics(against_reference.of(record))["confirm/over_reference"] == against.lead.mean


def test_a_difference_that_other_texts_might_not_show_is_none(tmp_path: Path) -> None:
    (sentence,) = against_reference.sentences(against_reference.of(confirmed(tmp_path, 0.829)))
    assert "the search's choice differs by no more than 5 seeds and these texts leave open (" in sentence


def test_one_seed_shows_nothing(tmp_path: Path) -> None:
    against = against_reference.of(confirmed(tmp_path, 0.7, seeds=1))
    (sentence,) = against_reference.sentences(against)
    assert "one seed cannot show how the search's choice (+13." in sentence
    assert "confirm/over_reference_half_width" not in against_reference.metrics(against)


def test_without_the_answers_of_the_reference_seeds_alone_decide(tmp_path: Path) -> None:
    record = confirmed(tmp_path, 0.80)
    (tmp_path / "predictions" / "svm_final.npz").unlink()
    against = against_reference.of(record)
    assert against is not None
    assert against.lead.over_examples is None
    assert against.lead.is_shown


def test_without_a_reference_that_was_trained_on_the_same_texts_nothing_is_said(tmp_path: Path) -> None:
    record = confirmations.record(tmp_path, {3: 0.03})
    assert list(against_reference.sentences(against_reference.of(record))) == []
    record.add(records.reference("svm", 0.9))
    assert list(against_reference.sentences(against_reference.of(record))) == []
    assert against_reference.metrics(against_reference.of(record)) == {}
