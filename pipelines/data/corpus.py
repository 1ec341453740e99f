"""The documents of a dataset as `datasets.<name>.read` returns them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

SOURCES = ("archive", "standin")
# Is told which step is done, how many rows it has done, and about how many there are if that is known.
OnProgress = Callable[[str, int, int | None], None]


def silent(step: str, done: int, total: int | None) -> None:
    """Take note of no progress."""


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


class Source(NamedTuple):
    """A dataset before it is encoded."""

    key: list[Any]  # JSON that changes whenever the arrays would
    write: Callable[[Path], Mapping[str, Any]]  # see `pipelines.data.cache.entry`


def joined_ranks(name: str, documents: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """Return the word ranks of all documents in one row; raises `ValueError` if they are anything else."""
    ranks = np.array(list(chain.from_iterable(documents)))
    whole_numbers = ranks.ndim == 1 and (ranks.dtype.kind in "iu" or not ranks.size)
    if not whole_numbers or np.any(ranks.astype(np.int64, copy=False) < 0):
        raise ValueError(f"{name} must hold word ranks: whole numbers, none negative")
    return ranks.astype(np.int64, copy=False)


def check_labels(x: str, documents: Sequence[Any], y: str, labels: NDArray[Any], num_classes: int) -> None:
    """Raise `ValueError` unless every document has a label, one of 0 … `num_classes` - 1.

    `x` and `y` are the names of the documents and of the labels in its message.
    """
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise ValueError(f"{y} must be a row of whole numbers, is {labels.dtype} of shape {labels.shape}")
    wrong = labels[(labels < 0) | (labels >= num_classes)]
    if wrong.size:
        raise ValueError(f"{y} holds label {wrong[0]}; num_classes={num_classes} allows 0 to {num_classes - 1}")
    if len(documents) != len(labels) or not len(labels):
        raise ValueError(f"{x} holds {len(documents)} documents and {y} {len(labels)} labels")
