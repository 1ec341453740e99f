"""The rows of arrays that follow one another, read from their files when they are asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeps.files import release

PADDING = 0  # the id that stands for no word

# Rows between two releases: Linux maps up to 64 KiB around each, and 512 of them cost 5 µs a row of processor, 20,480
# of them 1.4 (2026-11-29).
PIECE = 512


class Rows:
    """Arrays (n, maxlen), (m, maxlen), … as one, which is indexed by slices and by arrays of whole numbers.

    Joined in memory, two parts of a large corpus would take as much of it as their files of the disk.
    """

    def __init__(self, *parts: NDArray[Any]) -> None:
        self._parts = parts
        self.shape: tuple[int, ...] = (sum(map(len, parts)), *parts[0].shape[1:])
        self.dtype = parts[0].dtype

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in self._parts)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> NDArray[Any]:
        """Return a copy of some rows, in their order; the mapped memory that they were read from is given back."""
        places = np.arange(len(self))[rows] if isinstance(rows, slice) else rows
        read = np.empty((len(places), *self.shape[1:]), self.dtype)
        for start in range(0, len(places), PIECE):
            self._read(places[start : start + PIECE], read[start : start + PIECE])
        return read

    def _read(self, places: NDArray[np.int64], into: NDArray[Any]) -> None:
        first = 0
        for part in self._parts:
            here = (places >= first) & (places < first + len(part))
            into[here] = part[places[here] - first]
            release(part)
            first += len(part)


class Shuffled(Rows):
    """Documents (n, maxlen) with the words of each in a random order; the padding stays where it is.

    The order depends on the seed and on the document's place alone, not on when or with which others it is read.
    """

    def __init__(self, seed: int, *parts: NDArray[Any]) -> None:
        super().__init__(*parts)
        self._seed = np.uint64(seed)

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> NDArray[Any]:
        places = np.arange(len(self))[rows] if isinstance(rows, slice) else rows
        documents = super().__getitem__(places)
        maxlen = documents.shape[1]
        is_padding = documents == PADDING
        counters = places[:, None] * maxlen + np.arange(maxlen)
        numbers = _random(self._seed, counters.astype(np.uint64))
        numbers[is_padding] = np.iinfo(np.uint64).max
        # Both begin with the places of the words: one in random order, one in their own.
        drawn, own = numbers.argsort(axis=1, kind="stable"), is_padding.argsort(axis=1, kind="stable")
        np.put_along_axis(documents, own, np.take_along_axis(documents, drawn, axis=1), axis=1)
        return documents


def shuffled(seed: int, x: NDArray[Any] | Rows) -> Shuffled:
    """Return documents, (n, maxlen) word ids, with the words of each in a random order."""
    return Shuffled(seed, *(x._parts if isinstance(x, Rows) else (x,)))


def _random(seed: np.uint64, counters: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return a random number for each counter: SplitMix64 (Steele, Lea and Flood, 2014), which needs no order."""
    with np.errstate(over="ignore"):
        x = (counters + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + seed * np.uint64(0xD1342543DE82EF95)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))
