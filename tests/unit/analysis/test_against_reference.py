"""The choice of a confirmation beside the best linear reference."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweeps.analysis import against_reference, paired, statistics
from sweeps.journal import ReferenceEnded, SweepRecord
from sweeps.trials import predictions
from sweeps.trials.spec import Predictions
from tests import confirmations, records
from tests.confirmations import EXAMPLES


def confirmed(folder: Path, accuracy: float, *, gain: float = 0.03, **options: Any) -> SweepRecord:
    """A confirmation whose choice, trial 3, has 0.8 and the gain, and whose reference has an accuracy of its own."""
    record = confirmations.record(folder, {3: gain}, shuffled=-0.2, **options)
    answers = confirmations.answered(accuracy)
    digest = predictions.save(folder, "svm_final", answers)
    final = confirmations.scores(answers)
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


def test_after_a_search_by_macro_f1_that_of_the_reference_is_compared(tmp_path: Path) -> None:
    record = confirmed(tmp_path, 0.88, compared_by="test/macro_f1")
    against = against_reference.of(record)
    assert against is not None
    theirs = confirmations.scores(confirmations.answered(0.88))["test/macro_f1"]
    ours = np.mean([trial.test["test/macro_f1"] for trial in paired.completed(record, 3).values()])
    assert against.score == theirs
    assert against.lead.mean == pytest.approx(ours - theirs)
    (sentence,) = against_reference.sentences(against)
    assert f"reaches a test/macro_f1 of {theirs:.4f}: the search's choice is worse by " in sentence
    assert against_reference.metrics(against)["reference/macro_f1"] == theirs


def test_without_the_metric_of_an_earlier_versions_reference_nothing_is_compared(tmp_path: Path) -> None:
    record = confirmations.record(tmp_path, {3: 0.03}, compared_by="test/macro_f1")
    record.add(replace(records.reference("svm", 0.5), final={"test/accuracy": 0.88}))
    assert against_reference.of(record) is None


def test_every_finalist_is_compared_and_the_others_intervals_hold_together(tmp_path: Path) -> None:
    record = confirmed(tmp_path, 0.80)
    choice = against_reference.of(record)
    assert choice is not None
    leads = against_reference.leads(record, choice)
    assert leads.keys() == {3, 5, 0}
    assert leads[3] == choice.lead
    for origin in (5, 0):
        trials = paired.completed(record, origin)
        assert leads[origin].mean == pytest.approx(np.mean(paired.scores(record, trials)) - 0.80)
        alone = statistics.half_width(paired.scores(record, trials))
        assert leads[origin].half_width == pytest.approx(
            statistics.half_width(paired.scores(record, trials), statistics.level_of_each(2))
        )
        assert leads[origin].half_width > alone


def test_without_a_reference_no_finalist_has_a_lead(tmp_path: Path) -> None:
    record = confirmations.record(tmp_path, {3: 0.03})
    assert against_reference.leads(record, against_reference.of(record)) == {}


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


def data(maxlen: int = 100) -> str:
    return records.configuration() + f"datasets: {{imdb: {{maxlen: {maxlen}, num_words: 5000, tokens: words}}}}\n"


def longer(record: SweepRecord, words: int, **options: Any) -> SweepRecord:
    """Let the trials read so many words where the references read 100."""
    record.started = replace(record.started, config=data())
    for trial in record.trials.values():
        trial.values = {**trial.values, "maxlen": words, **options}
    return record


def whole(folder: Path, accuracy: float, *, retrained: bool = True) -> ReferenceEnded:
    labels = np.zeros(EXAMPLES, np.uint8)
    predicted = (np.arange(EXAMPLES) >= accuracy * EXAMPLES).astype(np.uint8)
    digest = predictions.save(folder, "svm_whole_final", Predictions(predicted, labels))
    final: dict[str, Any] = {"final": {"test/accuracy": accuracy}, "final_predictions": digest} if retrained else {}
    return records.reference("svm_whole", accuracy, whole=True, **final)


def test_a_choice_that_reads_more_is_compared_with_the_reference_on_whole_texts(tmp_path: Path) -> None:
    record = longer(confirmed(tmp_path, 0.80), 400)
    record.add(whole(tmp_path, 0.88))
    (sentence,) = against_reference.sentences(against_reference.of(record))
    assert "(TF-IDF with a linear SVM on the whole texts, C=0.3), trained on the same texts, which it reads" in sentence
    assert "whole where the search's choice reads at most 400 words of each, reaches 88.0 %" in sentence
    assert "the search's choice is worse by 5.1 ± " in sentence


def test_a_whole_reference_that_lacks_the_texts_of_validation_is_said_to(tmp_path: Path) -> None:
    record = longer(confirmed(tmp_path, 0.80), 400)
    record.add(whole(tmp_path, 0.88, retrained=False))
    (sentence,) = against_reference.sentences(against_reference.of(record))
    assert "trained on the same texts but those of validation, which it reads whole" in sentence


def test_without_whole_texts_it_is_said_how_many_words_each_reads(tmp_path: Path) -> None:
    (sentence,) = against_reference.sentences(against_reference.of(longer(confirmed(tmp_path, 0.80), 400)))
    assert "the same texts, of which it reads at most 100 words of each and the search's choice 400 words" in sentence


@pytest.mark.parametrize(("words", "reads"), [(100, "both read at most 100 words"), (50, "it reads at most 100 words")])
def test_a_choice_that_reads_no_more_compares_with_the_best_reference(words: int, reads: str, tmp_path: Path) -> None:
    record = longer(confirmed(tmp_path, 0.80), words)
    record.add(whole(tmp_path, 0.88))
    (sentence,) = against_reference.sentences(against_reference.of(record))
    assert f"(TF-IDF with a linear SVM, C=0.3), trained on the same texts, of which {reads} of each" in sentence
    assert "is better by 2.9 ± " in sentence


def test_more_known_words_are_more_to_read_too_and_more_characters_are_not(tmp_path: Path) -> None:
    record = longer(confirmed(tmp_path, 0.80), 100, num_words=20_000)
    record.add(whole(tmp_path, 0.88))
    (sentence,) = against_reference.sentences(against_reference.of(record))
    assert "reads at most 100 words of each, with a vocabulary of 20,000, reaches 88.0 %" in sentence
    spelled = longer(record, 400, tokens="characters")
    (sentence,) = against_reference.sentences(against_reference.of(spelled))
    assert "and the search's choice 400 characters of each, with a vocabulary of 20,000" in sentence
