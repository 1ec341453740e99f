"""How far class probabilities can be believed."""

import numpy as np
import pytest
from numpy.typing import NDArray

from sweeps.trials import calibration, evaluation

RNG = np.random.default_rng(4)
LOGITS = RNG.normal(0, 1.5, (40_000, 5))


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float32]:
    powers = np.exp(logits)
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


TRUE = softmax(LOGITS)
LABELS = (RNG.random((len(TRUE), 1)) > TRUE.cumsum(axis=1)).sum(axis=1).clip(0, 4)  # drawn with these probabilities


def test_true_probabilities_have_no_calibration_error_and_certain_ones_have_all_that_is_wrong() -> None:
    assert calibration.error(TRUE, LABELS) < 0.01
    certain = np.eye(5, dtype=np.float32)[TRUE.argmax(axis=1)]
    assert calibration.error(certain, LABELS) == pytest.approx((TRUE.argmax(axis=1) != LABELS).mean())


def test_the_error_is_the_mean_over_bins() -> None:
    answers = np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.4, 0.6]], np.float32)
    # Confidence 0.9 of three, of which two are right; 0.6 of one, which is wrong.
    labels = np.array([0, 0, 0, 0])
    assert calibration.error(answers, labels) == pytest.approx((abs(3 * 0.9 - 2) + 0.6) / 4, abs=1e-6)


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_what_made_the_probabilities_too_sure_or_unsure(sharpness: float) -> None:
    answers = softmax(sharpness * LOGITS)
    found = calibration.temperature(answers, LABELS)
    assert found == pytest.approx(sharpness, rel=0.03)
    scaled = calibration.scaled(answers, found)
    assert (scaled.argmax(axis=1) == answers.argmax(axis=1)).all()
    assert scaled.sum(axis=1) == pytest.approx(1)
    assert calibration.error(scaled, LABELS) < 0.01
    scores = evaluation.calibrated_scores(answers, LABELS, found)
    assert scores.keys() == {"calibrated/loss", "calibrated/calibration_error", "calibrated/temperature"}
    assert scores["calibrated/loss"] == pytest.approx(evaluation.cross_entropy(TRUE, LABELS), abs=1e-3)


def test_a_probability_of_zero_for_what_is_true_is_no_infinite_loss() -> None:
    answers = np.array([[1.0, 0.0], [1.0, 0.0]], np.float32)
    labels = np.array([0, 1])
    assert calibration.temperature(answers, labels) == pytest.approx(calibration.HOTTEST, rel=0.01)
    assert np.isfinite(calibration.scaled(answers, 0.05)).all()
