"""The documents of a dataset as `datasets.<name>.read` returns them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Documents(NamedTuple):
    """Documents as lists of word ranks (1 is the most frequent word), and their labels (0, 1, …)."""

    x_train: Sequence[list[int]]
    y_train: NDArray[np.int64]  # (n,)
    x_test: Sequence[list[int]]
    y_test: NDArray[np.int64]  # (n,)


class Corpus(NamedTuple):
    """A dataset that was found. Its documents are parsed only if their encoding is not in the cache yet."""

    fingerprint: str  # changes whenever the documents do, e.g. the hash of their file
    source: str  # archive (real documents) | standin (generated ones)
    documents: Callable[[], Documents]
