"""Labelled texts in files: CSV, JSON Lines, Parquet, Arrow, and folders of texts.

A table is read twice or more: once for the labels and the checks, and once for each pass over its texts, of which a few
megabytes are in memory at a time. Nothing is dropped and nothing is made up: a row that is not sound is an error.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from conf.schema import ConfigError
from pipelines.data.corpus import OnProgress, silent
from pipelines.data.tables.arrow_rows import ArrowRows
from pipelines.data.tables.columns import NUMBER, Columns, Sample, choose
from pipelines.data.tables.csv_rows import CsvRows, rows_named
from pipelines.data.tables.files import (
    PARTS,
    TEST,
    TRAIN,
    TableFile,
    check_disjoint,
    find,
    listed,
    quoted,
    reading,
    visible,
)
from pipelines.data.tables.folder_rows import FolderRows
from pipelines.data.tables.jsonl_rows import JsonlRows
from pipelines.data.tables.labels import MISSING, Clock, Coder, UnusableColumnError, check_names, group_of, mapped

Rows = CsvRows | JsonlRows | ArrowRows | FolderRows
LARGEST_BATCH = 16 * 2**20  # bytes of texts; only a single longer text makes a larger one
SAMPLE = 10_000  # rows by which columns are guessed
EXAMPLES = 5  # rows named in a message


class Table(NamedTuple):
    """Labelled texts. The arrays have a row for each text, in the order of `texts`."""

    fingerprint: str  # SHA-256 of all texts, labels, groups, times and parts in their order, and the columns
    columns: Columns  # those used
    guesses: tuple[str, ...]  # sentences for the user
    labels: tuple[str, ...]  # sorted, numbers in numeric order
    y: NDArray[np.int64]  # (n,) places in `labels`
    groups: NDArray[np.int64] | None  # (n,) 0, 1, …
    times: NDArray[np.float64 | np.int64] | None  # (n,) ascending with time; dates are microseconds since 1970
    parts: NDArray[np.int8] | None  # (n,) 0 train, 1 validation, 2 test, where a column or the files say so
    hashes: NDArray[np.uint64]  # (n,) equal for equal texts
    texts: Callable[[], Iterator[pa.StringArray]]  # a pass over the texts, in batches of at most `LARGEST_BATCH`


def read(
    name: str, files: Sequence[str], columns: Columns, test: Sequence[str] = (), on_progress: OnProgress = silent
) -> Table:
    """Read and check the table of the dataset `name`; `test` are files of test documents only.

    Raises `ConfigError` for everything that is not as it must be.
    """
    section = f"datasets.{name}"
    documents, tests = find(section, "files", files), find(section, "test", test, TEST)
    check_disjoint(documents.files, tests.files)
    found = [*documents.files, *tests.files]
    if not documents.files:
        raise ConfigError(f"{section}.files=[]: no file is named")
    readers = [_reader(file) for file in found]
    divided = any(file.part is not None for file in found)
    sample = _sample(section, readers[0])
    used, guesses = _columns(columns, sample, readers[0], divided)
    _check_division(section, used, divided)
    _check_same_columns(readers, used)
    total = _rows_expected(readers, sample.rows)
    scan = _Scan(section, used, divided, lambda done: on_progress("reading", done, total))
    for reader in readers:
        scan.read(reader)
    return scan.table(readers, (*documents.remarks, *tests.remarks, *guesses))


def _rows_expected(readers: Sequence[Rows], first: pa.RecordBatch) -> int | None:
    """Estimate how many rows there are, by the size of the first ones; None where only their end shows it."""
    if all(isinstance(reader, ArrowRows) for reader in readers):
        rows = [reader.rows for reader in readers if isinstance(reader, ArrowRows)]
        return None if None in rows else sum(filter(None, rows))
    if any(reader.file.compression or not isinstance(reader, CsvRows | JsonlRows) for reader in readers):
        return None
    size = sum(reader.file.filesystem.get_file_info(reader.file.path).size or 0 for reader in readers)
    return int(size * first.num_rows / max(first.nbytes, 1))


def fingerprint(name: str, files: Sequence[str], test: Sequence[str] = ()) -> str:
    """Return the SHA-256 of the content of all files, without parsing them."""
    section, digest = f"datasets.{name}", hashlib.sha256()
    for file in [*find(section, "files", files).files, *find(section, "test", test, TEST).files]:
        digest.update(json.dumps([file.format, file.compression, file.part]).encode())
        for content in FolderRows(file).contents() if file.format == "folder" else _blocks(file):
            digest.update(content)
    return digest.hexdigest()


def _blocks(file: TableFile) -> Iterator[bytes]:
    with reading(file), file.filesystem.open_input_stream(file.path, compression=None) as stream:
        while block := stream.read(LARGEST_BATCH):
            yield block


def _reader(file: TableFile) -> Rows:
    readers: dict[str, type[Rows]] = {
        "csv": CsvRows,
        "tsv": CsvRows,
        "jsonl": JsonlRows,
        "parquet": ArrowRows,
        "arrow": ArrowRows,
        "folder": FolderRows,
    }
    return readers[file.format](file)


def _sample(section: str, reader: Rows) -> Sample:
    usable = reader.usable(reader.columns) if isinstance(reader, JsonlRows) else list(reader.columns)
    with reading(reader.file):
        rows = next(reader.batches(usable), None) if usable else None
    if rows is None or not rows.num_rows:
        raise ConfigError(f"{reader.file.setting}: holds no row of data")
    return Sample(section, reader.file.setting, reader.columns, rows.slice(0, SAMPLE))


def _columns(asked: Columns, sample: Sample, reader: Rows, divided: bool) -> tuple[Columns, list[str]]:
    if not isinstance(reader, FolderRows):
        return choose(asked, sample, divided=divided)
    if asked != Columns():
        key, value = next((key, value) for key, value in asked._asdict().items() if value)
        raise ConfigError(
            f"{_setting(sample.section, key, value)}: {sample.path} is a folder of texts and has no columns; "
            f"remove {sample.section}.{key}"
        )
    return Columns(("text",), "label"), ["a text's label is the name of its folder"]


def _check_division(section: str, used: Columns, divided: bool) -> None:
    if divided and used.split:
        raise ConfigError(
            f"{_setting(section, 'split', used.split)}: the files already say which rows are for training; use either"
        )


def _check_same_columns(readers: Sequence[Rows], used: Columns) -> None:
    for reader in readers[1:]:
        missing = [name for name in (*used.text, *used[1:]) if name is not None and name not in reader.columns]
        if missing:
            raise ConfigError(
                f"{reader.file.setting}: has no column {quoted(missing[0])}, as {readers[0].file.shown} has; its "
                f"columns are {listed([quoted(column) for column in reader.columns], 10)}"
            )


def _setting(section: str, key: str, value: str | Sequence[str] | None) -> str:
    values = [value] if isinstance(value, str) else value or ["null"]
    shown = ",".join(map(visible, values))
    return f"{section}.{key}={shown if len(values) == 1 else f'[{shown}]'}"


class _Problems:
    """The rows of one file that cannot be used, by reason: the first few, and how many there are."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], list[int]] = {}
        self._counts: dict[tuple[str, str], int] = {}

    def add(self, key: str, reason: str, wrong: NDArray[np.bool_], done: int) -> None:
        """Add the rows of a batch that are `wrong`, (n,), of which `done` came before it in the file."""
        rows = np.flatnonzero(wrong)
        if not len(rows):
            return
        known = self._rows.setdefault((key, reason), [])
        known += [done + int(row) + 1 for row in rows[: EXAMPLES - len(known)]]
        self._counts[key, reason] = self._counts.get((key, reason), 0) + len(rows)

    def check(self, section: str, columns: Columns, reader: Rows) -> None:
        for (key, reason), rows in self._rows.items():
            count = self._counts[key, reason]
            value = getattr(columns, key)
            setting = _setting(section, key, value)
            raise ConfigError(f"{setting}: {reader.file.shown}: {rows_named(reader, rows, count)}: {reason}")


