"""`data=` names a table by its path, and `datasets.<name>` has its settings."""

from __future__ import annotations

import re
from contextlib import nullcontext
from pathlib import Path

import pytest

from conf import tables
from conf.compose import compose
from conf.schema import Config, ConfigError, Data


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def composed(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> list[Config]:
    monkeypatch.setattr("sys.argv", ["sweep", *arguments])
    return [job.config for job in compose()]


def dataset(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[str, Data]:
    (config,) = composed(monkeypatch, *arguments)
    ((name, data),) = config.datasets.items()
    return name, data


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("reviews.csv", "reviews"),
        ("data/reviews.v2.csv.gz", "reviews"),
        ("my reviews (2).jsonl", "my_reviews_2"),
        ("parts/*.parquet", "parts"),
        ("folder/", "folder"),
        ("영화평.csv", "table_9960"),
        ("/영화/뉴스.csv", "table_5ac6"),
        ("영화/2026.csv", "table_1f0a"),
        ("./2026.csv", "table"),
    ],
)
def test_a_path_is_a_dataset_of_its_name(monkeypatch, folder, path, name):
    assert dataset(monkeypatch, f"data={path}")[0] == name
    assert dataset(monkeypatch, f"data={path}")[1].files == [str(folder / path).rstrip("/")]


def test_a_folder_without_a_suffix_is_a_table_if_it_exists(monkeypatch, folder):
    (folder / "newsgroups").mkdir()
    assert dataset(monkeypatch, "data=newsgroups")[1].files == [str(folder / "newsgroups")]
    with pytest.raises(
        ConfigError, match=r"^data=newsgroup: no such option; allowed: imdb, reuters, and the path of a table$"
    ):
        composed(monkeypatch, "data=newsgroup")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["data=reviews.cvs"], "data=reviews.cvs: no such file or folder; did you mean 'reviews.csv'?"),
        (["data=[imdb,./reviews.csv,no/x.csv]"], "data=no/x.csv: no such file or folder"),
        (["-m", "data=imdb,*.tsv"], "data=*.tsv: no file matches"),
        (["data=reviews.csv", "trials=3"], ""),
        (["data=[reviews,*.csv,s3://bucket/x.csv]"], ""),
    ],
)
def test_a_path_with_nothing_there_is_refused_as_it_was_typed(folder, arguments, line):
    (folder / "reviews.csv").touch()
    with pytest.raises(ConfigError, match=f"^{re.escape(line)}$") if line else nullcontext():
        tables.refuse_missing(arguments)


def test_a_name_that_is_no_dataset_may_be_that_of_a_file(monkeypatch, folder):
    (folder / "reviews.csv").touch()
    with pytest.raises(ConfigError, match=r"^data=reviews: no such option; .* did you mean 'reviews\.csv'\?$"):
        composed(monkeypatch, "data=reviews")


def test_an_address_stays_as_it_is(monkeypatch):
    assert dataset(monkeypatch, "data=s3://bucket/reviews.parquet")[1].files == ["s3://bucket/reviews.parquet"]


def test_tables_and_named_datasets_can_be_mixed(monkeypatch):
    (config,) = composed(monkeypatch, "data=[imdb,a.csv,b.csv]")
    assert list(config.datasets) == ["imdb", "a", "b"]
    configs = composed(monkeypatch, "-m", "data=a.csv,imdb")
    assert [list(config.datasets) for config in configs] == [["a"], ["imdb"]]


def test_two_tables_of_one_name_are_refused(monkeypatch):
    with pytest.raises(ConfigError, match=r"^data=b/x\.tsv: there is another dataset named x; rename the file$"):
        composed(monkeypatch, "data=[a/x.csv,b/x.tsv]")


@pytest.mark.parametrize("text", ["본문", "body", "[body]", '"body"'])
def test_the_settings_of_a_table(monkeypatch, folder, text):
    settings = [f"datasets.x.text={text}", "datasets.x.label=별점", "datasets.x.test=t.csv", "datasets.x.maxlen=30"]
    data = dataset(monkeypatch, "data=x.csv", *settings)[1]
    assert (data.label, data.test, data.maxlen) == ("별점", [str(folder / "t.csv")], 30)
    assert data.text.columns == (["본문"] if text == "본문" else ["body"])


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["data=x.csv", "datasets.x.lable=y"], "datasets.x.lable: no such key, given .*; did you mean 'label'?"),
        (["data=x.csv", "datasets.x.sha256=y"], r"datasets.x.sha256=y: a table \(files\) does not take it"),
        (["data=x.csv", "datasets.x.text.words=y"], r"datasets.x.text.words=.*: a table \(files\) does not take it"),
        (["data=imdb", "datasets.imdb.label=y"], "datasets.imdb.label=y: a dataset without files does not take it"),
        (
            ["data=imdb", "datasets.imdb.text=y"],
            r"datasets.imdb.text.columns=\['y'\]: a dataset without files does",
        ),
        (["data=x.csv", "datasets.x.test=2"], "datasets.x.test=2: must be a fraction of the rows between 0 and 1"),
        (["data=x.csv", "datasets.x.rare=sell"], "datasets.x.rare=sell: allowed: keep, merge, drop"),
    ],
)
def test_keys_that_a_table_does_not_take_are_refused(monkeypatch, arguments, line):
    with pytest.raises(ConfigError, match=f"^{line}"):
        composed(monkeypatch, *arguments)


def test_a_value_that_no_path_can_be_is_none() -> None:
    long = f"tracking.experiment={'x' * 300}"
    assert tables.expanded([long], ["imdb"]) == [long]
