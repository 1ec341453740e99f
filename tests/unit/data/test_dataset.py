import errno
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conf.schema import ConfigError
from pipelines.data import archives, cache, standin
from pipelines.data.splits import stratify
from sweeps.files import digest_of_arrays
from sweeps.text_encoder import encode
from sweeps.trials.spec import Split
from tests.corpora import (
    IMDB,
    REUTERS,
    arrays_of,
    assert_same,
    files_under,
    load_bytes,
    load_toy,
    needs_real_archives,
    npz,
    put,
    toy,
)

pytestmark = pytest.mark.usefixtures("home")


# Encoding


def encode_one(document, num_words, maxlen):
    """Encode as `keras.datasets.*.load_data` and `pad_sequences` do, word by word."""
    ids = [1] + [rank + 3 for rank in document]
    ids = [word if word < num_words else 2 for word in ids][-maxlen:]
    return [0] * (maxlen - len(ids)) + ids


@given(
    documents=st.lists(st.lists(st.integers(0, 60) | st.integers(0, 2**62), max_size=20), min_size=1, max_size=8),
    num_words=st.integers(4, 50),
    maxlen=st.integers(1, 12),
)
def test_encodes_as_keras_does(documents, num_words, maxlen):
    x = encode(documents, num_words=num_words, maxlen=maxlen, keep="last")
    assert x.dtype == np.int32
    assert x.tolist() == [encode_one(document, num_words, maxlen) for document in documents]


def test_an_archive_with_two_splits_keeps_its_order(home):
    members = toy()
    dataset = load_bytes(home, npz(**members), validation="test")
    for split, x, y in [(dataset.train, "x_train", "y_train"), (dataset.test, "x_test", "y_test")]:
        assert split.x.tolist() == [encode_one(document, 30, 10) for document in members[x]]
        assert split.y.tolist() == members[y].tolist()
        assert (split.x.dtype, split.y.dtype) == (np.int32, np.int64)
    assert (dataset.num_words, dataset.maxlen, dataset.num_classes, dataset.source) == (30, 10, 2, "archive")


def test_an_archive_with_one_split_is_split_as_keras_splits_reuters(home):
    documents, labels = [[rank] for rank in range(25)], np.arange(25) % 2
    dataset = load_bytes(home, npz(x=documents, y=labels), validation="test")
    order = np.arange(25)
    np.random.RandomState(113).shuffle(order)
    assert dataset.train.x[:, -1].tolist() == [encode_one([rank], 30, 10)[-1] for rank in order[:20]]
    assert dataset.train.y.tolist() == labels[order[:20]].tolist()
    assert dataset.test.x[:, -1].tolist() == [encode_one([rank], 30, 10)[-1] for rank in order[20:]]


# Validation


@given(
    labels=st.lists(st.integers(0, 6), min_size=1, max_size=80),
    fraction=st.floats(0.01, 0.99) | st.sampled_from([0.1, 0.2, 0.25, 0.29, 0.5]),
    seed=st.integers(0, 2**32 - 1),
)
def test_validation_is_cut_from_train_alike_of_every_class(labels, fraction, seed):
    labels = np.array(labels)
    sizes, total = np.bincount(labels), round(fraction * len(labels))
    if not 0 < total <= len(labels) - np.count_nonzero(sizes):
        with pytest.raises(ValueError, match=f"^would hold {total} of {len(labels)} documents"):
            stratify(labels, fraction, seed)
        return
    train, held_out = stratify(labels, fraction, seed)
    assert sorted([*train, *held_out]) == list(range(len(labels)))
    assert len(held_out) == total
    taken = np.bincount(labels[held_out], minlength=len(sizes))
    assert np.all(taken[sizes > 0] < sizes[sizes > 0])
    if np.all((fraction * sizes + 1 <= sizes - 1) | (sizes == 0)):  # no class so small that others must stand in for it
        assert np.all(np.abs(taken - fraction * sizes) < 1 + 1e-9)
    again = stratify(labels, fraction, seed)
    assert [part.tolist() for part in again] == [train.tolist(), held_out.tolist()]


def test_the_largest_remainders_are_rounded_up():
    labels = np.repeat([0, 1, 2], [10, 14, 16])  # a fifth: 2.0, 2.8, 3.2
    assert np.bincount(labels[stratify(labels, 0.2, 1)[1]]).tolist() == [2, 3, 3]


def test_the_split_is_drawn_by_its_seed():
    labels = np.arange(200) % 2
    assert stratify(labels, 0.2, 1)[1].tolist() != stratify(labels, 0.2, 2)[1].tolist()
    assert stratify(labels, 0.2, 1)[1].tolist() != list(range(40))


