"""Whole texts: the documents of a dataset before they are cut, in the same parts."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from conf.schema import Data
from pipelines.data import archives, cache, dataset, whole
from pipelines.data.tables import scan
from sweeps.text_encoder import OFFSET, START, UNKNOWN
from sweeps.trials.spec import Dataset, Split
from tests.corpora import npz, put, toy

pytestmark = pytest.mark.usefixtures("home")
TEXTS = [" ".join(["common", f"word{n % 20}", *[f"text{n}"] * (n % 9), "end"]) for n in range(200)]


def documents_of(split: Split) -> list[list[int]]:
    starts = np.flatnonzero(split.x == START)
    return [part.tolist() for part in np.split(split.x, starts[1:])]


def archive(folder: Path, **changes: object) -> Data:
    content = put(folder / "toy.npz", npz(**toy()))
    return Data(**{"archive": str(content), "num_words": 30, "maxlen": 10, "num_classes": 2, **changes})


def table(folder: Path, **changes: object) -> Data:
    path = folder / "reviews.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *((text, n % 2) for n, text in enumerate(TEXTS))])
    return Data(**{"files": [str(path)], "num_words": 10, "maxlen": 4, **changes})


def both(settings: Data) -> tuple[Dataset, Dataset]:
    return dataset.load(name="toy", settings=settings), whole.load(name="toy", settings=settings)


def check_it_is_the_same_but_uncut(cut: Dataset, uncut: Dataset) -> None:
    """Each document, once cut, is the one that the networks get; so the parts have the same documents in order."""
    for one, other in zip(cut[:3], uncut[:3], strict=True):
        assert one.y.tolist() == other.y.tolist()
        found = documents_of(other)
        assert len(found) == len(one.y)
        for ids, document in zip(one.x.tolist(), found, strict=True):
            rare = [UNKNOWN if id_ >= cut.num_words else id_ for id_ in document]
            assert [id_ for id_ in ids if id_] == rare[-cut.maxlen :]


@pytest.mark.parametrize("validation", [0.2, "test"])
def test_documents_of_an_archive_are_in_the_same_parts_with_every_word(validation: object, tmp_path: Path) -> None:
    settings = archive(tmp_path, validation=validation)
    cut, uncut = both(settings)
    check_it_is_the_same_but_uncut(cut, uncut)
    every = toy()
    longest = max(len(document) for part in ("x_train", "x_test") for document in every[part])
    assert (uncut.maxlen, uncut.num_words, uncut.num_classes) == (longest + 1, 49 + OFFSET + 1, 2)
    assert documents_of(uncut.test) == [[START, *(rank + OFFSET for rank in ranks)] for ranks in every["x_test"]]


@pytest.mark.parametrize("validation", [0.2, "test"])
def test_texts_of_a_table_are_in_the_same_parts_with_every_word(validation: object, tmp_path: Path) -> None:
    cut, uncut = both(table(tmp_path, validation=validation))
    check_it_is_the_same_but_uncut(cut, uncut)
    assert sorted(map(len, documents_of(uncut.test)))[-1] > cut.maxlen
    assert UNKNOWN not in uncut.train.x  # the vocabulary is that of train alone
    assert UNKNOWN in uncut.test.x


def test_pieces_of_words_stay_those_that_the_networks_get(tmp_path: Path) -> None:
    cut, uncut = both(table(tmp_path, tokens="bpe", num_words=60))
    check_it_is_the_same_but_uncut(cut, uncut)
    assert uncut.num_words == 60


def test_the_most_frequent_words_have_ids_where_there_are_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole, "WORDS", 20)
    for settings in (archive(tmp_path), table(tmp_path)):
        uncut = whole.load(name="toy", settings=settings)
        assert uncut.num_words == 20
        assert int(uncut.train.x.max()) == 19
        assert UNKNOWN in uncut.train.x


def test_a_file_that_is_known_is_read_once_however_the_networks_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = [whole.load(name="toy", settings=make(tmp_path)) for make in (archive, table)]
    monkeypatch.setattr(archives, "parse", None)
    monkeypatch.setattr(scan, "read", None)
    again = [whole.load(name="toy", settings=archive(tmp_path, maxlen=7, keep="first"))]
    again.append(whole.load(name="toy", settings=table(tmp_path, maxlen=7, num_words=12)))
    assert [each.digest for each in again] == [each.digest for each in first]


@pytest.mark.parametrize("make", [archive, table])
def test_a_machine_without_the_file_has_it_by_its_digest(
    make: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make(tmp_path)  # type: ignore[operator]
    known = whole.load(name="toy", settings=settings)
    entry = cache.with_digest(known.digest)
    assert entry is not None
    for file in tmp_path.glob("*.*"):
        file.unlink()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another machine"))

    def piece(name: str, start: int) -> bytes:
        path = entry.folder / name
        return path.read_bytes()[start : start + cache.PIECE] if path.exists() else b""

    cache.fetch(known.digest, piece)
    there = whole.load(name="toy", settings=settings, digest=known.digest)
    assert there[3:] == known[3:]
    assert documents_of(there.train) == documents_of(known.train)


def test_reading_a_table_again_tells_its_progress(tmp_path: Path) -> None:
    steps: list[str] = []
    whole.load(name="toy", settings=table(tmp_path), on_progress=lambda step, done, total: steps.append(step))
    assert list(dict.fromkeys(steps))[-2:] == ["learning the words of the whole texts", "encoding the whole texts"]
