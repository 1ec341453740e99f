"""The division of a table's rows into train, validation and test.

Rows that belong together are one unit, and a unit is never divided: rows of one group, and rows with exactly the same
text, which a model could otherwise answer from memory.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LEFT_OUT, TRAIN, VALIDATION, TEST = -1, 0, 1, 2
PARTS = ("train", "validation", "test")

AT_ONCE = 2**16  # units as Python's numbers, which take four times the memory of NumPy's


class Rows(NamedTuple):
    """The columns of a table that decide how it is divided; each has one value for every row."""

    y: NDArray[np.int64]
    hashes: NDArray[np.uint64]  # equal for equal texts
    groups: NDArray[np.int64] | None = None
    times: NDArray[np.float64] | None = None
    parts: NDArray[np.int8] | None = None  # TRAIN, VALIDATION or TEST, where the table says so

    def at(self, chosen: NDArray[np.bool_]) -> Rows:
        """Return some of the rows."""
        return Rows(*(None if column is None else column[chosen] for column in self))  # type: ignore[arg-type]


class Units(NamedTuple):
    """The units of some rows, numbered from 0."""

    of_row: NDArray[np.int64]
    label: NDArray[np.int64]  # of a unit: its most frequent one
    size: NDArray[np.int64]
    time: NDArray[np.float64] | None  # of a unit: its latest one


def units(rows: Rows, *, duplicates: str) -> Units:
    """Put rows of one group together and, with `duplicates="apart"`, rows of one text."""
    of_row = np.arange(len(rows.y))
    if duplicates == "apart":
        of_row = np.unique(rows.hashes, return_inverse=True)[1]
    if rows.groups is not None:
        of_row = _joined(of_row, np.unique(rows.groups, return_inverse=True)[1])
    size = np.bincount(of_row)
    time = None
    if rows.times is not None:
        time = np.full(len(size), -np.inf)
        np.maximum.at(time, of_row, rows.times)
    return Units(of_row, _most_frequent(rows.y, of_row), size, time)


def _joined(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number the smallest classes of rows that divide no class of `one` and none of `other`."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    nodes = int(one.max()) + int(other.max()) + 2
    edges = coo_matrix((np.ones(len(one), dtype=bool), (one, int(one.max()) + 1 + other)), shape=(nodes, nodes))
    components: NDArray[np.int32] = connected_components(edges, directed=False)[1]
    return components[one].astype(np.int64)


def _most_frequent(y: NDArray[np.int64], of_row: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the most frequent label of each unit, the smallest of several."""
    classes = int(y.max()) + 1
    pairs, counts = np.unique(of_row * classes + y, return_counts=True)
    order = np.lexsort((-counts, pairs // classes))
    first = np.unique((pairs // classes)[order], return_index=True)[1]
    labels: NDArray[np.int64] = (pairs % classes)[order][first]
    return labels


def rare(rows: Rows, own: Units) -> NDArray[np.int64]:
    """Return the labels with too few units to be in train, validation and test."""
    classes = int(rows.y.max()) + 1
    pairs = np.unique(own.of_row * classes + rows.y) % classes
    few = np.bincount(pairs, minlength=classes) < len(PARTS)
    return np.flatnonzero(few & (np.bincount(rows.y, minlength=classes) > 0))


def split(rows: Rows, own: Units, *, test: float, validation: float | None, seed: int) -> NDArray[np.int8]:
    """Return the part of each row.

    Where the table names no parts, `test` is the fraction of the rows that is tested; `validation` is the fraction of
    the others that chooses, and None cuts nothing from train. Units with a time are divided by it, the latest into
    test; all others are drawn, the same fraction of every label. Where the table names the parts, a row of train or
    validation whose unit is in a later part too is `LEFT_OUT`: what is tested stays as it was given. Raises
    `ValueError` for a part without a row.
    """
    if rows.parts is None:
        in_test = _chosen(own, np.ones(len(own.size), dtype=bool), test, seed)
        parts = np.where(in_test[own.of_row], TEST, TRAIN).astype(np.int8)
    else:
        parts = _without_later_ones(rows.parts, own)
    if validation is None:
        parts[parts == VALIDATION] = TRAIN
    elif not np.any(parts == VALIDATION):
        remaining = np.zeros(len(own.size), dtype=bool)
        remaining[own.of_row[parts == TRAIN]] = True
        in_validation = _chosen(own, remaining, validation, seed)[own.of_row]
        parts[in_validation & (parts == TRAIN)] = VALIDATION
    for part, name in enumerate(PARTS):
        if not np.any(parts == part) and (part != VALIDATION or validation is not None):
            raise ValueError(f"no row is left for {name}")
    return parts


def _without_later_ones(parts: NDArray[np.int8], own: Units) -> NDArray[np.int8]:
    latest = np.full(len(own.size), TRAIN, dtype=np.int8)
    np.maximum.at(latest, own.of_row, parts)
    return np.where(parts < latest[own.of_row], LEFT_OUT, parts).astype(np.int8)


def _chosen(own: Units, among: NDArray[np.bool_], fraction: float, seed: int) -> NDArray[np.bool_]:
    """Choose units among some: the latest if they have times, otherwise a stratified sample."""
    if own.time is None:
        return _drawn(own, among, fraction, seed)
    times, place = np.unique(own.time[among], return_inverse=True)
    rows = np.bincount(place, weights=own.size[among])
    later = np.cumsum(rows[::-1])  # rows of the latest time, of the two latest times, …
    number = max(1, int(np.sum(later <= round(fraction * later[-1]))))  # rows of one time stay together
    chosen: NDArray[np.bool_] = among & (own.time >= times[-number])
    return chosen


def _drawn(own: Units, among: NDArray[np.bool_], fraction: float, seed: int) -> NDArray[np.bool_]:
    """Draw units in random order as long as the rows of their label fit into its share.

    A label with at least three units has one that is drawn and one that is not, however large they are.
    """
    classes = int(own.label.max()) + 1
    weights = np.where(among, own.size, 0)
    totals = np.bincount(own.label, weights=weights, minlength=classes)
    numbers = np.bincount(own.label[among], minlength=classes)
    smallest = np.full(classes, np.iinfo(np.int64).max)
    np.minimum.at(smallest, own.label[among], own.size[among])
    room = np.floor(fraction * totals + 0.5)
    room = np.where(numbers >= len(PARTS), np.maximum(room, smallest), room).tolist()
    left = numbers.tolist()
    # NumPy has frozen the stream of `RandomState`: the split is the same in every version.
    order = np.random.RandomState(seed).permutation(len(own.size))
    drawn = np.zeros(len(own.size), dtype=bool)
    order = order[among[order]]
    for first in range(0, len(order), AT_ONCE):
        units = order[first : first + AT_ONCE]
        known = zip(units.tolist(), own.label[units].tolist(), own.size[units].tolist(), strict=True)
        for unit, label, size in known:
            if size <= room[label] and left[label] > 1:
                room[label] -= size
                left[label] -= 1
                drawn[unit] = True
    return drawn


def stratify(labels: NDArray[np.int64], fraction: float, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the indices of train and of validation, both ascending.

    Validation takes round(fraction * n) documents, and the same fraction of every class. Raises `ValueError` where that
    leaves validation empty, or some class without a document in train.
    """
    _, classes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    # NumPy has frozen the stream of `RandomState`: the split is the same in every version.
    order = np.random.RandomState(seed).permutation(len(labels))
    order = order[np.argsort(classes[order], kind="stable")]  # class by class, shuffled within each
    place = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)  # within its class
    in_validation = place < np.repeat(_shares(sizes, fraction), sizes)
    return np.sort(order[~in_validation]), np.sort(order[in_validation])


def _shares(sizes: NDArray[np.intp], fraction: float) -> NDArray[np.int64]:
    """Return how many of each class go to validation, by largest remainder; at least one of each stays in train."""
    total, most = round(fraction * int(sizes.sum())), sizes - 1
    if not 0 < total <= most.sum():
        raise ValueError(f"would hold {total} of {sizes.sum()} documents; between 1 and {most.sum()} are possible")
    quotas = np.minimum(fraction * sizes, most)
    shares: NDArray[np.int64] = np.floor(quotas).astype(np.int64)
    while missing := total - int(shares.sum()):
        by_remainder = np.argsort(shares - quotas, kind="stable")
        shares[by_remainder[(shares < most)[by_remainder]][:missing]] += 1
    return shares
