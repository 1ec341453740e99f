"""Tables of texts as datasets: divided, encoded with a vocabulary of train only, cached, and audited."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from conf.schema import ConfigError, Data, Text
from pipelines.data import cache, table_dataset
from pipelines.data.dataset import load
from pipelines.data.tables import scan
from sweeps.text_encoder import TextEncoder
from sweeps.trials.spec import Dataset

pytestmark = pytest.mark.usefixtures("home")
ROWS = [(f"common word{n % 20} text{n}", ("good", "bad")[n % 2], str(n // 4)) for n in range(200)]


def table(folder: Path, rows=ROWS, columns=("text", "label", "author")) -> Path:
    path = folder / "reviews.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


def settings(path: Path, **changes: object) -> Data:
    return Data(**{"files": [str(path)], "num_words": 40, "maxlen": 6, **changes})


def loaded(path: Path, **changes: object) -> Dataset:
    return load(name="reviews", settings=settings(path, **changes))


def vocabulary(digest: str) -> dict[str, int]:
    entry = cache.with_digest(digest)
    assert entry is not None
    words: dict[str, int] = json.loads(entry.vocabulary())
    return words


def test_the_digest_of_the_texts_depends_on_texts_labels_and_split_alone(tmp_path):
    path = table(tmp_path)
    first = loaded(path).audit.texts
    assert loaded(path, num_words=20, maxlen=3, tokens="characters").audit.texts == first
    assert loaded(path, split_seed=2).audit.texts != first
    path = table(tmp_path, [(f"{text} more", *others) for text, *others in ROWS])
    assert loaded(path).audit.texts not in ("", first)


def test_every_row_is_in_one_part_with_its_label(tmp_path):
    path = table(tmp_path)
    dataset = loaded(path)
    assert [len(part.y) for part in dataset[:3]] == [128, 32, 40]
    source, division = table_dataset.read("reviews", settings(path))
    encoder = TextEncoder(
        table_dataset.encoder_settings(settings(path)), json.dumps(vocabulary(dataset.digest)).encode()
    )
    texts = np.array([text for text, _, _ in ROWS])
    for part, split in enumerate(dataset[:3]):
        chosen = division.parts == part
        assert split.x.tolist() == encoder.encode(texts[chosen].tolist()).tolist()
        assert [dataset.audit.labels[y] for y in split.y] == [label for _, label, _ in np.array(ROWS)[chosen]]
    assert source.labels == dataset.audit.labels == ("bad", "good")


def test_the_vocabulary_is_that_of_train_alone(tmp_path):
    path = table(tmp_path)
    dataset = loaded(path, num_words=1000)
    _, division = table_dataset.read("reviews", settings(path, num_words=1000))
    own = {word for (text, _, _), part in zip(ROWS, division.parts, strict=True) if part == 0 for word in text.split()}
    assert vocabulary(dataset.digest).keys() == own


def test_a_group_is_on_one_side(tmp_path):
    path = table(tmp_path)
    _, division = table_dataset.read("reviews", settings(path, group="author"))
    sides = {}
    for (_, _, author), part in zip(ROWS, division.parts.tolist(), strict=True):
        sides.setdefault(author, set()).add(part)
    assert all(len(parts) == 1 for parts in sides.values())
    assert loaded(path, group="author").audit.groups == 50


def test_a_file_of_test_documents_stays_whole_and_its_texts_leave_train(tmp_path):
    path = table(tmp_path)
    given = tmp_path / "test.csv"
    given.write_text("text,label\n" + "\n".join(f"{text},{label}" for text, label, _ in ROWS[:10]) + "\n")
    dataset = loaded(path, test=[str(given)])
    assert len(dataset.test.y) == 10
    assert dataset.audit.left_out == 10
    assert "10 rows are left out of train and validation" in dataset.audit.notes[-1]
    assert loaded(path, test=[str(given)], duplicates="keep").audit.left_out == 0


def test_validation_test_is_the_test_split(tmp_path):
    dataset = loaded(table(tmp_path), validation="test")
    assert dataset.validation.x.tolist() == dataset.test.x.tolist()
    assert (len(dataset.train.y), len(dataset.test.y)) == (160, 40)


RARE = [*ROWS, ("a rare text", "odd", "x"), ("another one", "odd", "y"), ("a last one", "single", "z")]


@pytest.mark.parametrize(
    ("rare", "labels", "left_out"),
    [
        ("keep", ("bad", "good", "odd", "single"), 0),
        ("merge", ("bad", "good", "other"), 0),
        ("drop", ("bad", "good"), 3),
    ],
)
def test_rare_labels_are_kept_merged_or_dropped(tmp_path, rare, labels, left_out):
    found = loaded(table(tmp_path, RARE), rare=rare).audit
    assert (found.labels, found.left_out) == (labels, left_out)
    assert "2 labels have too few texts for train, validation and test (odd, single)" in found.notes[-1]


def test_only_rare_labels_are_refused(tmp_path):
    few = [(f"text {n}", f"label {n // 2}", "") for n in range(6)]
    with pytest.raises(ConfigError, match=r"^datasets\.reviews\.rare=drop: leaves 0 of the labels; there must be two"):
        loaded(table(tmp_path, few), rare="drop")


def test_a_label_that_only_the_test_documents_have_is_told(tmp_path):
    given = tmp_path / "test.csv"
    given.write_text("text,label\nnew,good\nnewer,strange\n")
    assert loaded(table(tmp_path), test=[str(given)]).audit.notes[-1] == (
        "no text of strange is in train, so that no model can answer it"
    )


@pytest.mark.parametrize(
    ("rows", "changes", "beginning"),
    [
        (ROWS, {"test": 0.999}, "datasets.reviews.test=0.999 and datasets.reviews.validation=0.2: no row is left for"),
        (ROWS[:2], {"split": "author"}, "datasets.reviews.validation=0.2: no row is left for"),
        ([(f"text {n}", f"label {n // 2}", "") for n in range(20)], {}, "datasets.reviews.test=0.2 and "),
    ],
    ids=["too large a part", "parts of the table", "too many labels"],
)
def test_a_division_without_a_row_names_its_settings_and_the_rows(tmp_path, rows, changes, beginning):
    rows = [(*row[:2], ("train", "test")[n % 2]) for n, row in enumerate(rows)] if "split" in changes else rows
    path = table(tmp_path, rows)
    with pytest.raises(ConfigError) as refused:
        loaded(path, **changes)
    labels = len({label for _, label, _ in rows})
    assert str(refused.value).startswith(beginning)
    assert str(refused.value).endswith(
        f"{path} has {len(rows)} rows of {labels} labels to divide; a label with at least 3 texts that are not kept "
        "together is in every part"
    )


def test_a_cached_table_is_not_parsed_again(tmp_path, monkeypatch):
    path = table(tmp_path)
    first = loaded(path)
    monkeypatch.setattr(scan, "read", lambda *_: pytest.fail("was read again"))
    assert loaded(path).digest == first.digest
    path.unlink()
    assert load(name="reviews", settings=settings(path), digest=first.digest).digest == first.digest
    with pytest.raises(ConfigError, match="no such file"):
        loaded(path)


@pytest.mark.parametrize(
    "change",
    [{"maxlen": 5}, {"num_words": 30}, {"tokens": "characters"}, {"keep": "first"}, {"split_seed": 1}, {"test": 0.3}],
    ids=str,
)
def test_another_setting_is_another_digest(tmp_path, change):
    path = table(tmp_path, [(f"first of all {text} and more", label, author) for text, label, author in ROWS])
    assert loaded(path, **change).digest != loaded(path).digest


def test_another_content_is_another_digest(tmp_path):
    first = loaded(table(tmp_path)).digest
    assert loaded(table(tmp_path, ROWS[::-1])).digest != first
    assert loaded(table(tmp_path)).digest == first


def test_texts_of_several_columns_are_joined(tmp_path):
    path = table(tmp_path)
    one, both = loaded(path), loaded(path, text=Text(columns=["text", "author"]))
    assert one.audit.lengths[0] == 3
    assert both.audit.lengths[0] == 4


def test_a_vocabulary_without_a_token_is_refused(tmp_path):
    path = table(tmp_path, [(". " * n, ("good", "bad")[n % 2], "") for n in range(1, 30)])
    with pytest.raises(ConfigError, match=r"^datasets\.reviews\.tokens=words: the texts hold no token"):
        loaded(path)


def test_the_steps_of_a_table_tell_their_progress(tmp_path):
    told: list[tuple[str, int, int | None]] = []
    path = table(tmp_path)
    load(name="reviews", settings=settings(path), on_progress=lambda *progress: told.append(progress))
    (reading, done, expected), *others = told
    assert (reading, done) == ("reading", len(ROWS))
    assert len(ROWS) / 2 < expected < 2 * len(ROWS)
    assert others == [("learning the vocabulary", len(ROWS), len(ROWS)), ("encoding", len(ROWS), len(ROWS))]
    told.clear()
    load(name="reviews", settings=settings(path), on_progress=lambda *progress: told.append(progress))
    assert told == []  # it is in the cache