class _Scan:
    """One pass over all files: labels, hashes and checks. It keeps some 30 bytes a row, and no text."""

    def __init__(self, section: str, columns: Columns, divided: bool, on_rows: Callable[[int], None]) -> None:
        self._section = section
        self._columns = columns
        self._divided = divided
        self._on_rows = on_rows
        self._rows = 0  # of all files
        self._coder = Coder()
        self._clock = Clock()
        self._content = _Digest()
        self._y: list[NDArray[np.int32]] = []
        self._groups: list[NDArray[np.uint64]] = []
        self._times: list[NDArray[Any]] = []
        self._parts: list[NDArray[np.int8]] = []
        self._hashes: list[NDArray[np.uint64]] = []
        self._only_numbers = True
        self.remarks: list[str] = []

    def read(self, reader: Rows) -> None:
        problems, doubts, done = _Problems(), [], 0
        adders = {
            "label": self._add_labels,
            "group": self._add_groups,
            "time": self._add_times,
            "split": self._add_split,
        }
        used = [name for name in (*self._columns.text, *self._columns[1:]) if name is not None]
        with reading(reader.file):
            for batch in reader.batches(used):
                self._add_texts(texts_of(reader, batch, self._columns.text), problems, done)
                for key, add in adders.items():
                    name = getattr(self._columns, key)
                    try:
                        if name is not None:
                            add(batch.column(name), problems, done)
                    except UnusableColumnError as error:
                        setting = _setting(self._section, key, name)
                        raise ConfigError(f"{setting}: the column of {reader.file.shown} {error}") from error
                if self._divided:
                    self._parts.append(np.full(batch.num_rows, reader.file.part or TRAIN, np.int8))
                doubts += [done + i + 1 for i in self._doubtful(reader, batch)]
                done += batch.num_rows
                self._rows += batch.num_rows
                self._on_rows(self._rows)
        if not done:
            raise ConfigError(f"{reader.file.setting}: holds no row of data")
        problems.check(self._section, self._columns, reader)
        if doubts:
            self.remarks.append(
                f"{reader.file.shown}: {rows_named(reader, doubts)}: a text has lines that look like rows; if they are "
                "rows, its opening quote is a stray one"
            )

    def _doubtful(self, reader: Rows, batch: pa.RecordBatch) -> list[int]:
        """Return the rows of a batch that may have swallowed others."""
        text, label = self._columns.text[0], self._columns.label
        if not isinstance(reader, CsvRows) or label is None:
            return []
        return reader.look_like_rows(batch.column(text), text, label, {known.name for known in self._coder.places})

    def _add_texts(self, texts: pa.StringArray, problems: _Problems, done: int) -> None:
        problems.add("text", "no text (null); remove these rows or fill them", _array(texts.is_null()), done)
        texts = texts.fill_null("-") if texts.null_count else texts
        is_empty = pc.equal(pc.binary_length(texts), 0)
        problems.add("text", "an empty text; remove these rows or fill them", _array(is_empty), done)
        problems.add("text", "a text of blanks only; remove these rows or fill them", _array(_is_blank(texts)), done)
        has_nul = pc.match_substring(texts, "\0")
        problems.add("text", "a NUL byte in the text; is the file damaged?", _array(has_nul), done)
        if self._only_numbers:
            self._only_numbers = pc.all(pc.match_substring_regex(texts, NUMBER)).as_py() is not False
        self._hashes.append(hashes_of(texts))
        self._content.add(texts)

    def _add_labels(self, values: pa.Array, problems: _Problems, done: int) -> None:
        y = self._coder.add(values)
        problems.add("label", "no label; remove these rows or fill them", y == MISSING, done)
        self._y.append(y)

    def _add_groups(self, values: pa.Array, problems: _Problems, done: int) -> None:
        groups, is_missing = mapped(values, group_of, np.uint64)
        problems.add("group", "no group; remove these rows or fill them", is_missing, done)
        self._groups.append(groups)

    def _add_times(self, values: pa.Array, problems: _Problems, done: int) -> None:
        times, is_missing = self._clock.add(values)
        problems.add("time", "no time; allowed are numbers and ISO 8601, e.g. 2026-11-29T18:30", is_missing, done)
        self._times.append(times)

    def _add_split(self, values: pa.Array, problems: _Problems, done: int) -> None:
        parts, is_missing = mapped(values, _part, np.int8)
        problems.add("split", f"no known part; allowed are {', '.join(PARTS)}", is_missing, done)
        self._parts.append(parts)

    def table(self, readers: Sequence[Rows], guesses: Sequence[str]) -> Table:
        """Return what was read; raises `ConfigError` for what only all rows together show."""
        labels, places = self._coder.names()
        y = places[np.concatenate(self._y)]
        parts = np.concatenate(self._parts) if self._parts else None
        self._check(labels, y, parts, listed([reader.file.shown for reader in readers], 3))
        remarks = [*self.remarks, *_in_several_cases(labels)]
        groups = np.unique(np.concatenate(self._groups), return_inverse=True)[1] if self._groups else None
        times = np.concatenate(self._times) if self._times else None
        content = self._content.hexdigest()
        arrays = [array for array in (y, groups, times, parts) if array is not None]
        fingerprint = hashlib.sha256(json.dumps([content, self._columns, labels]).encode())
        for array in arrays:
            fingerprint.update(f"{array.dtype.str}".encode() + array.tobytes())
        return Table(
            fingerprint.hexdigest(),
            self._columns,
            (*guesses, *remarks),
            tuple(labels),
            y,
            groups,
            times,
            parts,
            np.concatenate(self._hashes),
            lambda: _texts(readers, self._columns.text, content),
        )

    def _check(self, labels: Sequence[str], y: NDArray[np.int64], parts: NDArray[np.int8] | None, files: str) -> None:
        if self._only_numbers:
            raise ConfigError(
                f"{_setting(self._section, 'text', self._columns.text)}: the column of {files} holds only numbers, no "
                "texts; name another column"
            )
        try:
            check_names(labels, len(y))
        except UnusableColumnError as error:
            setting = _setting(self._section, "label", self._columns.label)
            raise ConfigError(f"{setting}: the column of {files} {error}") from error
        if parts is not None and not (parts == TRAIN).any():
            raise ConfigError(
                f"{_setting(self._section, 'split', self._columns.split)}: no row is for training; some must be train"
            )


