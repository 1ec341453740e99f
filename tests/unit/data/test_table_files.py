"""The files that a table is read from: folders, globs, several files, compressed ones and addresses."""

import gzip
import os
import socket
from pathlib import Path

import fsspec
import pyarrow as pa
import pytest

from pipelines.data.tables import files as table_files
from pipelines.data.tables.scan import Columns
from tests.labelled import names, put, put_csv, put_jsonl, put_parquet, put_saved, refusal, table, texts

ROWS = [(f"a text {i}", "ab"[i % 2]) for i in range(12)]
SUFFIXES = ".csv, .tsv and .jsonl (each also with .gz or .zst), .parquet, .arrow, or a folder of them or of texts"
FOLDERS = "expected a folder of texts for each label, as <folder>/<label>/*.txt"


def parts(result):
    return None if result.parts is None else result.parts.tolist()


# One file


@pytest.mark.parametrize("file", ["x.xlsx", "x.csv.zip", "x", "x.parquet.gz", "x.txt"])
def test_an_unknown_suffix_is_refused(file: str) -> None:
    put(file, "text,label\n")
    assert refusal(file) == f"datasets.toy.files={file}: its suffix names no table; allowed are {SUFFIXES}"


def test_what_is_not_there_is_refused() -> None:
    assert refusal("x.csv") == "datasets.toy.files=x.csv: no such file or folder"
    assert refusal("data/*.csv") == "datasets.toy.files=data/*.csv: no file matches"
    assert refusal([]) == "datasets.toy.files=[]: no file is named"
    assert refusal(put_csv("y.csv", ROWS), test=["unlike"]) == "datasets.toy.test=unlike: no such file or folder"
    assert refusal("y.cvs") == "datasets.toy.files=y.cvs: no such file or folder; did you mean 'y.csv'?"
    assert refusal("\x1bunlike") == "datasets.toy.files=\\x1bunlike: no such file or folder"


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize("suffixes", [".csv", ".jsonl", ".tsv"])
def test_compressed_files_are_read(suffixes: str, suffix: str) -> None:
    rows = [("a\nb", "x"), ('"c", d', "y")]
    options = {"delimiter": "\t"} if suffixes == ".tsv" else {}
    file = put_jsonl("x.jsonl", rows) if suffixes == ".jsonl" else put_csv(f"x{suffixes}", rows, **options)
    content = Path(file).read_bytes()
    packed = gzip.compress(content) if suffix == ".gz" else pa.compress(content, "zstd", asbytes=True)
    result = table(put(file + suffix, packed))
    assert list(zip(texts(result), names(result), strict=True)) == rows


# Several files


def test_several_files_are_one_table_in_their_order() -> None:
    files = [put_csv("b.csv", ROWS[:4]), put_jsonl("a.jsonl", ROWS[4:8]), put_parquet("c.parquet", ROWS[8:])]
    result = table(files)
    assert (texts(result), parts(result)) == ([text for text, _ in ROWS], None)


def test_a_glob_is_sorted_and_matches_in_folders_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("c", "a", "b"):
        put_csv(f"d/{name}/x.csv", [(name, "xy"[name == "a"])])
    assert texts(table("d/*/x.csv")) == texts(table("d/**/*.csv")) == ["a", "b", "c"]


def test_a_file_with_magic_characters_is_itself() -> None:
    assert texts(table(put_csv("x[1].csv", ROWS[:2]))) == ["a text 0", "a text 1"]


def test_no_file_counts_twice() -> None:
    put_csv("x.csv", ROWS)
    line = "named twice; its rows would count twice"
    assert refusal(["x.csv", "./x.csv"]) == f"datasets.toy.files=./x.csv: {line}"
    os.symlink("x.csv", "y.csv")
    assert refusal(["x.csv", "*.csv"]) == f"datasets.toy.files=x.csv: {line}"
    assert refusal("x.csv", test=["y.csv"]) == (
        "datasets.toy.test=y.csv: also one of the files; a test document must not be trained on"
    )


