"""Labels, groups and times of a table's rows, as numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Hashable, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.data.tables.files import quoted

MISSING = -1
NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][-+]?\d+)?")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
# More different numbers than this, some of them not whole, are measurements; ratings in halves have ten.
MOST_FRACTIONS = 50
LEAST_ROWS = 10  # of which half the labels may differ without a doubt


class Label(NamedTuple):
    kind: str  # text | number | boolean
    name: str


class UnusableColumnError(Exception):
    """The reason why a column cannot be used, without its name."""


class Coder:
    """Numbers the different labels in the order in which they appear, batch by batch."""

    def __init__(self) -> None:
        self.places: dict[Label, int] = {}

    def add(self, values: pa.Array) -> NDArray[np.int32]:
        """Return the place of each label, (n,), or `MISSING` for null, NaN and blanks; raises `UnusableColumnError`."""
        different, rows = distinct(values)
        labels = [label_of(value) for value in different]
        places = [MISSING if label is None else self.places.setdefault(label, len(self.places)) for label in labels]
        damaged = next((label.name for label in self.places if "\0" in label.name), None)
        if damaged is not None:
            raise UnusableColumnError(f"holds {quoted(damaged)}, which has a NUL byte; is the file damaged?")
        kinds = {label.kind for label in self.places}
        if len(kinds) > 1:
            raise UnusableColumnError(f"holds both {' and '.join(sorted(f'{kind}s' for kind in kinds))}")
        return np.array([*places, MISSING], np.int32)[rows]

    def names(self) -> tuple[list[str], NDArray[np.int64]]:
        """Return the sorted names, numbers in numeric order, and the place among them of each label's own place."""
        spelled = [label.name for label in self.places]
        if all(NUMBER.fullmatch(name) for name in spelled):
            spelled = [re.sub(r"\.0+$", "", name) for name in spelled]
            names = sorted(set(spelled), key=lambda name: (float(name), name))
        else:
            names = sorted(set(spelled))
        place = {name: i for i, name in enumerate(names)}
        return names, np.array([place[name] for name in spelled], np.int64)


def check_names(names: Sequence[str], rows: int) -> None:
    """Raise `UnusableColumnError` for labels that are measurements, names of the rows, or only one."""
    if len(names) < 2:
        raise UnusableColumnError(f"holds only one label, {quoted(''.join(names))}; a classifier needs two or more")
    numbers = [float(name) for name in names] if all(NUMBER.fullmatch(name) for name in names) else []
    if len(names) > MOST_FRACTIONS and any(not number.is_integer() for number in numbers):
        raise UnusableColumnError(
            f"holds {len(names):,} different numbers, from {names[0]} to {names[-1]}: a target of regression, and not "
            "labels; put the numbers into classes first, or name another column"
        )
    if rows >= LEAST_ROWS and 2 * len(names) > rows:
        raise UnusableColumnError(
            f"holds {len(names):,} different values in {rows:,} rows; is that the id? Name another column"
        )


def label_of(value: Any) -> Label | None:
    """Return a label as it is spelled: 1.0 is "1", true is "true", blanks around a text are left out."""
    if isinstance(value, str):
        return Label("text", value.strip()) if value.strip() else None
    if isinstance(value, bool):
        return Label("boolean", str(value).lower())
    if value is None or math.isnan(value):
        return None
    return Label("number", str(int(value)) if math.isfinite(value) and value == int(value) else repr(float(value)))


def check_scalar(values: pa.Array) -> None:
    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or kind == pa.string_view()
    if not (is_text or pa.types.is_null(kind) or pa.types.is_boolean(kind) or is_number(kind)):
        raise UnusableColumnError(f"holds {kind}; allowed are texts, numbers and booleans")


def is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def distinct(values: pa.Array) -> tuple[list[Any], NDArray[np.int64]]:
    """Return the different values, and for each row its place among them, -1 for null."""
    check_scalar(values)
    if pa.types.is_float16(values.type):
        values = values.cast(pa.float32())  # PyArrow does not number different halves
    encoded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    rows = encoded.indices.cast(pa.int64()).fill_null(MISSING)
    return encoded.dictionary.to_pylist(), rows.to_numpy(zero_copy_only=False)


def mapped(values: pa.Array, convert: Callable[[Any], Hashable], kind: type) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return `convert` of each value, (n,), and where it is missing: null, or raised `ValueError`."""
    different, rows = distinct(values)
    results: NDArray[Any] = np.zeros(len(different) + 1, kind)
    is_missing = np.ones(len(different) + 1, bool)
    for i, value in enumerate(different):
        try:
            results[i] = convert(value)
            is_missing[i] = value is None
        except ValueError:
            pass
    return results[rows], is_missing[rows]


def group_of(value: Any) -> int:
    """Return 64 bits that are the same for a group in every batch and process; raises `ValueError` for none."""
    label = label_of(value)
    if label is None:
        raise ValueError(value)
    return int.from_bytes(blake2b(label.name.encode(), digest_size=8).digest(), "little")


class Clock:
    """Reads the times of a column: numbers, dates, timestamps, or texts in ISO 8601 or of numbers."""

    def __init__(self) -> None:
        self._kinds: set[str] = set()

    def add(self, values: pa.Array) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return sortable numbers, (n,), and where there is no time; dates are microseconds since 1970."""
        kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
        if pa.types.is_temporal(kind) and not (pa.types.is_date(kind) or pa.types.is_timestamp(kind)):
            raise UnusableColumnError(f"holds {kind}; allowed are dates, timestamps, numbers and texts in ISO 8601")
        if pa.types.is_temporal(kind):
            self._add_kind("dates")
            if getattr(kind, "unit", None) == "ns":
                numbers = pc.divide(values.cast(pa.int64()), 1000)
            else:
                numbers = values.cast(pa.timestamp("us", getattr(kind, "tz", None))).cast(pa.int64())
            return numbers.fill_null(0).to_numpy(zero_copy_only=False), _nulls(values)
        if pa.types.is_boolean(kind):
            raise UnusableColumnError("holds booleans; allowed are dates, timestamps, numbers and texts in ISO 8601")
        whole = pa.types.is_integer(kind)
        return mapped(values, self._number if not whole else int, np.int64 if whole else np.float64)

    def _number(self, value: Any) -> float:
        """Return a number, or a date's microseconds since 1970, which a float holds exactly until the year 2255."""
        try:
            number = float(value)
            self._add_kind("numbers")
        except ValueError:
            moment = datetime.fromisoformat(value.strip())
            self._add_kind("dates with an offset" if moment.tzinfo else "dates")
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            number = (moment - EPOCH) // MICROSECOND
        if not math.isfinite(number):
            raise ValueError(value)
        return number

    def _add_kind(self, kind: str) -> None:
        self._kinds.add(kind)
        if len(self._kinds) > 1:
            raise UnusableColumnError(f"holds {' and '.join(sorted(self._kinds))}, which cannot be put into one order")


def _nulls(values: pa.Array) -> NDArray[np.bool_]:
    is_null: NDArray[np.bool_] = values.is_null().to_numpy(zero_copy_only=False)
    return is_null
