import errno
import io
import logging
import os
import pickle
import shutil
import subprocess
import sys
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conf.schema import ConfigError
from pipelines import archives, data
from pipelines.data import encode, load, stratify

ROOT = Path(__file__).parents[1]
REAL = ROOT.parent / "shared" / "data"
REUTERS = {"archive": str(REAL / "reuters.npz"), "num_words": 1000, "maxlen": 100, "num_classes": 46}
IMDB = {"archive": str(REAL / "imdb.npz"), "num_words": 5000, "maxlen": 100, "num_classes": 2}
REUTERS_SHA256 = "d6586e694ee56d7a4e65172e12b3e987c03096cb01eab99753921ef915959916"
needs_real_archives = pytest.mark.skipif(not REAL.exists(), reason=f"the real archives are not at {REAL}")


@pytest.fixture(autouse=True)
def home(own_folder, tmp_path, monkeypatch):
    """The folder in which `own_folder` put both caches."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path


def ragged(documents):
    array = np.empty(len(documents), dtype=object)
    for i, document in enumerate(documents):
        array[i] = document
    return array


def npz(**members):
    """An archive as Keras makes them: lists become object arrays, everything else plain ones."""
    content = io.BytesIO()
    np.savez(content, **{name: ragged(m) if isinstance(m, list) else np.asarray(m) for name, m in members.items()})
    return content.getvalue()


def toy(size=40, num_classes=2, seed=0):
    """The members of a small archive with two splits."""
    rng = np.random.default_rng(seed)

    def documents():
        return [rng.integers(1, 50, rng.integers(0, 15)).tolist() for _ in range(size)]

    labels = np.arange(size) % num_classes
    return {"x_train": documents(), "y_train": labels, "x_test": documents(), "y_test": labels}


def load_toy(**changes):
    given = {
        "name": "toy",
        "source": "auto",
        "archive": None,
        "url": None,
        "sha256": None,
        "num_words": 30,
        "maxlen": 10,
        "num_classes": 2,
        "validation": 0.2,
        "split_seed": 113,
    }
    return load(**given | changes)


def load_bytes(directory, content, **changes):
    path = directory / "toy.npz"
    path.write_bytes(content)
    return load_toy(archive=str(path), **changes)


def arrays_of(dataset):
    return [array for split in dataset[:3] for array in split]


def assert_same(one, other):
    assert one.digest == other.digest
    for a, b in zip(arrays_of(one), arrays_of(other), strict=True):
        np.testing.assert_array_equal(a, b)


# Encoding


def encode_one(document, num_words, maxlen):
    """`keras.datasets.*.load_data` and `pad_sequences`, word by word."""
    ids = [1] + [rank + 3 for rank in document]
    ids = [word if word < num_words else 2 for word in ids][-maxlen:]
    return [0] * (maxlen - len(ids)) + ids


@given(
    documents=st.lists(st.lists(st.integers(0, 60) | st.integers(0, 2**62), max_size=20), min_size=1, max_size=8),
    num_words=st.integers(4, 50),
    maxlen=st.integers(1, 12),
)
@settings(deadline=None)
def test_encodes_as_keras_does(documents, num_words, maxlen):
    x = encode(documents, num_words=num_words, maxlen=maxlen)
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
@settings(deadline=None)
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


# Damaged and hostile archives


class Evil:
    """Unpickled without care, it creates the file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def rezipped(members):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return content.getvalue()


def with_member(member, body):
    """The toy archive with other bytes for one member."""
    with zipfile.ZipFile(io.BytesIO(npz(**toy()))) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    return rezipped(members | {member: body(members[member])})