def test_files_with_other_columns_are_refused() -> None:
    put_csv("x.csv", ROWS)
    put_csv("y.csv", ROWS, ["body", "label"])
    assert refusal(["x.csv", "y.csv"]) == (
        'datasets.toy.files=y.csv: has no column "text", as x.csv has; its columns are "body" and "label"'
    )
    put_csv("y.csv", [(*reversed(row), 1) for row in ROWS], ["label", "text", "more"])
    assert texts(table(["x.csv", "y.csv"])) == [text for text, _ in ROWS * 2]


def test_rows_are_counted_in_their_own_file() -> None:
    put_csv("x.csv", ROWS)
    put_csv("y.csv", [("a", "x"), ("b", "")])
    assert refusal(["x.csv", "y.csv"]) == (
        "datasets.toy.label=label: y.csv: row 2 (line 3): no label; remove these rows or fill them"
    )


def test_labels_of_two_kinds_in_two_files_are_refused() -> None:
    files = [put_parquet("x.parquet", [("a", 1), ("b", 2)]), put_csv("y.csv", [("c", "one")])]
    assert refusal(files) == "datasets.toy.label=label: the column of y.csv holds both numbers and texts"


def test_test_files_are_the_test_part() -> None:
    result = table(put_csv("x.csv", ROWS), test=[put_csv("y.csv", ROWS[:2])])
    assert parts(result) == [0] * 12 + [2] * 2
    put_csv("z.csv", [(*row, "train") for row in ROWS], ["text", "label", "split"])
    assert parts(table("z.csv", test=["y.csv"])) == [0] * 12 + [2] * 2
    assert refusal("z.csv", Columns(split="split"), ["y.csv"]) == (
        "datasets.toy.split=split: the files already say which rows are for training; use either"
    )


# Folders of tables


@pytest.mark.parametrize("middle", ["validation", "valid", "val", "dev"])
def test_the_parts_of_a_folder_are_known_by_name(middle: str) -> None:
    put_csv("d/test.csv", ROWS[8:])
    put_csv("d/Train.csv", ROWS[:6])
    put_jsonl(f"d/{middle}.jsonl", ROWS[6:8])
    put("d/sample_submission.csv", "id,label\n")
    put("d/.hidden.csv")
    result = table("d")
    assert parts(result) == [0] * 6 + [1] * 2 + [2] * 4
    assert texts(result) == [text for text, _ in ROWS]
    assert result.guesses[0] == "d: sample_submission.csv is not read"


def test_the_shards_of_a_part_are_read_in_order() -> None:
    Path("d").mkdir()
    put_parquet("d/train-00001-of-00002.parquet", ROWS[4:8])
    put_parquet("d/train-00000-of-00002.parquet", ROWS[:4])
    put_parquet("d/test-00000-of-00001.parquet", ROWS[8:])
    assert (texts(table("d")), parts(table("d"))) == ([text for text, _ in ROWS], [0] * 8 + [2] * 4)


def test_a_folder_of_tables_without_parts_is_one_table() -> None:
    put_csv("d/b.csv", ROWS[6:])
    put_csv("d/a.csv", ROWS[:6])
    put("d/README.md")
    result = table("d")
    assert (texts(result), parts(result), result.guesses[0]) == (
        [text for text, _ in ROWS],
        None,
        "d: README.md is not read",
    )


def test_a_folder_without_train_is_refused() -> None:
    put_csv("d/test.csv", ROWS)
    assert refusal("d") == "datasets.toy.files=d: holds test.csv, but no train"
    assert parts(table(put_csv("x.csv", ROWS), test=["d"])) == [0] * 12 + [2] * 12


@pytest.mark.parametrize("name", [b"\xff.csv", b"d/\xff/1.txt", b"d/\xff.csv"])
def test_names_that_are_not_utf_8_are_refused(name: bytes) -> None:
    put_csv("d/a.csv", ROWS)
    put(os.fsdecode(name), "x")
    entry = "d" if name.startswith(b"d") else os.fsdecode(name)
    assert refusal(entry).endswith(": cannot be read (a name in it is not UTF-8)")


def test_what_is_neither_file_nor_folder_is_refused() -> None:
    os.mkfifo("x.csv")
    assert refusal("x.csv") == "datasets.toy.files=x.csv: neither a file nor a folder"


