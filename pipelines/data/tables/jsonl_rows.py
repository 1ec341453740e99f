"""Tables in JSON Lines: one JSON object a line, whose keys are the columns."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa

from conf.schema import ConfigError
from pipelines.data.tables.csv_rows import BLOCK, encoding_of, rows_named, undecodable
from pipelines.data.tables.files import TableFile, quoted, reading, visible

# JSON's own words for what json.loads returns.
KINDS = {str: "text", int: "number", float: "number", bool: "boolean", list: "list", dict: "object"}
HEAD = 1000  # rows whose keys are the columns
Rows = list[dict[str, Any]]


class JsonlRows:
    def __init__(self, file: TableFile) -> None:
        self.file = file
        with reading(file):
            self._encoding = encoding_of(file)
            head = next(self._blocks(), [])[:HEAD]
        self.columns = list(dict.fromkeys(key for row in head for key in row))
        if not head:
            raise ConfigError(f"{file.setting}: the file is empty; expected one JSON object a line")

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Return the rows in order; a key that a row lacks is null.

        A column is of strings, whole numbers, floats or booleans; raises `ConfigError` where it holds two of these,
        and for lists and objects.
        """
        kinds: dict[str, str] = {}
        done = 0
        with reading(self.file):
            for rows in self._blocks():
                arrays = [self._array(column, [row.get(column) for row in rows], kinds, done) for column in columns]
                yield pa.record_batch(arrays, list(columns))
                done += len(rows)

    def usable(self, columns: Sequence[str]) -> list[str]:
        """Return those of the columns that hold values of one kind in the first block, and no lists or objects."""
        rows = next(self._blocks(), [])
        kinds = {column: {KINDS[type(v)] for row in rows if (v := row.get(column)) is not None} for column in columns}
        return [column for column in columns if len(kinds[column]) == 1 and not kinds[column] & {"list", "object"}]

    def where(self, rows: Sequence[int]) -> list[str]:
        """Name some data rows, which are counted from 1 and ascend, with their lines."""
        wanted = set(rows)
        lines = (number for number, line in enumerate(self._lines(), start=1) if line.strip())
        return [
            f"row {row:,} (line {number:,})"
            for row, number in enumerate(islice(lines, max(rows)), start=1)
            if row in wanted
        ]

    def _lines(self) -> Iterator[str]:
        buffer = io.BufferedReader(self.file.open(), BLOCK)
        # JSON's line breaks are escaped in texts, so the file's are the ends of its rows.
        with io.TextIOWrapper(buffer, self._encoding, newline="\n") as text:
            try:
                yield from text
            except UnicodeDecodeError:
                raise undecodable(self.file, self._encoding) from None

    def _blocks(self) -> Iterator[Rows]:
        rows: Rows = []
        size, decode = 0, json.JSONDecoder().raw_decode
        for number, line in enumerate(self._lines(), start=1):
            size += len(line)
            if line.isspace():
                continue
            try:
                row = _decoded(line, decode)
            except (ValueError, RecursionError) as error:
                raise self._malformed(number, line, error) from error
            if type(row) is not dict:
                raise ConfigError(
                    f"{self.file.setting}: line {number:,} is {_article(row)}, not an object; expected one object a "
                    'line, as {"text": "…", "label": "…"}'
                )
            rows.append(row)
            if size > BLOCK:
                yield rows
                rows, size = [], 0
        if rows:
            yield rows

    def _malformed(self, number: int, line: str, error: Exception) -> ConfigError:
        reason = (
            f"{error.msg.removesuffix(' at')}, column {error.colno}"
            if isinstance(error, json.JSONDecodeError)
            else "nested too deeply"
        )
        if line.strip() in ("[", "{"):
            reason += "; the file seems to be one JSON value of several lines"
        return ConfigError(
            f"{self.file.setting}: line {number:,} is no JSON ({reason}); expected one object a line (JSON Lines)"
        )

    def _array(self, column: str, values: list[Any], kinds: dict[str, str], done: int) -> pa.Array:
        for kind in dict.fromkeys(map(type, values)):
            if kind is not type(None):
                self._check_kind(column, values, KINDS[kind], kinds, done)
        try:
            return pa.array(values)
        except (pa.ArrowInvalid, OverflowError, UnicodeEncodeError, pa.ArrowTypeError):
            raise self._unusable(column, values, done) from None

    def _check_kind(self, column: str, values: list[Any], kind: str, kinds: dict[str, str], done: int) -> None:
        first = kinds.setdefault(column, kind)
        if kind == first and kind not in ("list", "object"):
            return
        wrong = [done + i for i, value in enumerate(values, 1) if value is not None and KINDS[type(value)] == kind]
        what = f"a {first} in the rows before and " if kind != first else ""
        raise ConfigError(
            f"{self.file.setting}: the column {quoted(column)} holds {what}{_with_article(kind)} in "
            f"{rows_named(self, wrong)}; all must be of one kind: texts, numbers or booleans"
        )

    def _unusable(self, column: str, values: list[Any], done: int) -> ConfigError:
        wrong = [done + i for i, value in enumerate(values, 1) if isinstance(value, str) and not _is_unicode(value)]
        what = "half a surrogate pair, which is no character," if wrong else "a number that 64 bits do not hold"
        wrong = wrong or [
            done + i for i, value in enumerate(values, 1) if isinstance(value, int) and abs(value) > 2**53
        ]
        return ConfigError(
            f"{self.file.setting}: the column {quoted(column)} holds {what} in {rows_named(self, wrong)}"
        )


def _decoded(line: str, decode: Callable[[str], tuple[Any, int]]) -> Any:
    """Return `json.loads` of a line, in half its time for a line without blanks before or after its value."""
    try:
        row, end = decode(line)
    except json.JSONDecodeError:
        # The line's end would be taken for a character of an unfinished text.
        return json.loads(line.rstrip("\r\n") or line)
    return row if line[end:] in ("\n", "") else json.loads(line)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _article(value: object) -> str:
    return "null" if value is None else _with_article(KINDS[type(value)])


def _with_article(kind: str) -> str:
    return f"an {kind}" if kind == "object" else f"a {visible(kind)}"
