import gzip
import json
import random
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conf.schema import ConfigError
from pipelines.data.tables import csv_rows, scan
from pipelines.data.tables.scan import Columns
from tests.labelled import names, put, put_csv, put_jsonl, put_parquet, refusal, table, texts

ROWS = [(f"a text {i}", "ab"[i % 2]) for i in range(12)]
GOOD = "text,label\n" + "".join(f"{text},{label}\n" for text, label in ROWS)
# 12 rows of data, the last of them in line 13.
SUFFIXES = ".csv, .tsv and .jsonl (each also with .gz or .zst), .parquet, .arrow, or a folder of them or of texts"
FOLDERS = "expected a folder of texts for each label, as <folder>/<label>/*.txt"
FIRST_OBJECT = '{"text": "a", "label": "x"}\n'

# What stands in the file x.csv, or whatever the key begins with -> the line after `datasets.toy.`
MALFORMED_CSV = {
    "empty file": (b"", "files=x.csv: the file is empty"),
    "blank lines only": ("\n\n\n", "files=x.csv: the file is empty; expected a line with the columns' names first"),
    "header only": ("text,label\n", "files=x.csv: holds no row of data"),
    "no text by name or content": (
        "n,label\n1,a\n2,b\n",
        'text=null: no column of x.csv is called text and none holds texts; set datasets.toy.text to one of "n" and '
        '"label", or add a first line with the columns\' names if there is none',
    ),
    "two texts by name": (
        "review,title,label\na b,x,y\nc d,z,w\n",
        'text=null: "review" and "title" of x.csv fit alike; set datasets.toy.text=review, or '
        "datasets.toy.text=[review,title] for all",
    ),
    "two labels by name": (
        "text,class,topic\na b,x,y\nc d,z,w\n",
        'label=null: "class" and "topic" of x.csv fit alike; set datasets.toy.label=class',
    ),
    "two labels by content": (
        "text,p,q\na b,x,y\nc d,z,w\n",
        'label=null: "p" and "q" of x.csv fit alike; set datasets.toy.label=p',
    ),
    "no column but that without a name": (
        "text,\na b,x\nc d,y\n",
        'label=null: no column is left for it; x.csv has "text" and "", and "text" has another use',
    ),
    "no header, a label as its name": (
        "a fine film this is,pos\nnot a fine film,neg\n" * 6,
        'files=x.csv: its first line, "a fine film this is" and "pos", seems to be a row and not the columns\' names; '
        "add a line with names, e.g. text and label, or set datasets.toy.text and datasets.toy.label",
    ),
    "no header, a number as a name": (
        "3,Wall St. Bears\n4,Oil\n",
        'files=x.csv: its first line, "3" and "Wall St. Bears", seems to be a row and not the columns\' names; '
        "add a line with names, e.g. text and label, or set datasets.toy.text and datasets.toy.label",
    ),
    "duplicate names": ("text, text,label\na,b,c\n", 'files=x.csv: two columns are called "text"; rename one of them'),
    "one column": (
        "text\na\nb\n",
        'files=x.csv: one column only, "text"; expected at least a text and a label, divided by commas, semicolons, '
        "tabs or bars",
    ),
    "ragged rows": (
        GOOD + "one\n" + "a,b,c\n" * 7 + "good,a\n\nx",
        "files=x.csv: the header has 2 columns; other numbers of fields in row 13 (line 14), row 14 (line 15), "
        'row 15 (line 16), row 16 (line 17), row 17 (line 18) and 4 more, first 1; a text with "," or a line break '
        "in it must stand in double quotes",
    ),
    "a quote never closed": (
        'text,label\n\n"a\nb",a\n"never,b\nmore,b\n',
        "files=x.csv: a quote opens in row 2 (line 5) and is never closed",
    ),
    "rows between two stray quotes": (
        GOOD + '"never closed,a\nmore,b\n"q",b\n',
        'files=x.csv: in row 13 (line 14) something follows a closing quote; write a quote inside a quoted text as ""',
    ),
    "Latin-1": (
        GOOD.encode() + "café,a\n".encode("latin1"),
        "files=x.csv: not UTF-8: byte 0xe9 in line 14; save it as UTF-8, e.g. from Latin-1 with iconv -f latin1 "
        "-t utf-8",
    ),
    "UTF-16 without a mark": (
        GOOD.encode("utf-16-le"),
        "files=x.csv: NUL bytes at its beginning; if it is UTF-16, save it as UTF-8 or with a byte order mark",
    ),
    "UTF-32": (
        GOOD.encode("utf-32"),
        "files=x.csv: NUL bytes at its beginning; if it is UTF-16, save it as UTF-8 or with a byte order mark",
    ),
    "half of UTF-16": (
        GOOD.encode("utf-16")[:-1],
        "files=x.csv: begins as UTF-16 but is not; save it as UTF-8",
    ),
    "a NUL byte near the beginning": (
        "text,label\na text,a\na\0b,b\n",
        "text=text: x.csv: row 2 (line 3): a NUL byte in the text; is the file damaged?",
    ),
    "NUL bytes": (
        "text,label\n" + "a text,a\n" * 1000 + "a\0b,b\n",
        "text=text: x.csv: row 1,001 (line 1,002): a NUL byte in the text; is the file damaged?",
    ),
    "null labels": (
        GOOD + "x,\n" * 8,
        "label=label: x.csv: row 13 (line 14), row 14 (line 15), row 15 (line 16), row 16 (line 17), row 17 (line 18) "
        "and 3 more: no label; remove these rows or fill them",
    ),
    "empty texts": (
        GOOD + ",a\n\n,b\n",
        "text=text: x.csv: row 13 (line 14) and row 14 (line 16): an empty text; remove these rows or fill them",
    ),
    "blanks only": (
        GOOD + '" \t\n\u3000",a\n',
        "text=text: x.csv: row 13 (line 14): a text of blanks only; remove these rows or fill them",
    ),
    "one class": (
        "text,label\na,x\nb,x\n",
        'label=label: the column of x.csv holds only one label, "x"; a classifier needs two or more',
    ),
    "texts are numbers": (
        "text,label\n1,a\n2.5,b\n",
        "text=text: the column of x.csv holds only numbers, no texts; name another column",
    ),
    "labels name the rows": (
        "text,label\n" + "".join(f"x,id{i}\n" for i in range(900)),
        "label=label: the column of x.csv holds 900 different values in 900 rows; is that the id? Name another column",
    ),
    "unknown part in a guessed column": (
        "text,label,split\n" + "a,x,train\n" * 10_000 + "b,y,eval\n",
        "split=split: x.csv: row 10,001 (line 10,002): no known part; allowed are train, validation, valid, val, dev, "
        "test",
    ),
    "unknown parts among the first rows of a guessed column": (
        "text,label,split\na,x,train\nb,y,holdout\nc,x,\nd,y,test\n",
        "split=split: x.csv: row 2 (line 3) and row 3 (line 4): no known part; allowed are train, validation, valid, "
        "val, dev, test",
    ),
    "nothing to train on": (
        "text,label,split\na,x,dev\nb,y,test\n",
        "split=split: no row is for training; some must be train",
    ),
}
MALFORMED_JSONL = {
    "no JSON": (
        FIRST_OBJECT + "\n{'text': 1}\n",
        "line 3 is no JSON (Expecting property name enclosed in double quotes, column 2); expected one object a line "
        "(JSON Lines)",
    ),
    "cut off": (
        FIRST_OBJECT + '{"text": "b',
        "line 2 is no JSON (Unterminated string starting, column 10); expected one object a line (JSON Lines)",
    ),
    "cut off before the end of its line": (
        '{"text": "b\n' + FIRST_OBJECT,
        "line 1 is no JSON (Unterminated string starting, column 10); expected one object a line (JSON Lines)",
    ),
    "one value of many lines": (
        json.dumps([{"text": "a"}], indent=1),
        "line 1 is no JSON (Expecting value, column 2; the file seems to be one JSON value of several lines); "
        "expected one object a line (JSON Lines)",
    ),
    "no object": (
        FIRST_OBJECT + "5\n",
        'line 2 is a number, not an object; expected one object a line, as {"text": "…", "label": "…"}',
    ),
    "nested too deeply": (
        FIRST_OBJECT + "[" * 100_000 + "\n",
        "line 2 is no JSON (nested too deeply); expected one object a line (JSON Lines)",
    ),
    "mixed labels": (
        FIRST_OBJECT + '{"text": "a", "label": 1}\n',
        'the column "label" holds a text in the rows before and a number in row 2 (line 2); all must be of one kind: '
        "texts, numbers or booleans",
    ),
    "a nested text": (
        FIRST_OBJECT + '{"text": {"en": "a"}, "label": "y"}\n',
        'the column "text" holds a text in the rows before and an object in row 2 (line 2); all must be of one kind: '
        "texts, numbers or booleans",
    ),
    "half a character": (
        FIRST_OBJECT + r'{"text": "\ud800", "label": "y"}',
        'the column "text" holds half a surrogate pair, which is no character, in row 2 (line 2)',
    ),
    "a number of 100 bits": (
        '{"text": "a", "label": 1}\n{"text": "b", "label": 1267650600228229401496703205376}\n',
        'the column "label" holds a number that 64 bits do not hold in row 2 (line 2)',
    ),
    "not UTF-8": (
        FIRST_OBJECT.encode() + b'{"text": "\xff", "label": "y"}',
        "not UTF-8: byte 0xff in line 2; save it as UTF-8, e.g. from Latin-1 with iconv -f latin1 -t utf-8",
    ),
    "empty": (b"", "the file is empty"),
    "blank": (b"\n \n", "the file is empty; expected one JSON object a line"),
}


