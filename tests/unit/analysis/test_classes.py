import csv
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from sweeps.analysis import confirmation
from sweeps.analysis.classes import PerClass, per_class
from sweeps.analysis.summary import SweepSummary
from sweeps.metrics import METRICS, Answers
from tests import answered, confirmations, records

NAMES = ("wheat", "grain", '곡물, "쌀"', "tin")
MATRIX = [[1, 2, 0, 0], [12, 17, 1, 0], [0, 0, 5, 0], [0, 0, 0, 0]]  # tin has no test texts


def of(*matrices: Sequence[Sequence[int]], names: Sequence[str] = NAMES) -> PerClass:
    cells = {trial: answered.cells(matrix) for trial, matrix in enumerate(matrices)}
    record = answered.record(records.events(trials=len(matrices)), names, cells)
    found = per_class(record.started, list(record.trials.values()))
    assert found is not None
    return found


def test_the_scores_are_scikit_learns_and_their_means_the_metrics_of_the_trial() -> None:
    cells, names = answered.drawn(20), [f"label {number}" for number in range(20)]
    record = answered.record(records.events(trials=1), names, {0: cells})
    found = per_class(record.started, [record.trials[0]])
    assert found is not None
    labels, predicted, counts = answers = Answers.of(cells)
    expected = precision_recall_fscore_support(labels, predicted, sample_weight=counts, zero_division=0)
    by_name = dict(zip(names, np.stack(expected, axis=1).tolist(), strict=True))
    for each in found.labels:
        assert [each.precision, each.recall, each.f1, each.support] == pytest.approx(by_name[each.name])
    supports = [each.support for each in found.labels]
    assert supports == sorted(supports, reverse=True)
    assert sum(supports) == sum(each.answered for each in found.labels) == 2000
    computed = {metric.name: metric.compute(answers) for metric in METRICS if metric.compute}
    assert computed["macro_f1"] == pytest.approx(np.mean([each.f1 for each in found.labels]))
    assert computed["balanced_accuracy"] == pytest.approx(np.mean([each.recall for each in found.labels]))


def test_a_label_that_is_never_tested_has_no_scores_and_one_that_is_never_answered_none_right() -> None:
    never_answered = [[0, 3], [0, 4]]
    scores = {each.name: each for each in of(never_answered, names=("rare", "usual", "absent")).labels}
    assert scores["rare"][1:] == (3, 0, 0, 0, 0)
    assert scores["absent"].support == 0
    assert all(math.isnan(value) for value in scores["absent"][3:])


def test_confusions_are_told_by_name_the_most_frequent_first() -> None:
    assert [str(mistake) for mistake in of(MATRIX).mistakes()] == [
        "grain taken for wheat: 12 of 30",
        "wheat taken for grain: 2 of 3",
        'grain taken for 곡물, "쌀": 1 of 30',
    ]
    assert len(of(np.ones((9, 9), int).tolist(), names="abcdefghi").mistakes()) == 10


def test_several_trials_are_averaged_score_by_score_and_cell_by_cell() -> None:
    other = [[3, 0, 0, 0], [3, 27, 0, 0], [0, 0, 5, 0], [0, 0, 0, 0]]
    one, two, both = of(MATRIX), of(other), of(MATRIX, other)
    assert both.trials == 2
    for first, second, mean in zip(one.labels, two.labels, both.labels, strict=True):
        assert mean[1:] == pytest.approx(tuple((np.array(first[1:]) + np.array(second[1:])) / 2), nan_ok=True)
    np.testing.assert_array_equal(both.matrix(4), (one.matrix(4) + two.matrix(4)) / 2)
    assert str(both.mistakes()[0]) == "grain taken for wheat: 7.5 of 30"


def test_the_matrix_has_the_most_frequent_labels_first() -> None:
    assert [each.name for each in of(MATRIX).labels] == ["grain", '곡물, "쌀"', "wheat", "tin"]
    assert of(MATRIX).matrix(3).tolist() == [[17, 1, 12], [0, 5, 0], [2, 0, 1]]
    assert of(MATRIX).matrix(2).tolist() == [[17, 1], [0, 5]]


def test_the_table_is_csv_that_any_reader_takes() -> None:
    rows = list(csv.DictReader(of(MATRIX).csv().decode().splitlines()))
    assert [row["label"] for row in rows] == ["grain", '곡물, "쌀"', "wheat", "tin"]
    assert rows[0] == {"label": "grain", "support": "30", "answered": "19.0", "precision": repr(17 / 19),
                       "recall": repr(17 / 30), "f1": repr(34 / 49)}  # fmt: skip
    assert rows[3] == {"label": "tin", "support": "0", "answered": "0.0", "precision": "", "recall": "", "f1": ""}


def test_what_a_journal_does_not_hold_is_not_shown() -> None:
    assert SweepSummary.of(records.record(trials=2)).classes is None  # of an earlier version
    record = answered.record(records.events(trials=1), ("a", "b"), {0: [[0, 2, 1]]})  # a label without a name
    assert per_class(record.started, [record.trials[0]]) is None


def test_the_table_of_a_sweep_is_that_of_its_best_trial() -> None:
    events = records.events(trials=5)
    record = answered.record(events, ("a", "b"), {trial: [[0, 0, 9], [1, 0, trial + 1]] for trial in range(5)})
    assert record.best is not None
    classes = SweepSummary.of(record).classes
    assert classes is not None
    assert classes.mistakes()[0].times == record.best.trial + 1


def test_the_table_of_a_configuration_is_the_mean_over_its_seeds(tmp_path: Path) -> None:
    plain = confirmations.record(tmp_path, {3: 0.03}, seeds=2)
    assert {outcome.classes for outcome in confirmation.outcomes(plain)} == {None}
    for trial in plain.trials.values():
        trial.confusion = [[0, 0, 5], [1, 0, 1 + trial.trial]]
    plain.started = replace(plain.started, audit=answered.audit(("a", "b")).as_dict())
    for outcome in confirmation.outcomes(plain):
        trials = [trial.trial for trial in plain.trials.values() if trial.origin == outcome.origin]
        assert outcome.classes is not None
        assert outcome.classes.trials == len(trials) == 2
        assert outcome.classes.mistakes()[0].times == 1 + np.mean(trials)