def test_a_folder_of_tables_and_folders_is_refused() -> None:
    put_csv("d/labels.csv", ROWS)
    put("d/pos/1.txt", "x")
    assert refusal("d") == "datasets.toy.files=d: holds both tables and folders; name those that are meant"


# Folders of texts


def put_texts(folder, rows):
    for i, (text, label) in enumerate(rows):
        put(f"{folder}/{label}/{i:03d}.txt", text)


def test_a_folder_of_texts_for_each_label() -> None:
    put_texts("d", ROWS)
    put("d/README")
    put("d/.DS_Store", b"\xff")
    put("d/a/.DS_Store", b"\xff")
    result = table("d")
    assert list(zip(texts(result), names(result), strict=True)) == sorted(
        ROWS, key=lambda row: (row[1], int(row[0][7:]))
    )
    assert result.guesses == ("d: README is not read", "a text's label is the name of its folder")


def test_train_and_test_folders_as_those_of_acl_imdb() -> None:
    put_texts("d/test", ROWS[:2])
    put_texts("d/train", ROWS)
    put("d/train/unsup/1.txt", "x")
    put("d/train/urls_pos.txt")
    put("d/imdb.vocab")
    result = table("d")
    assert (parts(result), result.labels) == ([0] * 12 + [2] * 2, ("a", "b"))
    assert result.guesses[:2] == ("d/train: unsup and urls_pos.txt are not read", "d: imdb.vocab is not read")


def test_folders_that_are_no_labels_are_refused() -> None:
    put("one/a/1.txt", "x")
    assert refusal("one") == f"datasets.toy.files=one: holds the folder of one label only, a; {FOLDERS}"
    put("loose/1.txt", "x")
    put("loose/2.txt", "x")
    assert refusal("loose") == (
        f"datasets.toy.files=loose: holds 2 loose files and no folder; {FOLDERS}, or tables: {SUFFIXES}"
    )
    Path("empty.csv").mkdir()
    assert refusal("empty.csv") == f"datasets.toy.files=empty.csv: holds nothing; {FOLDERS}, or tables: {SUFFIXES}"
    put_texts("d", ROWS)
    assert refusal("d", Columns(label="a")) == (
        "datasets.toy.label=a: d is a folder of texts and has no columns; remove datasets.toy.label"
    )


def test_texts_that_cannot_be_read_are_named() -> None:
    put_texts("d", ROWS)
    put("d/b/x.txt", b"caf\xe9")
    os.symlink("nowhere", "d/b/y.txt")
    assert refusal("d") == (
        "datasets.toy.files=d: cannot read b/x.txt (not UTF-8) and b/y.txt (No such file or directory); every file "
        "below a label's folder is a text"
    )
    put_texts("e", [*ROWS, ("", "a"), (" ", "b")])
    assert refusal("e") == ("datasets.toy.text=text: e: a/012.txt: an empty text; remove these rows or fill them")


# Folders that `datasets` wrote


@pytest.mark.parametrize("class_names", [None, ["neg", "pos"]])
def test_a_saved_dataset(class_names) -> None:
    rows = [(text, "ab".index(label) if class_names else label) for text, label in ROWS]
    put_saved("d", rows, class_names=class_names)
    result = table("d")
    assert texts(result) == [text for text, _ in ROWS]
    expected = [class_names["ab".index(label)] if class_names else label for _, label in ROWS]
    assert names(result) == expected


def test_a_saved_dataset_of_several_parts() -> None:
    put_saved("d/train", ROWS[:8])
    put_saved("d/test", ROWS[8:], shards=1)
    put("d/dataset_dict.json", '{"splits": ["train", "test"]}')
    result = table("d")
    assert (texts(result), parts(result)) == ([text for text, _ in ROWS], [0] * 8 + [2] * 4)
    assert result.guesses == ('text is the column "text", label is "label"',)