@pytest.mark.parametrize("case", MALFORMED_CSV)
def test_a_malformed_csv_file_is_refused_in_one_line(case: str) -> None:
    content, line = MALFORMED_CSV[case]
    assert refusal(put("x.csv", content)) == f"datasets.toy.{line}"


@pytest.mark.parametrize("case", MALFORMED_JSONL)
def test_a_malformed_jsonl_file_is_refused_in_one_line(case: str) -> None:
    content, line = MALFORMED_JSONL[case]
    assert refusal(put("x.jsonl", content)) == f"datasets.toy.files=x.jsonl: {line}"


def test_missing_texts_of_jsonl_are_named_by_row_and_line() -> None:
    file = put("x.jsonl", f'{FIRST_OBJECT}\n{{"text": null, "label": "y"}}\n{{"label": "y"}}\n')
    assert refusal(file) == (
        "datasets.toy.text=text: x.jsonl: row 2 (line 3) and row 3 (line 4): no text (null); remove these rows or "
        "fill them"
    )


# Typed columns


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (
            {"text": [["a"], ["b"]], "label": ["x", "y"]},
            'files=x.parquet: the column "text" holds list<element: string>, not texts',
        ),
        (
            {"text": ["a", "b"], "label": [["x"], ["y"]]},
            "label=label: the column of x.parquet holds list<element: string>; allowed are texts, numbers and booleans",
        ),
        ({"text": [1, 2], "label": ["x", "y"]}, 'files=x.parquet: the column "text" holds int64, not texts'),
        ({"text": [b"a", b"b"], "label": ["x", "y"]}, 'files=x.parquet: the column "text" holds binary, not texts'),
        (
            {"text": ["a", None], "label": ["x", "y"]},
            "text=text: x.parquet: row 2: no text (null); remove these rows or fill them",
        ),
        (
            {"text": ["a", "b"], "label": [1.0, float("nan")]},
            "label=label: x.parquet: row 2: no label; remove these rows or fill them",
        ),
        (
            {"text": ["a"] * 5001, "label": [i / 10 for i in range(5000)] + [1.0]},
            "label=label: the column of x.parquet holds 5,000 different numbers, from 0 to 499.9: a target of "
            "regression, and not labels; put the numbers into classes first, or name another column",
        ),
        (
            {"text": ["a", "b"], "label": [date(2026, 1, 1), None]},
            "label=label: the column of x.parquet holds date32[day]; allowed are texts, numbers and booleans",
        ),
        ({"text": [], "label": []}, "files=x.parquet: holds no row of data"),
    ],
)
def test_typed_columns_that_hold_something_else_are_refused(columns: dict[str, list], line: str) -> None:
    pq.write_table(pa.table(columns), "x.parquet")
    assert refusal("x.parquet") == f"datasets.toy.{line}"