DAMAGED = {
    "empty": (b"", "not a zip file"),
    "not a zip": (b"<html>Please log in</html>", "not a zip file"),
    "truncated": (npz(**toy())[:-200], "not a zip file"),
    "altered": (npz(**toy()).replace(b"NUMPY", b"NUNPY", 1), "Bad CRC-32"),
    "no members": (npz(), "it holds nothing; expected x and y"),
    "missing member": (npz(**{k: v for k, v in toy().items() if k != "y_test"}), "it holds x_test, x_train, y_train;"),
    "a name of two lines": (rezipped({"x\ny.npy": b""}), "it holds x y; expected x and y"),
    "not npy": (with_member("x_test.npy", lambda body: b"hello"), "magic string"),
    "pickle cut short": (with_member("x_test.npy", lambda body: body[:-100]), "truncated|exhausted|Ran out of input"),
    "labels cut short": (with_member("y_test.npy", lambda body: body[:-8]), "cannot reshape"),
    "fewer documents than claimed": (
        with_member("x_test.npy", lambda body: body.replace(b"(40,)", b"(41,)")),
        "x_test does not hold the 41 documents",
    ),
    "pickle of something else": (
        with_member("x_test.npy", lambda body: body[:128] + pickle.dumps([[1]] * 40)),
        "x_test does not hold the 40 documents",
    ),
    "x is no object array": (npz(**toy() | {"x_train": np.zeros((40, 3), int)}), "x_train must be a row of lists"),
    "x is two-dimensional": (
        npz(**toy() | {"x_train": np.array([[1, 2]] * 40, object)}),
        r"x_train must be a row of lists .*\(40, 2\)",
    ),
    "documents are no lists": (npz(**toy() | {"x_train": ["a text"] * 40}), "x_train must hold nothing but lists"),
    "ranks are no numbers": (npz(**toy() | {"x_train": [["stock"]] * 40}), "x_train must hold word ranks"),
    "ranks are no whole numbers": (npz(**toy() | {"x_train": [[1, 2.5]] * 40}), "x_train must hold word ranks"),
    "ranks are lists": (npz(**toy() | {"x_train": [[[1], [2]]] * 40}), "x_train must hold word ranks"),
    "a rank is negative": (npz(**toy() | {"x_train": [[3, -1]] * 40}), "x_train must hold word ranks"),
    "labels are floats": (npz(**toy() | {"y_train": np.zeros(40)}), "y_train must be a row of whole numbers"),
    "labels are two-dimensional": (
        npz(**toy() | {"y_train": np.zeros((40, 1), int)}),
        "y_train must be a row of whole numbers",
    ),
    "a label too many": (
        npz(**toy() | {"y_train": np.arange(41) % 2}),
        "x_train holds 40 documents and y_train 41 labels",
    ),
    "no documents": (
        npz(**toy() | {"x_train": [], "y_train": np.array([], int)}),
        "x_train holds 0 documents and y_train 0 labels",
    ),
    "one document for both splits": (npz(x=[[1]], y=np.array([0])), "x holds too few documents to split"),
    "label too large": (npz(**toy(num_classes=3)), "y_train holds label 2; num_classes=2 allows 0 to 1"),
    "label negative": (npz(**toy() | {"y_test": -(np.arange(40) % 2)}), "y_test holds label -1;"),
}


@pytest.mark.parametrize(("content", "reason"), DAMAGED.values(), ids=DAMAGED)
@pytest.mark.parametrize("source", ["auto", "archive"])
def test_a_damaged_archive_stops_in_one_line_that_names_the_key_and_the_file(home, source, content, reason):
    with pytest.raises(ConfigError, match=reason) as caught:
        load_bytes(home, content, source=source)
    line = str(caught.value)
    assert line.startswith(f"datasets.toy.archive={home / 'toy.npz'}: not a sound archive: ")
    assert "\n" not in line


