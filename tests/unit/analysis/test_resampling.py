"""Intervals of a difference over other samples of the test texts."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score

from sweeps.analysis import resampling
from sweeps.analysis.statistics import Interval
from sweeps.trials.spec import Predictions

TEXTS = 800
SHARES = [0.5, 0.3, 0.195, 0.005]  # of the classes; the last has about four texts, which many samples lack


def answers(seed: int, known: float) -> Predictions:
    """The answers of a model that knows such a share of the same texts and guesses the others."""
    labels = np.random.default_rng(1).choice(4, TEXTS, p=SHARES)
    rng = np.random.default_rng(seed)
    guessed = rng.choice(4, TEXTS, p=SHARES)
    return Predictions(np.where(rng.random(TEXTS) < known, labels, guessed).astype(np.uint8), labels.astype(np.uint8))


PAIRS = [(answers(seed, 0.8), answers(seed + 10, 0.6)) for seed in (2, 3)]


def macro_f1(labels: NDArray[Any], predicted: NDArray[Any]) -> float:
    return float(f1_score(labels, predicted, average="macro"))


@pytest.mark.parametrize(
    ("interval_of", "metric"), [(resampling.of_accuracy, accuracy_score), (resampling.of_macro_f1, macro_f1)]
)
def test_the_interval_lies_around_the_difference_and_is_as_wide_as_samples_of_texts_differ(
    interval_of: Callable[..., Interval], metric: Callable[..., float]
) -> None:
    def difference(texts: Any) -> float:
        scores = [[metric(model.labels[texts], model.predicted[texts]) for model in pair] for pair in PAIRS]
        return float(np.mean([ours - theirs for ours, theirs in scores]))

    interval, rng = interval_of(PAIRS, 0.95), np.random.default_rng(4)
    low, high = np.quantile([difference(rng.integers(0, TEXTS, TEXTS)) for _ in range(300)], [0.025, 0.975])
    assert interval.high - interval.low == pytest.approx(high - low, rel=0.15)
    assert (interval.low + interval.high) / 2 == pytest.approx(difference(slice(None)), abs=0.01)
    assert interval.excludes_zero


def test_a_higher_level_is_wider_and_equal_models_do_not_differ() -> None:
    usual, wider = (resampling.of_macro_f1(PAIRS, level) for level in (0.95, 0.99))
    assert wider.low < usual.low < usual.high < wider.high
    assert resampling.of_macro_f1([(PAIRS[0][0], PAIRS[0][0])], 0.95) == (0.0, 0.0)