def test_train_and_validation_are_the_archives_train(home):
    members = toy()
    whole = load_bytes(home, npz(**members), validation="test")
    cut = load_bytes(home, npz(**members), validation=0.25)
    assert (len(cut.train.x), len(cut.validation.x)) == (30, 10)
    assert np.bincount(cut.validation.y).tolist() == [5, 5]
    rows = [[*x, y] for split in (cut.train, cut.validation) for x, y in zip(split.x.tolist(), split.y, strict=True)]
    assert sorted(rows) == sorted([*x, y] for x, y in zip(whole.train.x.tolist(), whole.train.y, strict=True))


def test_validation_test_is_the_test_split(home):
    dataset = load_bytes(home, npz(**toy()), validation="test")
    np.testing.assert_array_equal(dataset.validation.x, dataset.test.x)
    np.testing.assert_array_equal(dataset.validation.y, dataset.test.y)
    assert len(dataset.train.x) == 40


def test_a_validation_that_leaves_a_class_without_train_is_refused(home):
    with pytest.raises(ConfigError, match=r"^datasets\.toy\.validation=0\.99: would hold 40 of 40 documents"):
        load_bytes(home, npz(**toy()), validation=0.99)


# The cache


def entries(home):
    """Return all directories of the cache but the one of links to them."""
    return [path for path in (home / "cache/text-sweeps").iterdir() if path.name != cache.BY_DIGEST]


def encoded(home):
    """Return the directory of the only entry."""
    [entry] = entries(home)
    return entry


def forbid_encoding(monkeypatch):
    monkeypatch.setattr(archives, "parse", lambda *_: pytest.fail("was parsed again"))
    monkeypatch.setattr(standin, "generate", lambda **_: pytest.fail("was generated again"))


@pytest.mark.parametrize("source", ["auto", "standin"])
def test_the_second_load_maps_what_the_first_encoded(home, monkeypatch, source):
    content = npz(**toy())
    first = load_bytes(home, content, source=source)
    forbid_encoding(monkeypatch)
    second = load_bytes(home, content, source=source)
    assert_same(first, second)
    assert (first[3:], second.source) == (second[3:], first.source)
    assert all(isinstance(array, np.memmap) and not array.flags.writeable for array in arrays_of(second))


@pytest.mark.parametrize(
    "change", [{"num_words": 20}, {"maxlen": 9}, {"num_classes": 3}, {"validation": 0.3}, {"split_seed": 1}], ids=str
)
def test_another_setting_is_encoded_anew(home, change):
    content = npz(**toy())
    first = load_bytes(home, content)
    load_bytes(home, content, **change)
    assert len(entries(home)) == 2
    assert_same(load_bytes(home, content), first)


DIGESTS = {  # recorded in journals, which are resumed and compared by them; computed at 6da71b3, before this layout
    "4af9ec835cc0a996": {},
    "90e1380dbb8d6143": {"validation": "test"},
    "e032657bdc51932a": {"validation": 0.25, "split_seed": 1},
    "3d5d1224b18b87f8": {"source": "standin"},
    "7facebc1a0144e96": {"source": "standin", "num_words": 1000, "maxlen": 100, "num_classes": 46},
    "e371690a5a9363a9": {"source": "standin", "num_words": 5000, "maxlen": 40},
}


@pytest.mark.parametrize(("digest", "settings"), DIGESTS.items(), ids=DIGESTS)
def test_digests_are_those_that_journals_hold(home, digest, settings):
    assert load_bytes(home, npz(**toy()), **settings).digest == digest


def test_the_digest_identifies_the_content(home):
    first, other = (load_bytes(home, npz(**toy(seed=seed))) for seed in (0, 1))
    assert first.digest != other.digest
    assert first.digest != load_bytes(home, npz(**toy()), split_seed=1).digest
    reshaped = [a.reshape(-1, 20) if a.ndim == 2 else a for a in arrays_of(first)]
    assert digest_of_arrays(reshaped) != first.digest == digest_of_arrays(arrays_of(first))


def test_the_digest_of_the_texts_depends_on_texts_labels_and_split_alone(home):
    first = load_bytes(home, npz(**toy())).audit.texts
    assert load_bytes(home, npz(**toy()), num_words=20, maxlen=9).audit.texts == first
    others = [load_bytes(home, npz(**toy(seed=1))), load_bytes(home, npz(**toy()), split_seed=1)]
    others.append(load_bytes(home, npz(**toy()), validation="test"))
    assert len({first, *(other.audit.texts for other in others)}) == 4