def test_texts_of_a_parquet_file_that_are_not_utf_8_are_refused() -> None:
    broken = pa.array([b"a\xff", b"b"]).view(pa.string())
    pq.write_table(pa.table({"text": broken, "label": ["x", "y"]}), "x.parquet")
    assert refusal("x.parquet") == 'datasets.toy.files=x.parquet: the column "text" holds texts that are not UTF-8'


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([1.0, 2.0, 10.0], ("1", "2", "10")),
        ([10, 2, -1], ("-1", "2", "10")),
        ([0.5, 1.0, 1.5], ("0.5", "1", "1.5")),
        (list(np.array([1, 2, 0.5], np.float16)), ("0.5", "1", "2")),
        ([True, False, True], ("false", "true")),
        (["10", "9", "8"], ("8", "9", "10")),
        (["1.0", "2.0", "10.0"], ("1", "2", "10")),
        (["b", " a ", "a"], ("a", "b")),
        (["10", "9", "x"], ("10", "9", "x")),
    ],
)
def test_labels_are_texts_and_sorted_as_numbers_where_all_are(labels: list, expected: tuple) -> None:
    result = table(put_parquet("x.parquet", list(zip("rst", labels, strict=True))))
    assert result.labels == expected
    assert (np.bincount(result.y) > 0).all()


