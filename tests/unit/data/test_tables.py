"""Tables that cannot be read, each refused in one line."""

import gzip
import json
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.labelled import names, put, put_parquet, refusal, table, texts

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