def _in_several_cases(labels: Sequence[str]) -> list[str]:
    """Return a sentence about the labels that may be the same, spelled with other capitals."""
    spelled = Counter(label.casefold() for label in labels)
    alike = [quoted(label) for label in sorted(labels, key=str.casefold) if spelled[label.casefold()] > 1]
    return [f"labels that differ in capitals alone are different labels: {listed(alike)}"] if alike else []


def _part(value: Any) -> int:
    if not isinstance(value, str) or value.strip().casefold() not in PARTS:
        raise ValueError(value)
    return PARTS[value.strip().casefold()]


def _array(values: Any) -> NDArray[np.bool_]:
    array: NDArray[np.bool_] = values.to_numpy(zero_copy_only=False)
    return array


def _is_blank(texts: pa.StringArray) -> Any:
    return pc.utf8_is_space(texts)


# Texts


def texts_of(reader: Rows, batch: pa.RecordBatch, columns: Sequence[str]) -> pa.StringArray:
    """Return the texts of a batch, of several columns those that are not empty, joined by line breaks."""
    parts = [_strings(reader, column, batch.column(column)) for column in columns]
    if len(parts) == 1:
        return parts[0]
    # Not null_handling="skip" in one call: PyArrow 25 then leaves out the rows that are null in all columns.
    joined, *others = [part.fill_null("") for part in parts]
    for part in others:
        is_alone = pc.or_(pc.equal(joined, ""), pc.equal(part, ""))
        joined = pc.binary_join_element_wise(joined, part, pc.if_else(is_alone, "", "\n"))
    return joined


