import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweeps.analysis import references
from sweeps.journal import ReferenceEnded, SweepRecord
from sweeps.trials import predictions
from sweeps.trials.spec import Predictions
from tests import answered, records


def record(*found: ReferenceEnded, accuracy: float = 0.7, trials: int = 12, **options: Any) -> SweepRecord:
    """A sweep whose trials all have about this validation accuracy, and a test accuracy a point below."""
    result = records.record(trials=trials, accuracy=lambda values, rng: accuracy + 0.001 * rng.random(), **options)
    for trial in result.trials.values():
        trial.test = {**trial.test, "test/accuracy": accuracy} if trial.completed else trial.test
    for reference in found:
        result.add(reference)
    return result


def sentence(*found: ReferenceEnded, **options: Any) -> str:
    return " ".join(references.sentences(record(*found, **options)))


def test_a_clear_difference_is_named_with_its_interval_and_what_both_took() -> None:
    text = sentence(records.reference("svm", 0.776), accuracy=0.726, sizes={"train": 20_000, "test": 2_246})
    half = 1.96 * math.sqrt(0.776 * 0.224 / 2246 + 0.726 * 0.274 / 2246)
    assert f"5.0 ± {100 * half:.1f} points above that of trial " in text
    assert "A linear model on counts of words (TF-IDF with a linear SVM, C=0.3), trained in 6 s, has" in text
    assert "test accuracy of 77.6 %" in text
    assert "(72.6 %, the best of 12 by val/accuracy; it trained for " in text


def test_a_network_that_is_better_is_told_so_too() -> None:
    assert " points below that of trial " in sentence(records.reference(accuracy=0.6))


@pytest.mark.parametrize("sizes", [{"train": 100, "test": 100}, {}])
def test_nobody_wins_within_the_noise_or_where_it_is_not_known(sizes: dict[str, int]) -> None:
    text = sentence(records.reference(accuracy=0.72), sizes=sizes, accuracy=0.7)
    assert "differs by 2.0" in text
    assert "which chance can explain" in text
    assert not {"above", "below"} & set(text.split())


def test_equal_accuracies_are_no_difference_even_if_all_answers_are_right() -> None:
    text = sentence(records.reference(accuracy=1.0), accuracy=1.0)
    assert "differs by 0.0 points, which chance can explain" in text


def test_validation_chooses_the_reference_that_is_compared() -> None:
    better_on_test = records.reference("svm", 0.9, scores={"val/accuracy": 0.7, "test/accuracy": 0.9})
    chosen = records.reference("nbsvm", 0.8, scores={"val/accuracy": 0.75, "test/accuracy": 0.8})
    both = record(better_on_test, chosen)
    assert references.best(both) is chosen
    unchosen = [
        records.reference(name, 0.8, scores={"test/accuracy": value}) for name, value in (("svm", 0.7), ("nbsvm", 0.9))
    ]
    assert references.best(record(*unchosen, held_out="test")) is unchosen[0]  # the test set never chooses


def test_a_part_of_train_is_told() -> None:
    part = records.reference(cost={"seconds": 6.0, "documents": 5_000})
    assert "trained on 5,000 of 20,000 texts in 6 s" in sentence(part)


def test_a_failure_is_a_sentence_and_an_earlier_sweep_has_none() -> None:
    failed = ReferenceEnded("nbsvm", "failed", "too little memory")
    assert sentence(failed) == "NB-SVM could not be trained as a reference: too little memory."
    assert sentence() == ""
    assert references.lead(record(failed)) is None


def test_without_a_completed_trial_the_reference_stands_alone() -> None:
    text = sentence(records.reference(), failing=lambda trial: True)
    assert text.endswith("has a test accuracy of 77.6 %.")


def test_one_trial_is_not_the_best_of_any() -> None:
    text = sentence(records.reference(), trials=1)
    assert "of the baseline (70.0 %; it trained for " in text


def test_every_level_has_its_place_between_floor_and_ceiling() -> None:
    facts = {**answered.audit(["earn", "acq"]).as_dict(), "floor": 0.36, "ceiling": 0.94}
    full = record(records.reference("svm"), records.reference("later_one"), audit=facts)
    levels = {(level.kind, level.name): level.accuracy for level in references.levels(full)}
    assert [kind for kind, _ in levels] == ["floor", "reference", "reference", "baseline", "best", "ceiling"]
    assert [levels[key] for key in levels if key[0] in ("floor", "ceiling")] == [0.36, 0.94]
    assert ("reference", "later_one") in levels  # of a later version of this project


@pytest.mark.parametrize(
    ("accuracy", "words"),
    [
        (0.36, "is not better than that of always answering earn (36.0 %)."),
        (0.37, "exceeds by no more than chance can explain that of always answering earn (36.0 %)."),
        (0.45, ""),
    ],
)
def test_a_network_at_the_floor_is_named(accuracy: float, words: str) -> None:
    facts = {**answered.audit(["earn", "acq"]).as_dict(), "floor": 0.36}
    text = sentence(accuracy=accuracy, audit=facts, sizes={"train": 9_000, "test": 1_000}, trials=1)
    found = f"The baseline has learned nothing that the test set shows: its test accuracy of {100 * accuracy:.1f} % "
    assert text == (found + words if words else "")


def test_a_reference_of_a_moment_took_less_than_a_second() -> None:
    assert ", trained in less than 1 s, has" in sentence(records.reference(cost={"seconds": 0.2, "documents": 20_000}))