@given(data=st.data())
@settings(deadline=None, max_examples=150)
def test_whatever_byte_is_altered_it_loads_the_same_or_stops(data, tmp_path_factory):
    content, home = npz(**toy()), tmp_path_factory.mktemp("altered")
    sound = load_bytes(home, content)
    altered = bytearray(content)
    altered[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        dataset = load_bytes(home, bytes(altered[: data.draw(st.integers(1, len(content)))]))
    except ConfigError:
        return
    assert_same(dataset, sound)


def test_a_hostile_pickle_executes_nothing(home):
    trap = home / "trap"
    content = npz(**toy() | {"x_train": [Evil(trap)] * 40})
    np.load(io.BytesIO(content), allow_pickle=True)["x_train"]
    trap.rmdir()  # so the trap does spring, where nobody takes care
    with pytest.raises(ConfigError, match=r"it asks for \w+\.mkdir, which no list of words needs"):
        load_bytes(home, content)
    assert not trap.exists()


def test_a_pickle_can_build_nothing_of_numpys(home):
    """Not even an array: its pickled state may claim any dtype flags, and with them any memory."""
    content = npz(**toy() | {"x_train": [np.array([1, 2])] * 40})
    with pytest.raises(ConfigError, match="x_train must hold nothing but lists"):
        load_bytes(home, content)


@pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_archives_of_old_and_new_numpy_are_read(home, module):
    old = b"\x80\x02c%b\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    state = b"(K\x01K\x01\x85cnumpy\ndtype\nU\x02O8K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb"
    pickled = old % module.encode() + state + b"\x89]](K\x05K\x06eatb."
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|O", "fortran_order": False, "shape": (1,)})
    with zipfile.ZipFile(io.BytesIO(npz(y_train=np.array([0]), x_test=[[7]], y_test=np.array([1])))) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    content = rezipped(members | {"x_train.npy": header.getvalue() + pickled})
    dataset = load_bytes(home, content, validation="test", maxlen=4)
    assert dataset.train.x.tolist() == [[0, 1, 8, 9]]


def test_an_absurdly_large_member_is_not_unpacked(home, monkeypatch):
    monkeypatch.setattr(archives, "LARGEST_MEMBER", 1000)
    with pytest.raises(ConfigError, match=r"x_train claims 1,[0-9]{3} bytes, more than the 1,000 allowed"):
        load_bytes(home, npz(**toy()))


@pytest.mark.parametrize("source", ["auto", "archive"])
@pytest.mark.parametrize("content", [npz(**toy()), b"damaged"])
def test_another_hash_stops_before_anything_is_read(home, monkeypatch, source, content):
    monkeypatch.setattr(archives, "parse", lambda *_: pytest.fail("was parsed"))
    with pytest.raises(ConfigError) as caught:
        load_bytes(home, content, source=source, sha256="0" * 64)
    line = str(caught.value)
    assert line.startswith(f"datasets.toy.sha256={'0' * 64}: {home / 'toy.npz'} has {sha256(content).hexdigest()}")


def test_the_right_hash_is_accepted_in_either_case(home):
    content = npz(**toy())
    assert load_bytes(home, content, sha256=sha256(content).hexdigest().upper()).source == "archive"


# Where the archive comes from


@contextmanager
def serving(content, claimed=None):
    """A server on 127.0.0.1 that answers everything with `content`; yields its address and the paths asked for."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(claimed or len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/somewhere/toy.npz?v=1", asked
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def unreachable():
    with serving(b"") as (url, _):
        pass
    return url


def files_under(directory):
    return sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_archive_then_keras_cache_then_download(home):
    given, cached, served = (npz(**toy(seed=seed)) for seed in range(3))
    digests = [load_bytes(home, content).digest for content in (given, cached, served)]
    with serving(served) as (url, asked):
        assert load_toy(url=url).digest == digests[2]
        assert asked == ["/somewhere/toy.npz?v=1"]
        put(home / "keras/datasets/toy.npz", cached)
        assert load_toy(url=url).digest == digests[1]
        assert load_bytes(home, given, url=url).digest == digests[0]
        assert len(asked) == 1


def test_keras_own_cache_is_in_the_home_directory(home, monkeypatch, unreachable):
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(home / "me"))
    put(home / "me/.keras/datasets/toy.npz", npz(**toy()))
    assert load_toy(url=unreachable).source == "archive"


def test_a_download_is_kept_and_checked(home):
    content = npz(**toy())
    with serving(content) as (url, asked):
        first = load_toy(url=url, sha256=sha256(content).hexdigest())
        assert_same(load_toy(url=url, sha256=sha256(content).hexdigest()), first)
        assert len(asked) == 1
    assert first.source == "archive"
    assert (home / "keras/datasets/toy.npz").read_bytes() == content
    assert files_under(home / "keras") == ["datasets/toy.npz"]


@pytest.mark.parametrize("source", ["auto", "archive"])
def test_a_download_with_another_hash_stops_and_leaves_nothing(home, source):
    with serving(b"<html>Please log in</html>") as (url, _), pytest.raises(ConfigError) as caught:
        load_toy(url=url, source=source, sha256="0" * 64)
    assert str(caught.value).startswith(f"datasets.toy.sha256={'0' * 64}: {url} has ")
    assert not (home / "keras").exists()


def test_a_download_that_breaks_off_leaves_nothing(home):
    with serving(b"PK", claimed=1000) as (url, _), pytest.raises(ConfigError, match="IncompleteRead"):
        load_toy(url=url, source="archive")
    assert not (home / "keras").exists()


@pytest.mark.parametrize("url", ["no address", "http://127.0.0.1:1/toy.npz", "file:///nowhere/toy.npz"])
def test_an_address_that_leads_nowhere_is_no_archive(url):
    with pytest.raises(ConfigError, match=r"^datasets\.toy\.source=archive: .* cannot be fetched"):
        load_toy(url=url, source="archive")


def test_a_keras_cache_that_cannot_be_written_stops(home):
    (home / "keras").write_text("a file, where a directory should be")
    with serving(npz(**toy())) as (url, _), pytest.raises(ConfigError, match=r"^KERAS_HOME=.*cannot be written"):
        load_toy(url=url)


def test_source_archive_names_the_three_ways_to_provide_it(home, unreachable):
    with pytest.raises(ConfigError) as caught:
        load_toy(url=unreachable, source="archive")
    line = str(caught.value)
    assert line.startswith("datasets.toy.source=archive: ")
    assert "set datasets.toy.archive=/path/to/toy.npz" in line
    assert f"put the file at {home / 'keras/datasets/toy.npz'}" in line
    assert f"allow the network to reach {unreachable}" in line
    assert "\n" not in line


def test_source_archive_without_any_address_says_so():
    with pytest.raises(ConfigError, match=r"neither archive nor url is set; set datasets\.toy\.archive=.*toy\.url="):
        load_toy(source="archive")


def test_source_auto_without_archive_warns_and_takes_the_stand_in(home, unreachable, caplog):
    with caplog.at_level(logging.WARNING):
        dataset = load_toy(url=unreachable)
    assert dataset.source == "standin"
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("datasets.toy.source=auto: ")
    assert "STAND-IN" in record.getMessage()
    assert not (home / "keras").exists()


@pytest.mark.parametrize("source", ["auto", "archive"])
def test_an_archive_that_was_named_must_be_there(home, source):
    with pytest.raises(ConfigError, match=r"^datasets\.toy\.archive=.*gone\.npz: cannot be read \(No such file"):
        load_toy(archive=str(home / "gone.npz"), source=source)


def test_source_standin_looks_for_no_archive(home, caplog):
    with serving(b"") as (url, asked):
        dataset = load_toy(url=url, archive=str(home / "gone.npz"), source="standin")
    assert (dataset.source, asked, caplog.records) == ("standin", [], [])
    assert [len(split.x) for split in dataset[:3]] == [1600, 400, 1000]
    assert_same(load_toy(source="standin"), dataset)


def test_a_vocabulary_too_small_for_the_stand_in_is_told():
    with pytest.raises(ConfigError, match=r"^datasets\.toy\.num_words=10: the stand-in for 2 classes needs at least"):
        load_toy(source="standin", num_words=10)


# The cache of encoded arrays


def encoded(home):
    """The directory of the only entry."""
    [meta] = (home / "cache/text-sweeps").glob("*/meta.json")
    return meta.parent


def forbid_encoding(monkeypatch):
    monkeypatch.setattr(archives, "parse", lambda *_: pytest.fail("was parsed again"))
    monkeypatch.setattr(data.standin, "generate", lambda **_: pytest.fail("was generated again"))


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
    assert len(list((home / "cache/text-sweeps").iterdir())) == 2
    assert_same(load_bytes(home, content), first)


def test_the_digest_names_the_content(home):
    first, other = (load_bytes(home, npz(**toy(seed=seed))) for seed in (0, 1))
    assert len(first.digest) == 16
    assert int(first.digest, 16) >= 0
    assert first.digest != other.digest
    assert first.digest != load_bytes(home, npz(**toy()), split_seed=1).digest
    moved = [a.reshape(-1, 20) if a.ndim == 2 else a for a in arrays_of(first)]
    assert data._digest(moved) != first.digest == data._digest(arrays_of(first))


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
    first = load_bytes(home, content)
    damage(encoded(home) / file)
    assert_same(load_bytes(home, content), first)
    assert [path.name for path in encoded(home).parent.iterdir()] == [encoded(home).name]
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
    together, parse = threading.Barrier(6), archives.parse

    def wait_for_the_others(content, num_classes):
        together.wait(timeout=20)
        return parse(content, num_classes)

    monkeypatch.setattr(archives, "parse", wait_for_the_others)
    with ThreadPoolExecutor(6) as pool:
        datasets = list(pool.map(lambda _: load_toy(archive=str(home / "toy.npz")), range(6)))
    for dataset in datasets:
        assert_same(dataset, datasets[0])
    assert [path.name for path in encoded(home).parent.iterdir()] == [encoded(home).name]


def test_an_entry_that_another_process_published_first_is_as_good(home, monkeypatch):
    rename = Path.rename

    def too_late(path, target):
        if path.name == "fresh":
            shutil.copytree(path, target)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", too_late)
    content = npz(**toy())
    first = load_bytes(home, content)
    forbid_encoding(monkeypatch)
    assert_same(load_bytes(home, content), first)


def test_processes_that_encode_at_once_all_succeed(home):
    script = (
        "from pipelines.data import load; print(load(name='toy', source='standin', archive=None, url=None, sha256=None,"
        "num_words=1000, maxlen=40, num_classes=2, validation=0.2, split_seed=113).digest)"
    )
    command = [sys.executable, "-W", "error", "-c", script]
    processes = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    digests = {process.communicate(timeout=60)[0] for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    assert digests == {load_toy(source="standin", num_words=1000, maxlen=40).digest + "\n"}


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


def test_loading_needs_neither_tensorflow_nor_keras():
    script = "import sys, pipelines.data; print({'tensorflow', 'keras', 'mlflow', 'dask'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


# The real archives


@needs_real_archives
def test_reuters(home, monkeypatch):
    dataset = load_toy(**REUTERS, sha256=REUTERS_SHA256, source="archive")
    assert [split.x.shape for split in dataset[:3]] == [(7186, 100), (1796, 100), (2246, 100)]
    assert [len(np.unique(split.y)) for split in dataset[:3]] == [46, 46, 46]
    assert dataset.digest == "c43104598b04b26b"
    forbid_encoding(monkeypatch)
    assert_same(load_toy(**REUTERS, sha256=REUTERS_SHA256, source="archive"), dataset)


@needs_real_archives
def test_reuters_is_what_keras_loads(home, tmp_path):
    """In a process of its own, so that this one stays free of TensorFlow."""
    put(home / "keras/datasets/reuters.npz", Path(REUTERS["archive"]).read_bytes())
    script = """if True:
        import sys, numpy as np, keras
        (x, y), (x_test, y_test) = keras.datasets.reuters.load_data(num_words=1000)
        x, x_test = (keras.utils.pad_sequences(documents, maxlen=100) for documents in (x, x_test))
        np.savez(sys.argv[1], x=x, y=y, x_test=x_test, y_test=y_test)
    """
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run([sys.executable, "-c", script, tmp_path / "keras.npz"], env=environment, check=True)
    dataset = load_toy(**REUTERS, sha256=REUTERS_SHA256, validation="test")
    with np.load(tmp_path / "keras.npz") as expected:
        assert (len(expected["x"]), len(expected["x_test"])) == (8982, 2246)
        np.testing.assert_array_equal(dataset.train.x, expected["x"])
        np.testing.assert_array_equal(dataset.train.y, expected["y"])
        np.testing.assert_array_equal(dataset.test.x, expected["x_test"])
        np.testing.assert_array_equal(dataset.test.y, expected["y_test"])


@needs_real_archives
def test_imdb(home, monkeypatch):
    parse, parsed = archives.parse, []
    monkeypatch.setattr(archives, "parse", lambda *arguments: parsed.append(parse(*arguments)) or parsed[0])
    dataset = load_toy(**IMDB, source="archive")
    assert [split.x.shape for split in dataset[:3]] == [(20000, 100), (5000, 100), (25000, 100)]
    assert [np.bincount(split.y).tolist() for split in dataset[:3]] == [[10000, 10000], [2500, 2500], [12500, 12500]]
    assert dataset.digest == "32f07f6e69ce53d2"
    [corpus] = parsed
    sample = range(0, 25000, 250)
    assert dataset.test.x[sample].tolist() == [encode_one(corpus.x_test[i], 5000, 100) for i in sample]
    forbid_encoding(monkeypatch)
    assert_same(load_toy(**IMDB, source="archive"), dataset)


@needs_real_archives
def test_the_published_hash_of_imdb_refuses_the_reordered_archive(home):
    with pytest.raises(ConfigError, match=r"^datasets\.toy\.sha256=69664113"):
        load_toy(**IMDB, sha256="69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f")
