"""Tables in CSV and TSV files.

PyArrow reads them ten times as fast as Python's csv module, but it takes `"a"b` for `ab` and so can swallow rows
between two stray quotes. So it reads only files whose every quote opens or closes a field or is doubled; Python's
strict reader reads the others, and finds the rows and lines for the messages about what neither can read.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv

from conf.schema import ConfigError
from pipelines.data.tables.files import TableFile, listed, quoted, reading

BLOCK = 2**20  # bytes, or characters, read at once; PyArrow keeps some thirty blocks
HEAD = 2**20  # bytes in which the header must end
LONGEST_FIELD = 16 * 2**20  # characters
DELIMITERS = ",;\t|"
QUOTE = ord('"')


class CsvRows:
    def __init__(self, file: TableFile) -> None:
        self.file = file
        # The csv module's limit, 128 KiB, is one for the process; a field may be longer than that.
        csv.field_size_limit(LONGEST_FIELD)
        with reading(file):
            self._encoding = encoding_of(file)
            self._delimiter, self.columns = self._header()
        repeated = sorted({name for name in self.columns if name and self.columns.count(name) > 1})
        if repeated:
            raise ConfigError(f"{file.setting}: two columns are called {quoted(repeated[0])}; rename one of them")

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Return the rows in order, as strings; the bytes of a batch are about `BLOCK`, or one row."""
        places = [self.columns.index(column) for column in columns]
        done = 0
        with reading(self.file):
            if self._is_plain:
                try:
                    for batch in self._by_arrow(places):
                        done += batch.num_rows
                        yield batch.rename_columns(list(columns))
                    return
                except pa.ArrowInvalid:
                    pass  # the slow reader reads the rest, or names the row that neither can read
            yield from self._by_python(places, columns, done)

    def look_like_rows(self, texts: pa.StringArray, text: str, label: str, labels: set[str]) -> list[int]:
        """Return the places of the texts with a line that could be the end or the whole of a row, with its label.

        Such a text may have begun with a quote that is none of CSV's, and ended with that of a later row.
        """
        place, width = self.columns.index(label), len(self.columns)
        place -= width if place > self.columns.index(text) else 0
        candidates = pc.and_(pc.match_substring(texts, "\n"), pc.match_substring(texts, self._delimiter))
        return [
            i
            for i in np.flatnonzero(candidates.to_numpy(zero_copy_only=False)).tolist()
            if any(_field(line, self._delimiter, place) in labels for line in texts[i].as_py().split("\n"))
        ]

    def where(self, rows: Sequence[int]) -> list[str]:
        """Name some data rows, which are counted from 1 and ascend, with the lines on which they begin."""
        wanted, found = set(rows), []
        for row, (line, _) in enumerate(self._records(strict=False), start=1):
            if row in wanted:
                found.append(f"row {row:,} (line {line:,})")
            if len(found) == len(wanted):
                break
        return found

    def _header(self) -> tuple[str, list[str]]:
        """Return the delimiter, of CSV the one that makes most columns of the header, and the stripped names."""
        with self._text() as text:
            try:
                head = text.read(HEAD)
            except UnicodeDecodeError:
                raise self._undecodable() from None
        candidates = "\t" if self.file.format == "tsv" else DELIMITERS
        headers = {delimiter: self._first_row(head, delimiter) for delimiter in candidates}
        delimiter = max(candidates, key=lambda delimiter: len(headers[delimiter]))
        names = [name.strip() for name in headers[delimiter]]
        if not any(names):
            raise ConfigError(f"{self.file.setting}: the file is empty; expected a line with the columns' names first")
        if len(names) == 1:
            raise ConfigError(
                f"{self.file.setting}: one column only, {quoted(names[0])}; expected at least a text and a label, "
                "divided by commas, semicolons, tabs or bars"
            )
        return delimiter, names

    @staticmethod
    def _first_row(head: str, delimiter: str) -> list[str]:
        rows = csv.reader(io.StringIO(head, newline=""), delimiter=delimiter)
        try:
            return next((row for row in rows if row), [])
        except csv.Error:
            return []

    def _text(self) -> io.TextIOWrapper:
        return io.TextIOWrapper(io.BufferedReader(self.file.open(), BLOCK), self._encoding, newline="")

    @cached_property
    def _is_plain(self) -> bool:
        return self._encoding == "utf-8-sig" and quotes_are_plain(self._blocks(), self._delimiter)

    def _blocks(self) -> Iterator[bytes]:
        with self.file.open() as stream:
            yield from iter(lambda: stream.read(BLOCK), b"")

    def _by_arrow(self, places: Sequence[int]) -> Iterator[pa.RecordBatch]:
        names = [f"f{i}" for i in range(len(self.columns))]
        with (
            self.file.open() as stream,
            arrow_csv.open_csv(
                stream,
                arrow_csv.ReadOptions(use_threads=False, block_size=BLOCK, column_names=names),
                # Without newlines_in_values a line break in a field is read as long as the file fits one block.
                arrow_csv.ParseOptions(delimiter=self._delimiter, newlines_in_values=True),
                arrow_csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()),
                    include_columns=[names[place] for place in places],
                    strings_can_be_null=False,
                ),
            ) as batches,
        ):
            header = 1
            for batch in batches:
                rows = batch.slice(header)
                header -= min(header, batch.num_rows)
                if rows.num_rows:
                    yield rows

    def _by_python(self, places: Sequence[int], columns: Sequence[str], done: int) -> Iterator[pa.RecordBatch]:
        width = len(self.columns)
        with self._text() as text:
            lines = _Counted(text)
            reader = csv.reader(lines, delimiter=self._delimiter, strict=True)
            records = islice((row for row in reader if row), 1 + done, None)  # an empty line is no row
            try:
                while rows := _block(records, lines):
                    if any(len(row) != width for row in rows):
                        raise self._ragged()
                    values = list(zip(*rows, strict=True))
                    yield pa.record_batch([pa.array(values[place], pa.string()) for place in places], list(columns))
            except csv.Error as error:
                raise self._malformed(error) from error
            except UnicodeDecodeError:
                raise self._undecodable() from None

    def _records(self, *, strict: bool) -> Iterator[tuple[int, list[str]]]:
        """Return the data rows, each with the line of the file on which it begins."""
        line, is_header = 1, True
        with self._text() as text:
            reader = csv.reader(text, delimiter=self._delimiter, strict=strict)
            try:
                for row in reader:
                    if row and not is_header:
                        yield line, row
                    is_header = is_header and not row
                    line = reader.line_num + 1
            except csv.Error as error:
                raise _MalformedRowError(line) from error

    def _ragged(self) -> ConfigError:
        width = len(self.columns)
        wrong, example = [], 0
        try:
            for row, (_, values) in enumerate(self._records(strict=True), start=1):
                if len(values) != width:
                    wrong.append(row)
                    example = example or len(values)
        except (_MalformedRowError, UnicodeDecodeError):
            pass  # a later mistake
        rows = rows_named(self, wrong)
        return ConfigError(
            f"{self.file.setting}: the header has {width} columns; other numbers of fields in {rows}, first {example}; "
            f'a text with "{self._delimiter_shown}" or a line break in it must stand in double quotes'
        )

    @property
    def _delimiter_shown(self) -> str:
        return "tab" if self._delimiter == "\t" else self._delimiter

    def _malformed(self, error: csv.Error) -> ConfigError:
        row, line = 0, 0
        try:
            for _ in self._records(strict=True):
                row += 1
        except _MalformedRowError as malformed:
            line = malformed.line
        where = f"row {row + 1:,} (line {line:,})"
        if "expected after" in str(error):
            reason = f'in {where} something follows a closing quote; write a quote inside a quoted text as ""'
        elif "field limit" in str(error):
            reason = f"{where} has a field of more than {LONGEST_FIELD:,} characters; is its quote never closed?"
        else:
            reason = f"a quote opens in {where} and is never closed"
        return ConfigError(f"{self.file.setting}: {reason}")

    def _undecodable(self) -> ConfigError:
        return undecodable(self.file, self._encoding)


