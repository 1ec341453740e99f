"""The columns of a table: which are named, which guessed, and what each is for."""

from datetime import date, datetime

import numpy as np
import pytest

from pipelines.data.tables.scan import Columns
from tests.labelled import put, put_csv, put_parquet, refusal, table, texts

GOOD = "text,label\n" + "".join(f"a text {i},{'ab'[i % 2]}\n" for i in range(12))


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


def test_columns_that_should_divide_the_rows_are_named_and_only_those() -> None:
    rows = [
        (f"a text {n}", "ab"[n % 2], f"source{n // 2}", f"2026-01-{n % 28 + 1:02}", f"title {n}", f"country{n % 3}")
        for n in range(60)
    ]
    names = ["text", "label", "source", "day", "heading", "country"]
    path = put_csv("x.csv", rows, names)
    groups = (
        '"source" has many values that repeat; if texts of one value are alike, datasets.toy.group=source keeps them '
        "in one part"
    )
    dates = '"day" has dates; if the model is for texts to come, datasets.toy.time=day tests on the latest'
    assert table(path).guesses[1:] == (groups, dates)
    assert table(path, Columns(group="source")).guesses[1:] == (dates,)
    assert table(path, Columns(time="day")).guesses[1:] == (groups,)
    assert table(path, Columns(("text",), "label", "source", "day")).guesses == ()
    typed = [(*row[:3], date(2026, 1, n % 28 + 1)) for n, row in enumerate(rows)]
    assert table(put_parquet("x.parquet", typed, names[:4])).guesses[1:] == (groups, dates)


def test_files_that_are_the_parts_need_no_column_to_divide_them() -> None:
    for part in ("train", "test"):
        rows = [(f"{part} {n}", "ab"[n % 2], f"source{n // 2}") for n in range(60)]
        put_csv(f"d/{part}.csv", rows, ["text", "label", "source"])
    assert not any("repeat" in line for line in table("d").guesses)
