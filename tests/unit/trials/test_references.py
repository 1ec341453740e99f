"""The linear references, on documents whose label is the order of two words."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from sweeps.errors import TrialFailedError
from sweeps.metrics import Answers, row
from sweeps.trials import references
from sweeps.trials.spec import BEGINNING, Dataset, Reference, Split
from tests import specs
from tests.conftest import ROOT

WORDS, CLASSES = 12, 3
LOADED: dict[str, Dataset] = {}


def documents(n: int, seed: int, classes: int = CLASSES) -> Split:
    """Documents of noise in which the neighbours 1 and 2, 3 or 4 stand for a label; each word alone says nothing."""
    generator = np.random.default_rng(seed)
    y = np.arange(n) % classes
    x = generator.integers(5, WORDS, (n, 8), dtype=np.int32)
    x[:, 6], x[:, 7] = 1, 2 + y
    x[:, 4] = generator.integers(2, 2 + classes, n)
    x[:, 2] = generator.integers(2, 2 + classes, n)
    return Split(x, y.astype(np.int64))


def dataset(classes: int = CLASSES, **changes: Any) -> Dataset:
    parts = (documents(n, seed, classes) for seed, n in enumerate((90, 30, 60)))
    return Dataset(*parts, WORDS, 8, CLASSES, "d", "archive")._replace(**changes)


def load(**which: Any) -> Dataset:
    return LOADED["the one"]


def run(data: Dataset, **changes: Any) -> list[Reference]:
    LOADED["the one"] = data
    known = {"digest": data.digest, **changes}
    spec = specs.spec(load="tests.unit.trials.test_references.load", reference=True, **known)
    return references.run(spec, lambda report: None)


def test_data_that_are_not_the_drivers_are_refused_as_a_trial_refuses_them() -> None:
    with pytest.raises(TrialFailedError, match=r"^the worker's data differ from the driver's: d, not another$"):
        run(dataset(), digest="another")


def test_each_reference_learns_the_order_of_two_words() -> None:
    for reference in run(dataset()):
        assert reference.scores is not None
        assert reference.scores["test/accuracy"] == 1.0, reference.name
        assert (reference.failure, reference.documents) == ("", 90)
        assert reference.seconds > 0


def test_no_models_seconds_contain_the_import_of_what_trains_it() -> None:
    code = (
        "import sys, time\n"
        "from tests.unit.trials import test_references as tests\n"
        "loaded = []\n"
        "clock = time.perf_counter\n"
        "def looked_at():\n"
        "    loaded.append(all(module in sys.modules for module in tests.references.LEARNERS))\n"
        "    return clock()\n"
        "time.perf_counter = looked_at\n"
        "tests.run(tests.dataset())\n"
        "assert loaded and all(loaded)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize("classes", [2, 3])
def test_scores_are_those_of_the_predictions_that_are_kept(classes: int) -> None:
    data = dataset(classes)
    noise = np.random.default_rng(9).integers(0, classes, 60)
    data = data._replace(test=Split(data.test.x, noise.astype(np.int64)))
    found = run(data)
    assert [reference.name for reference in found] == list(references.NAMES)
    for reference in found:
        assert reference.predictions is not None
        assert reference.scores is not None
        assert reference.predictions.labels.tolist() == noise.tolist()
        cells = np.stack([noise, reference.predictions.predicted, np.ones(60, int)], axis=1)
        for name in ("accuracy", "macro_f1", "balanced_accuracy"):
            compute = row(name).compute
            assert compute is not None
            assert reference.scores[f"test/{name}"] == pytest.approx(compute(Answers.of(cells.tolist())))
    json = [name for name in (found[0].scores or {}) if name.startswith("val/")]
    assert json == ["val/accuracy", "val/macro_f1"]


def test_only_the_best_on_validation_is_trained_again_with_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[tuple[int, float]] = []
    fit = references._fit_svm

    def fit_and_count(features: Any, y: np.ndarray, penalty: float) -> Any:
        fitted.append((len(y), penalty))
        return fit(features, y, penalty)

    method = references.METHODS["svm"]._replace(fit=fit_and_count)
    monkeypatch.setattr(references, "METHODS", {**references.METHODS, "svm": method})
    found = run(dataset())
    assert [reference.final is not None for reference in found] == [True, False, False]
    assert [reference.final_predictions is not None for reference in found] == [True, False, False]
    assert fitted == [(90, 0.1), (90, 0.3), (120, 0.1)]  # 0.3 is no better
    assert found[0].penalty == 0.1


def test_validation_chooses_the_penalty(monkeypatch: pytest.MonkeyPatch) -> None:
    data = dataset()
    right = {0.1: 10, 0.3: 20, 1.0: 25, 3.0: 24}  # answers to validation

    def fit(features: Any, y: np.ndarray, penalty: float) -> Any:
        return right[penalty]

    def scores(predicted: np.ndarray, labels: np.ndarray, part: str) -> dict[str, float]:
        return {f"{part}/accuracy": predicted[0] / 30}

    monkeypatch.setattr(references, "_scores", scores)
    monkeypatch.setattr(
        references._Learned, "answers", lambda learned, counts: np.full(len(data.test.y), learned.model)
    )
    monkeypatch.setattr(references, "METHODS", {"svm": references.METHODS["svm"]._replace(fit=fit)})
    (found,) = run(data)
    assert found.penalty == 1.0


def test_where_validation_is_the_test_set_it_chooses_nothing() -> None:
    for reference in run(dataset(), test_last_epoch=True):
        assert reference.scores is not None
        assert not any(name.startswith("val/") for name in reference.scores)
        assert reference.penalty == references.METHODS[reference.name].penalties[1]
        assert reference.final is None


def test_a_reference_is_the_same_each_time() -> None:
    first, second = run(dataset()), run(dataset())
    assert [each.scores for each in first] == [each.scores for each in second]


def test_of_a_large_train_the_same_share_of_every_label_is_learned_from(monkeypatch: pytest.MonkeyPatch) -> None:
    y = np.repeat([0, 1, 2], [60, 27, 3])
    chosen = references._part(y, 1 / 3)
    assert chosen is not None
    assert np.bincount(y[chosen]).tolist() == [20, 9, 1]
    assert chosen.tolist() == sorted(set(chosen.tolist()))
    assert references._part(y, 1.0) is None
    monkeypatch.setattr(references, "WORDS", 90 * 8 // 3)
    assert {reference.documents for reference in run(dataset())} == {30}


def test_a_method_that_would_take_long_learns_from_a_part_and_the_others_do_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow = references.METHODS["nbsvm"]._replace(most=10)
    monkeypatch.setattr(references, "METHODS", {**references.METHODS, "nbsvm": slow})
    found = {reference.name: reference.documents for reference in run(dataset())}
    assert found == {"svm": 90, "logistic": 90, "nbsvm": CLASSES}  # one of each label at least


def test_documents_of_one_label_are_a_failure_with_its_reason() -> None:
    data = dataset()
    one = Split(data.train.x, np.zeros(90, np.int64))
    for reference in run(data._replace(train=one)):
        assert reference.scores is None
        assert "class" in reference.failure or "one label" in reference.failure


def test_a_label_that_train_lacks_is_answered_wrongly_and_is_no_failure() -> None:
    data = dataset()
    few = Split(data.train.x, np.minimum(data.train.y, 1))
    for reference in run(data._replace(train=few)):
        assert reference.scores is not None
        assert reference.predictions is not None
        assert set(reference.predictions.predicted.tolist()) == {0, 1}


def test_documents_of_one_word_have_an_answer_too() -> None:
    def part(n: int) -> Split:
        return Split(np.ones((n, 1), np.int32), np.arange(n, dtype=np.int64) % 2)

    data = dataset()._replace(train=part(20), validation=part(10), test=part(10), maxlen=1, num_classes=2)
    for reference in run(data):
        assert reference.scores is not None
        assert reference.scores["test/accuracy"] == 0.5


def test_the_version_changes_with_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    before = references.version()
    assert references.version() == before
    monkeypatch.setattr(references.software, "versions", lambda packages: {"scikit-learn": "99"})
    assert references.version() != before


def whole(split: Split) -> Split:
    """The same documents in one row, with noise before and behind the words that stand for a label."""
    noise = np.random.default_rng(len(split.y)).integers(5, WORDS, (len(split.y), 4), dtype=np.int32)
    start = np.full((len(split.y), 1), BEGINNING, np.int32)
    x = np.where(split.x == BEGINNING, WORDS, split.x)  # which no word is
    return Split(np.concatenate([start, noise, x, noise], axis=1).ravel().astype(np.int32), split.y)


def on_whole_texts(**changes: Any) -> list[Reference]:
    data = dataset(num_words=WORDS + 1)
    return run(
        data._replace(**{part: whole(getattr(data, part)) for part in ("train", "validation", "test")}), **changes
    )


def test_on_whole_texts_there_is_one_reference_of_another_name() -> None:
    (found,) = on_whole_texts()
    assert found.name == references.WHOLE
    assert found.name not in references.NAMES
    assert found.scores is not None
    assert found.scores["test/accuracy"] > 0.9
    assert found.documents == 90
    assert found.final is not None  # trained on validation too, as a confirmation trains
    assert found.final_predictions is not None
    assert found.predictions is not None
    assert len(found.predictions.labels) == 60


def test_of_many_whole_texts_a_part_is_learned_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(references, "WHOLE_WORDS", 90 * 17 // 3)
    (found,) = on_whole_texts()
    assert found.documents == 30


def test_on_whole_texts_nothing_chooses_where_validation_is_the_test_set() -> None:
    (found,) = on_whole_texts(test_last_epoch=True)
    assert found.penalty == references.WHOLE_PENALTIES[1]
    assert not any(name.startswith("val/") for name in found.scores or ())