class _MalformedRowError(Exception):
    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line


def _field(line: str, delimiter: str, place: int) -> str | None:
    fields = line.split(delimiter)
    return fields[place].strip('"\r') if -len(fields) < place < len(fields) else None


class _Counted:
    """The lines of a text and how many characters they had."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self.size = 0

    def __iter__(self) -> Iterator[str]:
        for line in self._text:
            self.size += len(line)
            yield line


def _block(records: Iterator[list[str]], lines: _Counted) -> list[list[str]]:
    rows: list[list[str]] = []
    end = lines.size + BLOCK
    while lines.size < end:
        before = len(rows)
        rows += islice(records, 16)
        if len(rows) == before:
            break
    return rows


def quotes_are_plain(blocks: Iterator[bytes], delimiter: str) -> bool:
    """Return whether every quote opens a field, closes one, or is one of a doubled pair inside one.

    A quote inside an unquoted field, one that is followed by more of its field, and one that is never closed are not.
    """
    edge = np.zeros(256, bool)
    edge[[ord(delimiter), ord("\n"), ord("\r"), QUOTE]] = True
    carry, inside = b"\n", 0
    for block in _ended(blocks):
        data = np.frombuffer(carry + block, np.uint8)
        quotes = np.flatnonzero(data[1:-1] == QUOTE) + 1
        opening, closing = quotes[inside::2], quotes[1 - inside :: 2]
        if not (edge[data[opening - 1]].all() and edge[data[closing + 1]].all()):
            return False
        inside = (inside + len(quotes)) % 2
        carry = data[-2:].tobytes()
    return not inside


def _ended(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Return the blocks without a byte order mark, then a line break; none is empty."""
    first = next(blocks, b"").removeprefix(b"\xef\xbb\xbf")
    if first:
        yield first
    yield from blocks
    yield b"\n"