DAMAGE = {
    "deleted": lambda path: path.unlink(),
    "emptied": lambda path: path.write_bytes(b""),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "first byte altered": lambda path: path.write_bytes(b"\0" + path.read_bytes()[1:]),
    "last byte altered": lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\x7f"),
    "other content": lambda path: path.write_bytes(b"null"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("file", ["train_x.npy", "validation_y.npy", "meta.json"])
def test_a_damaged_entry_is_encoded_again(home, monkeypatch, file, damage):
    content = npz(**toy())
    mapped = load_bytes(home, content)
    first = mapped._replace(**{part: Split(*map(np.array, getattr(mapped, part))) for part in mapped._fields[:3]})
    damage(encoded(home) / file)
    assert_same(load_bytes(home, content), first)
    assert encoded(home).is_dir()
    forbid_encoding(monkeypatch)
    assert_same(load_bytes(home, content), first)


def test_a_file_where_an_entry_should_be_is_replaced(home):
    content = npz(**toy())
    first, entry = load_bytes(home, content), encoded(home)
    entry.rename(home / "elsewhere")
    entry.write_text("not a directory")
    assert_same(load_bytes(home, content), first)
    assert encoded(home) == entry


def test_threads_that_encode_at_once_all_succeed(home, monkeypatch):
    put(home / "toy.npz", npz(**toy()))
    together, parse, one_parses = threading.Barrier(6), archives.parse, threading.Lock()

    def wait_for_the_others(content, num_classes):
        together.wait(timeout=120)
        with one_parses:  # NumPy reads headers by `ast`, which threads break for each other in Python 3.11
            return parse(content, num_classes)

    monkeypatch.setattr(archives, "parse", wait_for_the_others)
    with ThreadPoolExecutor(6) as pool:
        datasets = list(pool.map(lambda _: load_toy(archive=str(home / "toy.npz")), range(6)))
    for dataset in datasets:
        assert_same(dataset, datasets[0])
    assert encoded(home).is_dir()


def test_an_entry_that_another_process_published_first_is_as_good(home, monkeypatch):
    rename = Path.rename

    def too_late(path, target):
        if path.name == "unpublished":
            shutil.copytree(path, target)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", too_late)
    content = npz(**toy())
    first = load_bytes(home, content)
    forbid_encoding(monkeypatch)
    assert_same(load_bytes(home, content), first)


def test_a_cache_that_cannot_be_written_stops(home):
    (home / "cache").write_text("a file, where a directory should be")
    with pytest.raises(ConfigError, match=f"^XDG_CACHE_HOME={home / 'cache'}: cannot be written"):
        load_bytes(home, npz(**toy()))


def test_a_full_disk_stops_and_leaves_nothing_half_written(home, monkeypatch):
    def save(path, array):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "save", save)
    with pytest.raises(ConfigError, match=r"^XDG_CACHE_HOME=.*No space left on device"):
        load_bytes(home, npz(**toy()))
    assert files_under(home / "cache") == []


# The real archives


@needs_real_archives
@pytest.mark.parametrize(
    ("settings", "shapes", "classes", "digest"),
    [
        (REUTERS, [(7186, 100), (1796, 100), (2246, 100)], 46, "c43104598b04b26b"),
        pytest.param(*(IMDB, [(20000, 100), (5000, 100), (25000, 100)], 2, "32f07f6e69ce53d2"), marks=pytest.mark.long),
    ],
    ids=["reuters", "imdb"],
)
def test_the_real_archives(monkeypatch, settings, shapes, classes, digest):
    parse, parsed = archives.parse, []
    monkeypatch.setattr(archives, "parse", lambda *arguments: parsed.append(parse(*arguments)) or parsed[0])
    dataset = load_toy(**settings, source="archive")
    assert [split.x.shape for split in dataset[:3]] == shapes
    assert [len(np.unique(split.y)) for split in dataset[:3]] == [classes] * 3
    if classes == 2:
        assert [len(split.y) for split in dataset[:3]] == [2 * np.count_nonzero(split.y) for split in dataset[:3]]
    assert dataset.digest == digest
    [documents] = parsed
    sample = range(0, len(dataset.test.x), 100)
    assert dataset.test.x[sample].tolist() == [
        encode_one(documents.x_test[i], settings["num_words"], settings["maxlen"]) for i in sample
    ]
    forbid_encoding(monkeypatch)
    assert_same(load_toy(**settings, source="archive"), dataset)


@needs_real_archives
def test_the_published_hash_of_imdb_refuses_the_reordered_archive():
    with pytest.raises(ConfigError, match=r"^datasets\.toy\.sha256=69664113"):
        load_toy(**IMDB, sha256="69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f")
