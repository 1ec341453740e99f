"""The computation of a dataset's audit, while its documents are encoded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sweeps.audit import QUANTILES, Audit

ROWS = 65_536  # that are hashed at once
COVERED = 0.95  # share of the tokens


class Labelled(NamedTuple):
    """One side of a dataset: train with validation, or test."""

    documents: NDArray[np.uint64]  # (n,) equal for documents of equal ids, see `hashes`
    y: NDArray[np.int64]  # (n,)


class TokenCounts(NamedTuple):
    """The counts of train's documents before they are cut."""

    lengths: NDArray[np.int64]  # (n,) tokens of each document
    counts: NDArray[
        np.int64
    ]  # (any,) occurrences of each rank; those of tokens outside the vocabulary may be summed up
    unknown: int  # occurrences of tokens outside the vocabulary


def audit(
    train: Labelled, test: Labelled, counted: TokenCounts, labels: Sequence[str], maxlen: int, **facts: Any
) -> Audit:
    """Compute the audit; `facts` are the fields of `Audit` that only the reader of the data knows."""
    classes = len(labels)
    documents = np.unique(np.concatenate([train.documents, test.documents]), return_inverse=True)[1]
    in_train, in_test = documents[: len(train.y)], documents[len(train.y) :]
    pairs = np.unique(in_train * classes + train.y)
    labels_of_document = np.bincount(pairs // classes, minlength=int(documents.max()) + 1)
    leaked = labels_of_document[in_test] > 0
    as_trained = np.isin(in_test * classes + test.y, pairs)
    train_sizes = np.bincount(train.y, minlength=classes)
    test_sizes = np.bincount(test.y, minlength=classes)
    total = int(counted.lengths.sum())
    ordered = np.sort(counted.counts[counted.counts > 0])[::-1]
    return Audit(
        labels=tuple(labels),
        of_label={"train": tuple(train_sizes.tolist()), "test": tuple(test_sizes.tolist())},
        maxlen=maxlen,
        wordless=int(np.sum(counted.lengths == 0)),
        lengths=tuple(np.percentile(counted.lengths, QUANTILES, method="inverted_cdf").astype(int).tolist()),
        cut=float(np.mean(counted.lengths > maxlen)),
        unread=float(np.maximum(counted.lengths - maxlen, 0).sum() / max(total, 1)),
        unknown=counted.unknown / max(total, 1),
        vocabulary=len(ordered),
        covering=int(np.searchsorted(np.cumsum(ordered), COVERED * ordered.sum()) + 1),
        repeated=len(in_train) - len(np.unique(in_train)),
        contradicting=int(np.sum(labels_of_document > 1)),
        leaked=int(leaked.sum()),
        leaked_otherwise=int(np.sum(leaked & ~as_trained)),
        floor=float(np.mean(test.y == int(train_sizes.argmax()))),
        ceiling=_ceiling(in_test, test.y, leaked, as_trained, classes),
        **facts,
    )


def _ceiling(
    documents: NDArray[np.int64],
    y: NDArray[np.int64],
    leaked: NDArray[np.bool_],
    as_trained: NDArray[np.bool_],
    classes: int,
) -> float:
    """Return the accuracy of the best answer to each different document.

    A document that stands in train is answered by one of the labels that it has there.
    """
    possible = as_trained | ~leaked
    pairs, counts = np.unique(documents[possible] * classes + y[possible], return_counts=True)
    best = np.zeros(int(documents.max()) + 1, dtype=np.int64)
    np.maximum.at(best, pairs // classes, counts)
    return float(best.sum() / len(y))


def hashes(x: NDArray[np.int32]) -> NDArray[np.uint64]:
    """Return a number for each row: equal rows have equal ones, different rows different ones but for 1 in 2^64."""
    generator = np.random.Generator(np.random.PCG64(0))
    weights = generator.integers(0, 2**64, size=x.shape[1], dtype=np.uint64) | np.uint64(1)
    found = np.empty(len(x), dtype=np.uint64)
    for start in range(0, len(x), ROWS):
        rows = x[start : start + ROWS].astype(np.uint64) + np.uint64(1)
        rows ^= rows << np.uint64(32)
        rows *= weights
        found[start : start + ROWS] = (rows ^ (rows >> np.uint64(29))).sum(axis=1, dtype=np.uint64)
    return found
