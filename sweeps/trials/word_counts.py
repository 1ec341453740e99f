"""Counts of words and of pairs of neighbouring words, from the ids of documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sweeps.trials.documents import Block, Documents

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


class Vocabulary(NamedTuple):
    """The columns of the counts: one for each id (padding's stays empty), then one for each pair."""

    num_words: int
    pairs: NDArray[np.int64]  # ascending, see `_pairs`

    @classmethod
    def of(cls, documents: Documents, num_words: int) -> Vocabulary:
        """Take in the pairs that stand in at least two documents."""
        found = [_distinct(_pairs(block, num_words), block.places[1:]) for block in documents.blocks()]
        pairs, counts = np.unique(np.concatenate(found), return_counts=True)
        return cls(num_words, pairs[counts > 1])

    def counts(self, block: Block) -> csr_matrix:
        """Count the words and pairs of some documents: (n, columns), float64."""
        from scipy.sparse import csr_matrix

        keys = _pairs(block, self.num_words)
        place = np.minimum(np.searchsorted(self.pairs, keys), max(0, len(self.pairs) - 1))
        known = self.pairs[place] == keys if len(self.pairs) else np.zeros(keys.shape, bool)
        columns = np.concatenate([block.ids, self.num_words + place[known]])
        rows = np.concatenate([block.places, block.places[1:][known]])
        shape = (block.n, self.num_words + len(self.pairs))
        return csr_matrix((np.ones(len(rows)), (rows, columns)), shape)  # equal cells are added up


def _pairs(block: Block, num_words: int) -> NDArray[np.int64]:
    """Number the pairs of neighbours: (tokens - 1,), 0 between two documents."""
    first, second = block.ids[:-1].astype(np.int64), block.ids[1:].astype(np.int64)
    return np.where(block.places[:-1] == block.places[1:], first * num_words + second, 0)


def _distinct(pairs: NDArray[np.int64], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return each pair of each document once, where the documents' places are ascending."""
    order = np.argsort(pairs, kind="stable")
    pairs, places = pairs[order], places[order]
    is_new = np.ones(len(pairs), bool)
    is_new[1:] = (pairs[1:] != pairs[:-1]) | (places[1:] != places[:-1])
    distinct: NDArray[np.int64] = pairs[is_new & (pairs > 0)]
    return distinct
