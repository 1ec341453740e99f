"""Counts of words and of pairs of neighbouring words, from the ids that the networks get."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sweeps.trials.rows import Rows

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

AT_ONCE = 2**21  # ids that are counted at once


class Vocabulary(NamedTuple):
    """The columns of the counts: one for each id (padding's stays empty), then one for each pair."""

    num_words: int
    pairs: NDArray[np.int64]  # ascending, see `_pairs`

    @classmethod
    def of(cls, x: Rows, num_words: int) -> Vocabulary:
        """Take in the pairs that stand in at least two documents, the rows of (n, maxlen) ids."""
        found = [_distinct(np.sort(_pairs(block, num_words))) for block in blocks(x)]
        pairs, documents = np.unique(np.concatenate(found), return_counts=True)
        return cls(num_words, pairs[documents > 1])

    def counts(self, x: NDArray[np.int32]) -> csr_matrix:
        """Count the words and pairs of (n, maxlen) ids: (n, columns), float64."""
        from scipy.sparse import csr_matrix

        keys = _pairs(x, self.num_words)
        place = np.minimum(np.searchsorted(self.pairs, keys), max(0, len(self.pairs) - 1))
        known = self.pairs[place] == keys if len(self.pairs) else np.zeros(keys.shape, bool)
        word_rows, pair_rows = np.nonzero(x)[0], np.nonzero(known)[0]
        columns = np.concatenate([x[x > 0], self.num_words + place[known]])
        rows = np.concatenate([word_rows, pair_rows])
        shape = (len(x), self.num_words + len(self.pairs))
        return csr_matrix((np.ones(len(rows)), (rows, columns)), shape)  # equal cells are added up


def blocks(x: Rows) -> Iterator[NDArray[np.int32]]:
    """Yield the rows of (n, maxlen) ids in blocks that fit into little memory."""
    rows = max(1, AT_ONCE // x.shape[1])
    for start in range(0, len(x), rows):
        yield x[start : start + rows]


def lengths(x: Rows) -> NDArray[np.int64]:
    """Return the number of words in each document: (n,)."""
    return np.concatenate([np.count_nonzero(block, axis=1) for block in blocks(x)])


def _pairs(x: NDArray[np.int32], num_words: int) -> NDArray[np.int64]:
    """Number the pairs of neighbours in (n, maxlen) ids: (n, maxlen - 1), 0 where there is none."""
    first, second = x[:, :-1].astype(np.int64), x[:, 1:].astype(np.int64)
    return np.where((first > 0) & (second > 0), first * num_words + second, 0)


def _distinct(ordered: NDArray[Any]) -> NDArray[Any]:
    """Return each pair of each document once, from (n, m) pairs that are in order in each row."""
    is_new = np.ones(ordered.shape, bool)
    is_new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    distinct: NDArray[Any] = ordered[is_new & (ordered > 0)]
    return distinct