def _strings(reader: Rows, column: str, values: pa.Array) -> pa.StringArray:
    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or kind in (pa.string_view(), pa.null())):
        raise ConfigError(f"{reader.file.setting}: the column {quoted(column)} holds {kind}, not texts")
    if isinstance(reader, ArrowRows):
        _check_unicode(reader, column, values)
    return values.cast(pa.string())


def _check_unicode(reader: Rows, column: str, values: pa.Array) -> None:
    try:
        values.validate(full=True)
    except pa.ArrowInvalid as error:
        raise ConfigError(
            f"{reader.file.setting}: the column {quoted(column)} holds texts that are not UTF-8"
        ) from error


def hashes_of(texts: pa.StringArray) -> NDArray[np.uint64]:
    """Return 64 bits of each text's BLAKE2b, (n,), the same in every process."""
    content, ends = _bytes_of(texts)
    blake2b = hashlib.blake2b
    digests = [blake2b(content[start:end], digest_size=8).digest() for start, end in pairwise(ends.tolist())]
    return np.frombuffer(b"".join(digests), np.uint64)


def _bytes_of(texts: pa.StringArray) -> tuple[memoryview, NDArray[np.int32]]:
    """Return the bytes of texts without nulls, one after the other, and the n + 1 places where they begin and end."""
    _, ends, content = texts.buffers()
    places = np.frombuffer(ends, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return memoryview(content or b""), places


class _Digest:
    """SHA-256 of texts, however they are divided into batches."""

    def __init__(self) -> None:
        self._content, self._lengths = hashlib.sha256(), hashlib.sha256()

    def add(self, texts: pa.StringArray) -> None:
        content, ends = _bytes_of(texts)
        self._content.update(content[ends[0] : ends[-1]])
        self._lengths.update(np.diff(ends).astype("<i8").tobytes())

    def hexdigest(self) -> str:
        return self._content.hexdigest() + self._lengths.hexdigest()


def _texts(readers: Sequence[Rows], columns: Sequence[str], expected: str) -> Iterator[pa.StringArray]:
    digest = _Digest()
    for reader in readers:
        for batch in reader.batches(list(columns)):
            texts = texts_of(reader, batch, columns)
            digest.add(texts.fill_null("-"))
            yield from _pieces(texts)
    if digest.hexdigest() != expected:
        paths = listed([reader.file.setting for reader in readers])
        raise ConfigError(f"{paths}: changed while it was read; start again when nobody writes to it")


def _pieces(texts: pa.StringArray) -> Iterator[pa.StringArray]:
    """Divide texts so that no piece but a single text has more than `LARGEST_BATCH` bytes."""
    _, ends = _bytes_of(texts)
    start = 0
    while start < len(texts):
        end = int(np.searchsorted(ends, int(ends[start]) + LARGEST_BATCH, "right")) - 1
        end = max(end, start + 1)
        yield texts.slice(start, end - start)
        start = end
