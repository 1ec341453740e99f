"""The weights of the labels in the loss that a trial minimises. No metric but `train/loss` knows of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray


def of(class_weight: str, labels: NDArray[np.int64]) -> Mapping[int, float] | None:
    """Return the weight of each label that occurs among the (n,) labels of train; None where all count alike.

    `balanced` is scikit-learn's rule, n / (labels that occur × texts of the label): all labels have the same sum of
    weights, and the mean weight of a text is 1.
    """
    if class_weight == "none":
        return None
    counts = np.bincount(labels)
    (present,) = counts.nonzero()
    weights = len(labels) / (len(present) * counts[present])
    return dict(zip(present.tolist(), weights.tolist(), strict=True))