def rows_named(reader: Any, rows: Sequence[int], count: int | None = None) -> str:
    """Name the first few of some rows, and how many more there are; `count` is how many there are in all."""
    count = len(rows) if count is None else count
    names = reader.where(rows[:5])
    return listed(names) if count <= len(names) else f"{', '.join(names)} and {count - len(names):,} more"


def encoding_of(file: TableFile) -> str:
    """Return utf-16 for a file with its byte order mark, otherwise utf-8-sig."""
    with file.open() as stream:
        head = stream.read(2**12)
    if not head:
        raise ConfigError(f"{file.setting}: the file is empty")
    if head[:2] in (b"\xff\xfe", b"\xfe\xff") and head[2:4] != b"\0\0":  # which would be UTF-32
        return "utf-16"
    # UTF-16 and UTF-32 have one beside every line break; another NUL is in a row, which its check names.
    if b"\n\0" in head or b"\0\n" in head:
        raise ConfigError(
            f"{file.setting}: NUL bytes at its beginning; if it is UTF-16, save it as UTF-8 or with a byte order mark"
        )
    return "utf-8-sig"


def undecodable(file: TableFile, encoding: str) -> ConfigError:
    """Return the error that names the line and the byte at which a file is not in its encoding."""
    if encoding != "utf-8-sig":
        return ConfigError(f"{file.setting}: begins as UTF-16 but is not; save it as UTF-8")
    with io.BufferedReader(file.open(), BLOCK) as stream:
        for number, line in enumerate(stream, start=1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                return ConfigError(
                    f"{file.setting}: not UTF-8: byte 0x{line[error.start]:02x} in line {number:,}; save it as UTF-8, "
                    "e.g. from Latin-1 with iconv -f latin1 -t utf-8"
                )
    return ConfigError(f"{file.setting}: not UTF-8")
