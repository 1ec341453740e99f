import json

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import balanced_accuracy_score, f1_score, recall_score

from sweeps import metrics
from sweeps.metrics import METRICS, Answers

TRUE: NDArray[np.int64] = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, 4])
PREDICTED: NDArray[np.int64] = np.array([0, 1, 0, 1, 1, 2, 0, 2, 3, 2])  # 3 is never true, 4 is never predicted


def answers(true: NDArray[np.int64], predicted: NDArray[np.int64]) -> Answers:
    cells, counts = np.unique(np.stack([true, predicted]), axis=1, return_counts=True)
    return Answers(cells[0], cells[1], counts)


def test_each_metric_of_the_cells_is_that_of_the_single_answers() -> None:
    computed = {metric.name: metric.compute(answers(TRUE, PREDICTED)) for metric in METRICS if metric.compute}
    assert computed == {
        "accuracy": 0.6,
        "macro_f1": f1_score(TRUE, PREDICTED, average="macro", zero_division=0),
        "balanced_accuracy": pytest.approx(np.mean([2 / 3, 1, 1 / 2, 0])),
    }


@pytest.mark.parametrize("classes", [1, 2, 46, 300])
def test_the_scores_are_scikit_learns_to_the_last_bit(classes: int) -> None:
    compute = {metric.name: metric.compute for metric in METRICS if metric.compute}
    for seed in range(10):
        random = np.random.default_rng([classes, seed])
        true, predicted = random.integers(0, classes, (2, 500))
        predicted = np.where(random.random(500) < seed / 10, true, predicted)
        given = answers(true, predicted)
        assert compute["macro_f1"](given) == f1_score(true, predicted, average="macro", zero_division=0)
        present = np.unique(true)
        recall = recall_score(true, predicted, labels=present, average="macro", zero_division=0)
        assert compute["balanced_accuracy"](given) == recall


def test_answers_go_into_a_journal_and_come_back() -> None:
    given = answers(TRUE, PREDICTED)
    cells = given.cells()
    assert cells[:2] == [[0, 0, 2], [0, 1, 1]]
    for before, after in zip(given, Answers.of(json.loads(json.dumps(cells))), strict=True):
        np.testing.assert_array_equal(before, after)


def test_balanced_accuracy_is_scikit_learns_where_every_class_is_known() -> None:
    predicted = np.where(PREDICTED == 3, 4, PREDICTED)
    (row,) = [metric for metric in METRICS if metric.name == "balanced_accuracy"]
    assert row.compute is not None
    assert row.compute(answers(TRUE, predicted)) == pytest.approx(balanced_accuracy_score(TRUE, predicted))


def test_the_names_follow_from_the_table() -> None:
    assert metrics.CURVES == (
        "train/loss", "train/accuracy", "train/macro_f1", "val/loss", "val/accuracy", "val/macro_f1",
    )  # fmt: skip
    assert metrics.OBJECTIVES == ("val/loss", "val/accuracy", "val/macro_f1")
    assert metrics.shown_in("terminal") == ["test/accuracy", "test/macro_f1"]
    assert metrics.shown_in("report") == ["test/accuracy", "test/macro_f1", "test/balanced_accuracy"]


def test_a_choice_is_judged_by_its_own_metric_on_the_test_and_one_by_the_loss_by_accuracy() -> None:
    judged = {objective: metrics.tested(objective) for objective in metrics.OBJECTIVES}
    assert judged == {
        "val/loss": "test/accuracy",
        "val/accuracy": "test/accuracy",
        "val/macro_f1": "test/macro_f1",
    }
    assert metrics.on_validation("test/macro_f1") == "val/macro_f1"


def test_a_smaller_loss_and_a_larger_share_are_better() -> None:
    assert (metrics.best("val/loss", [2, 1, 3]), metrics.best("val/macro_f1", [2, 1, 3])) == (1, 3)
    assert metrics.is_better("train/loss", 1, 2)
    assert metrics.is_better("test/balanced_accuracy", 2, 1)
    assert not metrics.is_better("val/accuracy", 1, 1)
    assert metrics.axis_label("val/loss") == "val/loss (cross-entropy, nats)"
    with pytest.raises(ValueError, match=r"^val/auc: no such metric; there are loss, accuracy, macro_f1"):
        metrics.row("val/auc")