def test_labels_in_several_capitals_are_pointed_out() -> None:
    result = table(put("x.csv", "text,label\na,pos\nb,POS\nc,neg\nd,Pos\n"))
    assert result.guesses[1:] == ('labels that differ in capitals alone are different labels: "POS", "Pos" and "pos"',)


def test_a_dictionary_of_labels_is_read_as_its_values() -> None:
    labels = pa.array(["b", "a", "b"]).dictionary_encode()
    pq.write_table(pa.table({"text": pa.array(["r", "s", "t"]).dictionary_encode(), "label": labels}), "x.parquet")
    result = table("x.parquet")
    assert (names(result), texts(result)) == (["b", "a", "b"], ["r", "s", "t"])


# Damaged files


def test_damaged_files_are_refused() -> None:
    whole = put("x.csv", GOOD)
    packed = gzip.compress(GOOD.encode())
    parquet = Path(put_parquet("x.parquet", ROWS)).read_bytes()
    footer = "Parquet magic bytes not found in footer. Either the file is corrupted or this is not a parquet file."
    for name, content, reason in [
        ("cut.csv.gz", packed[:-12], "(Truncated compressed stream); is it gzip?"),
        ("plain.csv.gz", GOOD, "(zlib inflate failed: incorrect header check); is it gzip?"),
        (
            "cut.csv.zst",
            pa.compress(GOOD.encode(), "zstd", asbytes=True)[:-4],
            "(Truncated compressed stream); is it zstd?",
        ),
        ("cut.parquet", parquet[:-20], f"({footer})"),
        ("csv.parquet", GOOD, f"({footer})"),
        ("empty.parquet", b"", "(Parquet file size is 0 bytes)"),
    ]:
        assert refusal(put(name, content)) == f"datasets.toy.files={name}: cannot be read {reason}"
    assert table(whole).labels == ("a", "b")


# Columns


def test_names_are_stripped_and_any_case_fits() -> None:
    result = table(put("x.csv", " ID ; Review ;SENTIMENT\n1;a, b;x\n2;c;y\n"))
    assert result.columns == Columns(("Review",), "SENTIMENT")
    assert result.guesses == ('text is the column "Review", label is "SENTIMENT"; not read: "ID"',)


def test_contents_decide_where_names_do_not() -> None:
    rows = [(i, f"some longer words {i}", "xy"[i % 2], i / 7) for i in range(40)]
    result = table(put_parquet("x.parquet", rows, ["a", "b", "c", "d"]))
    assert result.columns == Columns(("b",), "c")


def test_a_named_column_is_taken_and_nothing_is_said() -> None:
    file = put_csv("x.csv", [("a", "b", "x"), ("c", "d", "y")], ["text", "title", "label"])
    result = table(file, Columns(("title",), "label"))
    assert (texts(result), result.guesses) == (["b", "d"], ())


def test_a_missing_column_is_named_with_a_similar_one() -> None:
    assert refusal(put("x.csv", GOOD), Columns(("txet",))) == (
        'datasets.toy.text=txet: no such column; did you mean \'text\'?; x.csv has "text" and "label"'
    )
    assert refusal("x.csv", Columns(group="\x1b[2J")) == (
        'datasets.toy.group=\\x1b[2J: no such column; x.csv has "text" and "label"'
    )


