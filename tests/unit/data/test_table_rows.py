"""The rows of a table: that none is lost, repeated or torn, and what identifies them."""

import random
from pathlib import Path

import pytest

from conf.schema import ConfigError
from pipelines.data.tables import csv_rows, scan
from pipelines.data.tables.scan import Columns
from tests.labelled import names, put, put_csv, put_jsonl, refusal, table, texts

ROWS = [(f"a text {i}", "ab"[i % 2]) for i in range(12)]
OBJECT = '{"text": "a", "label": "x"}'
GOOD = "text,label\n" + "".join(f"{text},{label}\n" for text, label in ROWS)


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
    assert refusal(put("x.jsonl", f"{OBJECT}\n" * 2 + OBJECT * 2)) == (
        "datasets.toy.files=x.jsonl: line 3 is no JSON (Extra data, column 28); expected one object a line (JSON Lines)"
    )
