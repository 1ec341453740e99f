"""How far class probabilities can be believed: Guo et al., On Calibration of Modern Neural Networks (ICML 2017)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Probabilities = NDArray[np.float32]  # (n, num_classes)
Labels = NDArray[np.int64]  # (n,)

BINS = 15  # as in the paper
COLDEST, HOTTEST = 0.05, 20.0  # temperatures that are tried
SMALLEST = 1e-7  # probability whose logarithm is taken, as Keras clips


def error(probabilities: Probabilities, labels: Labels) -> float:
    """Return the expected calibration error: the mean distance of confidence and accuracy, bin by bin."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    distances = np.abs(np.bincount(bins, confidence - right, BINS))
    return float(distances.sum() / len(labels))


def temperature(probabilities: Probabilities, labels: Labels) -> float:
    """Return the temperature by which the logits are divided so that the cross-entropy is least."""
    from scipy.optimize import minimize_scalar

    logits = _logits(probabilities)

    def loss(exponent: float) -> float:
        return _cross_entropy(logits / math.exp(exponent), labels)

    found: Any = minimize_scalar(loss, bounds=(math.log(COLDEST), math.log(HOTTEST)), method="bounded")
    return math.exp(found.x)


def scaled(probabilities: Probabilities, temperature: float) -> Probabilities:
    """Return the probabilities of the logits divided by a temperature; the most probable class stays what it is."""
    logits = _logits(probabilities) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    answers: Probabilities = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return answers


def _logits(probabilities: Probabilities) -> NDArray[np.float64]:
    return np.log(np.maximum(probabilities.astype(np.float64), SMALLEST))


def _cross_entropy(logits: NDArray[np.float64], labels: Labels) -> float:
    highest = logits.max(axis=1)
    totals = np.log(np.exp(logits - highest[:, None]).sum(axis=1)) + highest
    return float((totals - logits[np.arange(len(labels)), labels]).mean())
