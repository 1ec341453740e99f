"""The same rows in every format are the same table."""

import csv
import gzip
import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conf.schema import ConfigError
from pipelines.data.tables.scan import Columns, read
from tests.labelled import names, put, put_csv, put_jsonl, put_parquet, put_saved, table, texts

SHARED = Path(__file__).parents[4] / "shared" / "data"
characters = st.one_of(st.characters(codec="utf-8"), st.sampled_from('",;\t|\n\r\0 \ufeff\u2028\x85\\'))
cell = st.text(characters, max_size=12)
tables = st.lists(st.tuples(cell, st.one_of(st.sampled_from(["x", "y", "1", "2.0"]), cell)), min_size=1, max_size=9)


def outcome(file):
    """Return the rows, or only that they are refused."""
    try:
        result = table(file)
        return list(zip(texts(result), names(result), strict=True)), result.fingerprint
    except ConfigError:
        return None


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
@settings(max_examples=40)
@given(rows=tables)
def test_random_tables_are_the_same_in_every_format_or_refused(delimiter: str, rows: list[tuple[str, str]]) -> None:
    suffix = ".tsv" if delimiter == "\t" else ".csv"
    by_csv = outcome(put_csv(f"x{suffix}", rows, delimiter=delimiter))
    assert by_csv == outcome(put_jsonl("x.jsonl", rows)) == outcome(put_parquet("x.parquet", rows))
    if by_csv is not None:
        assert [text for text, _ in by_csv[0]] == [text for text, _ in rows]


@settings(max_examples=150)
@given(content=st.text(st.sampled_from('ab",\n\r'), max_size=30))
def test_quotes_are_never_understood_in_two_ways(content: str) -> None:
    """A file that Python's strict reader refuses is refused; one that it reads has its rows."""
    try:
        expected = [row for row in csv.reader(io.StringIO(content, newline=""), strict=True) if row]
        expected = expected if all(len(row) == 2 for row in expected) else None
    except csv.Error:
        expected = None
    # Enough sound rows for two labels, and none whose text is all numbers.
    actual = outcome(put("x.csv", f"text,label\nq,q\nr,r\n{content}"))
    if expected is None or any(not text.strip() or not label.strip() for text, label in expected):
        assert actual is None
    elif len(expected) < 8:
        assert actual is not None
        assert actual[0] == [("q", "q"), ("r", "r"), *((text, label.strip()) for text, label in expected)]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real tables are not in ../shared/data")
@pytest.mark.parametrize("language", ["ko", pytest.param("en", marks=pytest.mark.long)])
def test_real_texts_are_the_same_in_every_format(language: str) -> None:
    source = pq.read_table(SHARED / f"debian_{language}.parquet").select(["text", "section"])
    rows = list(zip(*source.to_pydict().values(), strict=True))
    columns = ["text", "section"]
    folder = put_texts("folder", rows)
    files = [
        put_csv("x.csv", rows, columns),
        put_csv("semicolons.csv", rows, columns, delimiter=";", lineterminator="\n"),
        put_csv("x.tsv", rows, columns, delimiter="\t"),
        put_jsonl("x.jsonl", rows, columns),
        put_parquet("x.parquet", rows, columns, row_group_size=1000),
        put_saved("saved", rows, columns, shards=3),
    ]
    expected = table(str(SHARED / f"debian_{language}.parquet"))
    assert (texts(expected), names(expected)) == ([text for text, _ in rows], [label for _, label in rows])
    for file in files:
        assert_same(table(file), expected)
    in_order = sorted(range(len(rows)), key=lambda i: (rows[i][1], i))
    assert_same(table(folder), expected, in_order)


def assert_same(actual, expected, order=slice(None)) -> None:
    assert actual.labels == expected.labels
    np.testing.assert_array_equal(actual.y, expected.y[order])
    np.testing.assert_array_equal(actual.hashes, expected.hashes[order])
    if order == slice(None):
        assert actual.fingerprint == expected.fingerprint
        assert texts(actual) == texts(expected)


def put_texts(folder, rows):
    for i, (text, label) in enumerate(rows):
        put(f"{folder}/{label}/{i:06d}.txt", text)
    return folder


@pytest.mark.parametrize(("suffix", "known"), [("parquet", True), ("arrow", False), ("csv.gz", False), ("jsonl", True)])
def test_the_number_of_rows_is_told_beforehand_where_the_format_shows_it(
    suffix: str, known: bool, tmp_path: Path
) -> None:
    rows = [{"text": f"text number {n}", "label": "ab"[n % 2]} for n in range(100)]
    path, written = tmp_path / f"reviews.{suffix}", pa.Table.from_pylist(rows)
    match suffix:
        case "parquet":
            pq.write_table(written, path)
        case "arrow":
            with pa.ipc.new_stream(path, written.schema) as stream:
                stream.write_table(written)
        case "csv.gz":
            path.write_bytes(
                gzip.compress("\n".join(["text,label", *(",".join(row.values()) for row in rows)]).encode())
            )
        case "jsonl":
            path.write_text("\n".join(map(json.dumps, rows)))
    told: list[int | None] = []
    read("reviews", [str(path)], Columns(), on_progress=lambda step, done, total: told.append(total))
    assert [total is not None for total in told] == [known]
    assert not known or 50 < (told[0] or 0) < 250
    assert suffix != "parquet" or told == [100]