# On whole texts


def whole_of(accuracy: float = 0.86, **changes: Any) -> ReferenceEnded:
    return records.reference("svm_whole", accuracy, whole=True, **changes)


def facts(**changes: Any) -> dict[str, Any]:
    return {**answered.audit(["earn", "acq"]).as_dict(), "maxlen": 100, "num_words": 5000, **changes}


def test_what_whole_texts_are_worth_is_told_with_the_settings_that_cut_them() -> None:
    more = {"audit": facts(unread=0.594, unknown=0.1)}
    text = list(references.sentences(record(records.reference("svm", 0.776), whole_of(0.86), **more)))[1]
    half = 1.96 * math.sqrt((0.776 * 0.224 + 0.86 * 0.14) / 25_000)
    assert "(TF-IDF with a linear SVM on the whole texts, C=0.3), trained in 6 s, has a test accuracy of 86.0 %" in text
    assert f", 8.4 ± {100 * half:.1f} points above that of the same model on what the networks get" in text
    assert "(77.6 %): try more than datasets.imdb.maxlen=100 (it cuts off 59.4 % of all tokens) and than" in text
    assert text.endswith("datasets.imdb.num_words=5000 (10.0 % of the tokens are outside the vocabulary).")


@pytest.mark.parametrize(
    ("cut", "named"), [({"unread": 0.0}, "num_words"), ({"unknown": 0.0}, "maxlen"), ({}, "maxlen")]
)
def test_only_what_cuts_is_named(cut: dict[str, float], named: str) -> None:
    text = sentence(records.reference("svm", 0.7), whole_of(0.86), audit=facts(**cut))
    assert f"try more than datasets.imdb.{named}=" in text
    assert (" and than " in text) == (not cut)


@pytest.mark.parametrize(("accuracy", "ending"), [(0.777, "which chance can explain."), (0.6, "(77.6 %).")])
def test_nothing_is_advised_where_whole_texts_are_no_better(accuracy: float, ending: str) -> None:
    text = sentence(records.reference("svm", 0.776), whole_of(accuracy), audit=facts())
    assert text.endswith(ending)
    assert "try " not in text


def test_it_is_never_among_those_that_compare_with_trials() -> None:
    both = record(records.reference("svm", 0.7), whole_of(0.99), audit=facts())
    assert [each.name for each in references.completed(both)] == ["svm"]
    found = references.best(both)
    assert found is not None
    assert found.name == "svm"
    assert references.lead(both) == references.lead(record(records.reference("svm", 0.7)))
    assert references.best(record(whole_of())) is None
    assert [level.kind for level in references.levels(both)].count("whole") == 1


def test_it_stands_alone_without_the_same_model_and_in_journals_without_an_audit() -> None:
    assert sentence(whole_of()).endswith("has a test accuracy of 86.0 %.")
    assert sentence(records.reference("svm", 0.7), whole_of()).endswith("what the networks get of them (70.0 %).")


def test_the_interval_is_that_of_pairs_where_the_answers_are_there(tmp_path: Path) -> None:
    labels = np.zeros(1000, np.uint8)
    answers = {"svm": np.arange(1000) < 300, "svm_whole": np.arange(1000) < 260}  # the same errors but for 40
    found = []
    for name, wrong in answers.items():
        digest = predictions.save(tmp_path, name, Predictions(wrong.astype(np.uint8), labels))
        accuracy = 1 - float(wrong.mean())
        found.append(records.reference(name, accuracy, predictions=digest, whole=name == "svm_whole"))
    sizes = {"train": 20_000, "test": 1000}
    alone = sentence(*found, sizes=sizes)
    together = sentence(*found, sizes=sizes, directory=tmp_path)
    assert "differs by 4.0 ± 3.9" in alone or "4.0 ± 3.9 points above" in alone
    assert re.search(r"4\.0 ± 1\.[12] points above", together)


def reading(words: int, *found: ReferenceEnded, **options: Any) -> str:
    """The sentences of a sweep whose trials read so many words, where the references read 100."""
    config = records.configuration() + "datasets: {imdb: {maxlen: 100, num_words: 5000, tokens: words}}\n"
    result = record(*found, config=config, audit=facts(), **options)
    for trial in result.trials.values():
        trial.values = {**trial.values, "maxlen": words}
    return " ".join(references.sentences(result))


def test_a_best_trial_that_reads_more_is_compared_with_the_reference_on_whole_texts() -> None:
    text = reading(400, records.reference("svm", 0.65), whole_of(0.86), accuracy=0.8)
    cut, compared, more = text.split(". ")
    assert cut.endswith("has a test accuracy of 65.0 %")
    assert "(TF-IDF with a linear SVM, C=0.3; it reads at most 100 words of each), trained" in cut
    assert "on the whole texts, C=0.3), trained in 6 s, has a test accuracy of 86.0 %, 6.0 ± " in compared
    assert "points above that of trial" in compared
    assert "; it reads at most 400 words of each and trained for" in compared
    assert more.startswith("On the whole texts it reaches 86.0 %, 21.0 ± ")
    assert "maxlen" not in more  # the trials say more


def test_a_best_trial_that_reads_as_much_is_compared_with_the_best_reference() -> None:
    text = reading(100, records.reference("svm", 0.65), whole_of(0.86), accuracy=0.8)
    assert "points below that of trial" in text.split(". ")[0]
    assert text.count("that of trial") == 1
