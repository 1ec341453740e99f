"""The uncertainty of a difference that the choice of test texts leaves: a bootstrap of the texts, paired.

The models of each pair have answered the same texts; a difference is averaged over the pairs, which are seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeps.analysis import statistics
from sweeps.analysis.statistics import Interval
from sweeps.trials.spec import Predictions

Pairs = Sequence[tuple[Predictions, Predictions]]  # at least one
RESAMPLES = 1000  # of macro-F1: each takes 0.1 to 1 ms


def of_accuracy(pairs: Pairs, level: float) -> Interval:
    differences = [
        (ours.predicted == ours.labels).astype(np.float64) - (theirs.predicted == theirs.labels)
        for ours, theirs in pairs
    ]
    return statistics.bootstrap_mean(np.mean(differences, axis=0), level)


def of_macro_f1(pairs: Pairs, level: float) -> Interval:
    """Return the interval around the difference of the texts themselves.

    Rare classes are missing from many resamples, whose mean is therefore another one: on Reuters by two points.
    """
    labels = pairs[0][0].labels
    models = [model for pair in pairs for model in pair]
    # Texts with the same label and answers are drawn together.
    texts, counts = np.unique(
        np.stack([labels, *(model.predicted for model in models)], axis=1), axis=0, return_counts=True
    )
    rng = np.random.default_rng(statistics.SEED)
    resamples = (rng.multinomial(len(labels), counts / len(labels)) for _ in range(RESAMPLES))
    signs = np.resize([1.0, -1.0], len(models)) / len(pairs)
    observed = signs @ _macro_f1(texts, counts)
    drawn = np.array([signs @ _macro_f1(texts, weights) for weights in resamples])
    low, high = np.quantile(drawn - drawn.mean(), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(observed + low), float(observed + high))


def _macro_f1(texts: NDArray[Any], weights: NDArray[Any]) -> NDArray[np.float64]:
    """Return the macro-F1 of each of n models on (texts, 1 + n) labels and answers that occur so often."""
    labels, classes = texts[:, 0], int(texts.max()) + 1
    true = np.bincount(labels, weights, classes)
    scores = []
    for predicted in texts[:, 1:].T:
        right = np.bincount(labels, weights * (labels == predicted), classes)
        occurrences = true + np.bincount(predicted, weights, classes)
        present = occurrences > 0
        scores.append((2 * right[present] / occurrences[present]).mean())
    return np.array(scores)