def test_class_names_of_a_schema_are_used_and_minus_one_is_none() -> None:
    info = b'{"info": {"features": {"label": {"names": ["neg", "pos"], "_type": "ClassLabel"}}}}'
    columns = pa.table({"text": ["a", "b", "c"], "label": [1, 0, 1]}).replace_schema_metadata({b"huggingface": info})
    pa.parquet.write_table(columns, "x.parquet")
    assert names(table("x.parquet")) == ["pos", "neg", "pos"]
    columns = columns.set_column(1, "label", [pa.array([1, -1, 0])])
    pa.parquet.write_table(columns, "x.parquet")
    assert refusal("x.parquet") == (
        "datasets.toy.label=label: x.parquet: row 2: no label; remove these rows or fill them"
    )
    pa.parquet.write_table(columns.set_column(1, "label", [pa.array([1, 2, 0])]), "x.parquet")
    assert refusal("x.parquet") == (
        'datasets.toy.files=x.parquet: the column "label" holds 2; its schema names 2 classes, from 0 to 1'
    )


@pytest.mark.parametrize(
    ("state", "line"),
    [
        ("{", "its state.json is no JSON"),
        ("[]", "its state.json lists no data files"),
        (
            '{"_data_files": [{"filename": "../x.arrow"}]}',
            "its state.json names no stream files of this folder, or an order beside them; write it again with "
            "flatten_indices() and save_to_disk()",
        ),
        ('{"_data_files": [{"filename": "x.arrow"}]}', "cannot be read (No such file or directory)"),
    ],
)
def test_a_damaged_saved_dataset_is_refused(state: str, line: str) -> None:
    put_saved("d", ROWS)
    put("d/state.json", state)
    assert refusal("d") == f"datasets.toy.files=d: {line}"


def test_an_arrow_file_that_is_no_stream_is_refused() -> None:
    assert refusal(put("x.arrow", "text,label\n")).startswith("datasets.toy.files=x.arrow: cannot be read (")


# Addresses


def test_addresses_are_read_by_fsspec_where_pyarrow_does_not_know_them() -> None:
    memory = fsspec.filesystem("memory")
    put_csv("x.csv", ROWS)
    put_parquet("x.parquet", ROWS)
    for name in ("x.csv", "x.parquet"):
        memory.pipe(f"/box/{name}", Path(name).read_bytes())
        memory.pipe(f"/parts/train/{name}", Path(name).read_bytes())
    memory.pipe("/texts/a/1.txt", b"one")
    memory.pipe("/texts/b/2.txt", b"two")
    first = table("x.csv").fingerprint
    assert [table(f"memory://box/{name}").fingerprint for name in ("x.csv", "*.parquet", "**/*.csv")] == [first] * 3
    assert texts(table("memory://texts")) == ["one", "two"]
    assert parts(table("memory://parts/train/x.csv")) is None
    assert refusal("memory://box/*.tsv") == "datasets.toy.files=memory:///box/*.tsv: no file matches"


def test_an_address_without_an_answer_is_shown_as_it_was_given() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/x.csv"
    assert refusal(address) == f"datasets.toy.files={address}: no such file or folder, or no answer"


def test_a_file_address_is_a_path() -> None:
    assert texts(table(f"file://{Path(put_csv('x.csv', ROWS)).absolute()}")) == [text for text, _ in ROWS]


def test_unknown_protocols_are_refused() -> None:
    assert refusal("abc://x/y.csv") == (
        "datasets.toy.files=abc://x/y.csv: abc:// cannot be read here (Protocol not known: abc); "
        "copy the file to this machine"
    )


@pytest.mark.parametrize(
    "address", ["s3://key:secret@box/x.csv?secret_key=hidden", "abc://key:secret@box/x.csv?token=hidden"]
)
def test_no_secret_of_an_address_is_shown(address: str) -> None:
    scheme, reason = ("s3", "ArrowInvalid") if address.startswith("s3") else ("abc", "ValueError")
    assert refusal(address) == (
        f"datasets.toy.files={scheme}://box/x.csv: {scheme}:// cannot be read here ({reason}); copy the file to this "
        "machine"
    )


def test_names_in_messages_are_harmless() -> None:
    assert table_files.visible("a\x1b[31m\u202eb\n") == "a\\x1b[31m\\u202eb\\n"
    assert table_files.listed(["a"]) == "a"
    assert table_files.listed(list("abcdefg")) == "a, b, c, d, e and 2 more"
