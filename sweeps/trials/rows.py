"""The rows of arrays that follow one another, read from their files when they are asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeps.files import release

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