def test_a_column_that_is_the_label_is_not_offered_for_the_text() -> None:
    file = put("x.csv", "text,n\na b,1\nc d,2\n")
    assert refusal(file, Columns(label="text")) == (
        "datasets.toy.text=null: no column of x.csv is called text and none holds texts; set datasets.toy.text to "
        '"n", or add a first line with the columns\' names if there is none'
    )


def test_several_texts_are_joined_and_empty_ones_left_out() -> None:
    file = put_csv("x.csv", [("A", "", "x"), ("", "B", "y"), ("C", "D", "x")], ["title", "body", "label"])
    assert texts(table(file, Columns(("title", "body")))) == ["A", "B", "C\nD"]
    assert texts(table(file, Columns(("body", "title")))) == ["A", "B", "D\nC"]
    put("x.csv", "title,body,label\nA,,x\n,,y\n")
    assert refusal("x.csv", Columns(("title", "body"))) == (
        "datasets.toy.text=[title,body]: x.csv: row 2 (line 3): an empty text; remove these rows or fill them"
    )


def test_a_column_has_one_use() -> None:
    assert refusal(put("x.csv", GOOD), Columns(label="label", group="label")) == (
        'datasets.toy: the column "label" has two uses; each needs its own column'
    )


def test_groups_are_numbered_and_must_be_there() -> None:
    rows = [("a", "x", "g1"), ("b", "y", "g2"), ("c", "x", "g1")]
    groups = table(put_csv("x.csv", rows, ["text", "label", "who"]), Columns(group="who")).groups
    assert groups is not None
    assert (groups[0] == groups[2], groups[0] == groups[1], sorted(set(groups))) == (True, False, [0, 1])
    put_csv("x.csv", [*rows, ("d", "y", "")], ["text", "label", "who"])
    assert refusal("x.csv", Columns(group="who")) == (
        "datasets.toy.group=who: x.csv: row 4 (line 5): no group; remove these rows or fill them"
    )


@pytest.mark.parametrize(
    "times",
    [
        [3, 1, 2],
        [0.3, 0.1, 0.2],
        ["10", "2", "3.5"],
        ["2026-03-01", "2025-12-31T23:59:59", "2026-01-01 00:00"],
        ["2026-01-01T03:00+00:00", "2026-01-01T03:00+02:00", "2026-01-01T02:00Z"],
        [date(2026, 3, 1), date(2026, 1, 1), date(2026, 2, 1)],
        [datetime(2026, 3, 1), datetime(2026, 1, 1), datetime(2026, 2, 1)],
        [np.datetime64(9000, "ns"), np.datetime64(-9000, "ns"), np.datetime64(-1, "ns")],
    ],
)
def test_times_are_sortable(times: list) -> None:
    rows = [*zip("abc", "xyx", times, strict=True)]
    result = table(put_parquet("x.parquet", rows, ["text", "label", "when"]), Columns(time="when")).times
    assert np.argsort(result).tolist() == [1, 2, 0]


@pytest.mark.parametrize(
    ("time", "line"),
    [
        ("yesterday", "x.csv: row 2 (line 3): no time; allowed are numbers and ISO 8601, e.g. 2026-11-29T18:30"),
        ("", "x.csv: row 2 (line 3): no time; allowed are numbers and ISO 8601, e.g. 2026-11-29T18:30"),
        ("5", "the column of x.csv holds dates and numbers, which cannot be put into one order"),
        (
            "2026-01-01T00:00Z",
            "the column of x.csv holds dates and dates with an offset, which cannot be put into one order",
        ),
    ],
)
def test_times_that_have_no_order_are_refused(time: str, line: str) -> None:
    file = put_csv("x.csv", [("a", "x", "2026-01-01"), ("b", "y", time)], ["text", "label", "when"])
    assert refusal(file, Columns(time="when")) == f"datasets.toy.time=when: {line}"


