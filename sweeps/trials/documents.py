"""Documents whose words are counted: as the networks get them, or whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from sweeps.files import BLOCK, release
from sweeps.trials.rows import PADDING, Rows
from sweeps.trials.spec import BEGINNING

AT_ONCE = 2**21  # ids that are counted at once


class Block(NamedTuple):
    """Some documents, one after the other."""

    ids: NDArray[np.int32]  # (tokens,) without padding
    places: NDArray[np.int64]  # (tokens,) of each token's document among them: 0, 1, …, ascending
    n: int  # documents, empty ones too


class Documents(Protocol):
    """Documents that are read in blocks, which fit into little memory."""

    def __len__(self) -> int:
        """Return the number of documents."""

    @property
    def words(self) -> int:
        """The number of their words, start tokens included."""

    def blocks(self) -> Iterator[Block]:
        """Yield them in their order."""

    def part(self, chosen: NDArray[np.int64]) -> Documents:
        """Return those with these places."""


def of(x: NDArray[np.int32]) -> Documents:
    """Return the documents of a `Split`."""
    return Padded(Rows(x)) if x.ndim == 2 else Whole.of(x)


class Padded:
    """The rows of (n, maxlen) ids."""

    def __init__(self, x: Rows) -> None:
        self._x = x

    def __len__(self) -> int:
        return len(self._x)

    @property
    def words(self) -> int:
        return sum(len(block.ids) for block in self.blocks())

    def blocks(self) -> Iterator[Block]:
        rows = max(1, AT_ONCE // self._x.shape[1])
        for start in range(0, len(self), rows):
            x = self._x[start : start + rows]
            present = x != PADDING
            yield Block(x[present], np.nonzero(present)[0], len(x))

    def part(self, chosen: NDArray[np.int64]) -> Padded:
        return Padded(Rows(self._x[chosen]))


class Whole:
    """Documents in one row of ids, (tokens,), from their starts on, (n,), as long as their lengths, (n,)."""

    def __init__(self, ids: NDArray[np.int32], starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> None:
        self._ids, self._starts, self._lengths = ids, starts, lengths

    @classmethod
    def of(cls, ids: NDArray[np.int32]) -> Whole:
        """Find the documents, each of which begins with `BEGINNING`."""
        found, at_once = [], BLOCK // ids.itemsize
        for first in range(0, len(ids), at_once):
            found.append(first + np.flatnonzero(ids[first : first + at_once] == BEGINNING))
            release(ids)
        starts = np.concatenate(found)
        return cls(ids, starts, np.diff(starts, append=len(ids)))

    def __len__(self) -> int:
        return len(self._starts)

    @property
    def words(self) -> int:
        return int(self._lengths.sum())

    def blocks(self) -> Iterator[Block]:
        ends, first = np.cumsum(self._lengths), 0
        while first < len(self):
            most = ends[first] - self._lengths[first] + AT_ONCE
            last = max(first + 1, int(np.searchsorted(ends, most, side="right")))
            yield self._block(slice(first, last))
            first = last

    def part(self, chosen: NDArray[np.int64]) -> Whole:
        return Whole(self._ids, self._starts[chosen], self._lengths[chosen])

    def _block(self, rows: slice) -> Block:
        starts, lengths = self._starts[rows], self._lengths[rows]
        before = np.cumsum(lengths) - lengths
        ids = self._ids[np.arange(lengths.sum()) + np.repeat(starts - before, lengths)]
        release(self._ids)
        return Block(ids, np.repeat(np.arange(len(lengths)), lengths), len(lengths))