def test_a_split_column_is_guessed_by_its_name_and_all_its_values() -> None:
    file = put_csv("x.csv", [("a", "x", "train"), ("b", "y", "Test"), ("c", "y", "dev")], ["text", "label", "Split"])
    result = table(file)
    assert result.parts is not None
    assert (result.parts.tolist(), result.columns.split) == ([0, 2, 1], "Split")
    assert result.guesses[1] == (
        'the column "Split" divides the rows into train, validation and test, unless datasets.toy.split=none'
    )
    undivided = table(file, Columns(split="none"))
    assert undivided.parts is None
    assert undivided.guesses == ('text is the column "text", label is "label"; not read: "Split"',)
    named_none = put_csv("none.csv", [("a", "x", "train"), ("b", "y", "test")], ["text", "label", "none"])
    assert table(named_none, Columns(split="none")).columns.split == "none"
    put_csv("x.csv", [("a", "x", "1"), ("b", "y", "2")], ["text", "label", "fold"])
    assert table("x.csv").parts is None
    assert refusal("x.csv", Columns(split="fold")) == (
        "datasets.toy.split=fold: x.csv: row 1 (line 2) and row 2 (line 3): no known part; allowed are train, "
        "validation, valid, val, dev, test"
    )


# Rows


def test_blank_lines_and_a_byte_order_mark_shift_nothing() -> None:
    content = '\ufeff\n\ntext,label\n\na,x\n\n\n"b\n\nc",y\n\n'
    result = table(put("x.csv", content))
    assert (texts(result), names(result)) == (["a", "b\n\nc"], ["x", "y"])


def test_utf_16_with_a_byte_order_mark_is_read() -> None:
    assert texts(table(put("x.csv", GOOD.encode("utf-16")))) == [text for text, _ in ROWS]


def test_quotes_in_unquoted_fields_are_theirs() -> None:
    result = table(put("x.csv", 'text,label\n5" disk,x\na ""b"" c,y\n"say ""no""",x\n'))
    assert texts(result) == ['5" disk', 'a ""b"" c', 'say "no"']


@pytest.mark.parametrize(
    ("content", "row"),
    [
        ('text,label\n"Good film,x\nbar,y\nbad film",y\nfoo,x\n', "row 1 (line 2)"),
        ('id,text,label\n1,foo,x\n2,"Good film,y\n3,bad film",y\n', "row 2 (line 3)"),
        ('label;text\nx;foo\ny;"Good film\nx;bar; baz"\n', "row 2 (line 3)"),
    ],
)
def test_rows_that_stray_quotes_may_have_swallowed_are_pointed_out(content: str, row: str) -> None:
    assert table(put("x.csv", content)).guesses[1:] == (
        f"x.csv: {row}: a text has lines that look like rows; if they are rows, its opening quote is a stray one",
    )


def test_other_line_breaks_are_no_doubt() -> None:
    rows = [("Dear Sir,\nI write, as you know", "x"), ("x\ny", "y"), ("a,\n,b", "x")]
    assert len(table(put_csv("x.csv", rows)).guesses) == 1


def test_line_breaks_in_fields_are_kept_in_a_file_of_many_blocks() -> None:
    rows = [(f'row {i}\nsays "{"long " * 50}"\r\nand ends', "xyz"[i % 3]) for i in range(12_000)]
    file = put_csv("x.csv", rows)
    result = table(file)
    assert Path(file).stat().st_size > 3 * csv_rows.BLOCK
    assert list(zip(texts(result), names(result), strict=True)) == rows


@pytest.mark.parametrize("tail", ["", '5" disk,x\n'])
def test_a_text_longer_than_a_block_is_read(tail: str) -> None:
    rows = [("a" * (csv_rows.BLOCK + 5), "x"), ("b", "y")]
    assert texts(table(put("x.csv", Path(put_csv("y.csv", rows)).read_text() + tail)))[:2] == [rows[0][0], "b"]


def test_a_long_text_behind_many_rows_repeats_none_of_them() -> None:
    rows = [(f"row {i} {'long ' * 100}", "xy"[i % 2]) for i in range(5_000)]
    rows += [("a" * (2 * csv_rows.BLOCK), "x"), ("b", "y")]
    assert texts(table(put_csv("x.csv", rows))) == [text for text, _ in rows]


@pytest.mark.parametrize(
    ("content", "plain"),
    [
        ('a,"b"\n', True),
        ('"a ""b""\n",c\r\n"",""\n', True),
        ('"a""",b', True),
        ("a,b", True),
        ("", True),
        ('a,"b', False),
        ('a,5" b\n', False),
        ('"a"b,c\n', False),
        ('a,"b" \n', False),
        ('"a\n"b"\n', False),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_plain_quotes_are_known_however_the_file_is_divided(content: str, plain: bool, size: int) -> None:
    data = content.encode()
    assert csv_rows.quotes_are_plain((data[i : i + size] for i in range(0, len(data), size)), ",") == plain


def test_a_field_without_end_is_not_held_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_rows, "LONGEST_FIELD", 2**17)
    assert refusal(put("x.csv", 'text,label\na,x\n"' + "b,y\n" * 2**16)) == (
        "datasets.toy.files=x.csv: row 2 (line 3) has a field of more than 131,072 characters; is its quote never "
        "closed?"
    )


def test_a_mistake_far_behind_stray_quotes_is_found_by_the_second_reader() -> None:
    rows = [(f"row {i} {'long ' * 100}", "xy"[i % 2]) for i in range(9_000)]
    whole = Path(put_csv("x.csv", rows)).read_text()
    assert refusal(put("x.csv", whole + "a,b,c\n")) == (
        "datasets.toy.files=x.csv: the header has 2 columns; other numbers of fields in row 9,001 (line 9,002), first "
        '3; a text with "," or a line break in it must stand in double quotes'
    )


def test_batches_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "LARGEST_BATCH", 10)
    result = table(put("x.csv", "text,label\naaaa,x\nbbbb,y\ncccccccccccccccc,x\nd,y\ne,x\n"))
    assert [batch.to_pylist() for batch in result.texts()] == [["aaaa", "bbbb"], ["c" * 16], ["d", "e"]]


def test_each_pass_over_the_texts_is_a_fresh_one() -> None:
    result = table(put("x.csv", GOOD))
    first = next(iter(result.texts()))
    assert first.to_pylist() == texts(result) == [text for text, _ in ROWS]


def test_a_file_that_changes_later_is_noticed() -> None:
    result = table(put("x.csv", GOOD))
    put("x.csv", GOOD.replace("text 7", "TEXT 7"))
    with pytest.raises(ConfigError, match=r"files=x.csv: changed while it was read; start again when nobody writes"):
        texts(result)


# Identity


def test_equal_texts_have_equal_hashes_in_every_process() -> None:
    hashes = table(put("x.csv", "text,label\na,x\nb,y\na,y\n")).hashes
    assert hashes.tolist() == [3405396810240292928, 8453121595177857668, 3405396810240292928]


def test_the_fingerprint_is_of_the_content(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("a", "x"), ("b", "y"), ("c", "x")]
    first = table(put_csv("x.csv", rows)).fingerprint
    assert table(put_csv("deeper/other.csv", rows, lineterminator="\n")).fingerprint == first
    assert table(put_jsonl("x.jsonl", rows)).fingerprint == first
    monkeypatch.chdir("deeper")
    assert table(str(tmp_path / "x.csv")).fingerprint == first
    changed = [rows[::-1], [("a", "x"), ("b", "x"), ("c", "y")], [("ab", "x"), ("", "y")], [*rows, ("d", "y")]]
    fingerprints = {
        table(put_csv("x.csv", [(f"{text}.", label) for text, label in other])).fingerprint for other in changed
    }
    assert len(fingerprints | {first}) == 5
    divided = [[("ab", "x"), ("c", "y")], [("a", "x"), ("bc", "y")]]
    assert len({table(put_csv("x.csv", other)).fingerprint for other in divided}) == 2
    grouped = put_csv("x.csv", [(*row, "g") for row in rows], ["text", "label", "group"])
    assert table(grouped).fingerprint == first
    assert table(grouped, Columns(group="group")).fingerprint != first


def test_the_order_of_rows_is_part_of_it_even_across_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(f"{random.Random(i).random()}, words", "xy"[i % 2]) for i in range(3000)]
    first = table(put_csv("x.csv", rows))
    monkeypatch.setattr(csv_rows, "BLOCK", 1000)
    small = table("x.csv")
    assert (small.fingerprint, texts(small)) == (first.fingerprint, [text for text, _ in rows])


def test_blanks_around_an_object_are_no_matter() -> None:
    file = put("x.jsonl", ' {"text": "a", "label": "x"} \r\n\t{"text": "b", "label": "y"}')
    assert texts(table(file)) == ["a", "b"]
    assert refusal(put("x.jsonl", FIRST_OBJECT * 2 + FIRST_OBJECT.strip() * 2)) == (
        "datasets.toy.files=x.jsonl: line 3 is no JSON (Extra data, column 28); expected one object a line (JSON Lines)"
    )
