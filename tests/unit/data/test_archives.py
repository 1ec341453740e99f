import io
import logging
import os
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conf.schema import ConfigError
from pipelines.data import archives
from tests.corpora import assert_same, files_under, load_bytes, load_toy, npz, put, toy

pytestmark = pytest.mark.usefixtures("home")
NOWHERE = "http://127.0.0.1:1/toy.npz"


def documents_of(path, source="archive", num_classes=2):
    """Find and parse an archive without encoding it."""
    corpus = archives.read(
        name="toy", source=source, archive=str(path), url=None, sha256=None, num_words=30, num_classes=num_classes
    )
    return corpus.documents()


def as_lists(documents):
    return [list(part) for part in documents]


# Damaged and hostile archives


class Evil:
    """An object that creates a directory when it is unpickled without care."""

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
    """Return the toy archive with other bytes for one member."""
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
    "ranks are empty lists": (npz(**toy() | {"x_train": [[[]]] * 40}), "x_train must hold word ranks"),
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
def test_a_damaged_archive_is_refused_in_one_line_that_names_the_key_and_the_file(home, content, reason):
    path = put(home / "toy.npz", content)
    for source in ("auto", "archive"):
        with pytest.raises(ConfigError, match=reason) as caught:
            documents_of(path, source)
        line = str(caught.value)
        assert line.startswith(f"datasets.toy.archive={path}: not a sound archive: ")
        assert "\n" not in line


@pytest.mark.parametrize("examples", [20, pytest.param(300, marks=pytest.mark.long)])
def test_an_archive_with_an_altered_byte_is_parsed_as_the_sound_one_or_refused(home, examples):
    content = npz(**toy())
    sound = as_lists(documents_of(put(home / "toy.npz", content)))

    @settings(max_examples=examples, deadline=None)
    @given(st.integers(0, len(content) - 1), st.integers(1, 255), st.integers(1, len(content)))
    def check(position, change, length):
        altered = bytearray(content)
        altered[position] ^= change
        try:
            documents = documents_of(put(home / "altered.npz", bytes(altered[:length])))
        except ConfigError:
            return
        assert as_lists(documents) == sound

    check()


def test_a_hostile_pickle_executes_nothing(home):
    trap = home / "trap"
    content = npz(**toy() | {"x_train": [Evil(trap)] * 40})
    np.load(io.BytesIO(content), allow_pickle=True)["x_train"]
    trap.rmdir()  # it was there, so the pickle is dangerous to those who take no care
    with pytest.raises(ConfigError, match=r"it asks for \w+\.mkdir, which no list of words needs"):
        documents_of(put(home / "toy.npz", content))
    assert not trap.exists()


def test_a_pickle_cannot_build_even_an_array(home):
    """An array's pickled state may claim any dtype flags, and with them any memory."""
    content = npz(**toy() | {"x_train": [np.array([1, 2])] * 40})
    with pytest.raises(ConfigError, match="x_train must hold nothing but lists"):
        documents_of(put(home / "toy.npz", content))


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
    assert documents_of(put(home / "toy.npz", content)).x_train == [[5, 6]]


def test_an_absurdly_large_member_is_not_unpacked(home, monkeypatch):
    monkeypatch.setattr(archives, "LARGEST_MEMBER", 1000)
    with pytest.raises(ConfigError, match=r"x_train claims 1,[0-9]{3} bytes, more than the 1,000 allowed"):
        documents_of(put(home / "toy.npz", npz(**toy())))


@pytest.mark.parametrize("source", ["auto", "archive"])
def test_an_archive_with_another_hash_is_not_parsed(home, monkeypatch, source):
    monkeypatch.setattr(archives, "parse", lambda *_: pytest.fail("was parsed"))
    for content in (npz(**toy()), b"damaged"):
        with pytest.raises(ConfigError, match=f"^datasets.toy.sha256={'0' * 64}: {home / 'toy.npz'} has "):
            load_bytes(home, content, source=source, sha256="0" * 64)


# The choice between archive and stand-in


def test_source_archive_without_an_archive_names_the_three_ways_to_provide_it(home):
    with pytest.raises(ConfigError) as caught:
        load_toy(url=NOWHERE, source="archive")
    line = str(caught.value)
    assert line.startswith("datasets.toy.source=archive: ")
    assert "set datasets.toy.archive=/path/to/toy.npz" in line
    assert f"put the file at {home / 'keras/datasets/toy.npz'}" in line
    assert f"allow the network to reach {NOWHERE}" in line
    assert "\n" not in line
    with pytest.raises(ConfigError, match=r"neither archive nor url is set; set datasets\.toy\.archive=.*toy\.url="):
        load_toy(source="archive")


def test_source_auto_without_an_archive_warns_and_takes_the_stand_in(home, caplog):
    with caplog.at_level(logging.WARNING):
        dataset = load_toy(url=NOWHERE)
    assert dataset.source == "standin"
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("datasets.toy.source=auto: ")
    assert "STAND-IN" in record.getMessage()
    assert not (home / "keras").exists()


@pytest.mark.parametrize("source", ["auto", "archive"])
def test_an_archive_that_the_user_named_must_be_there(home, source):
    with pytest.raises(ConfigError, match=r"^datasets\.toy\.archive=.*gone\.npz: cannot be read \(No such file"):
        load_toy(archive=str(home / "gone.npz"), source=source)


def test_source_standin_looks_for_no_archive(home, monkeypatch, caplog):
    monkeypatch.setattr(archives.keras_cache, "find", lambda *_: pytest.fail("was looked for"))
    dataset = load_toy(url=NOWHERE, archive=str(home / "gone.npz"), source="standin")
    assert (dataset.source, caplog.records) == ("standin", [])
    assert [len(split.x) for split in dataset[:3]] == [1600, 400, 1000]
    assert_same(load_toy(source="standin"), dataset)
    assert files_under(home / "keras") == []


def test_a_vocabulary_too_small_for_the_stand_in_is_refused():
    with pytest.raises(ConfigError, match=r"^datasets\.toy\.num_words=10: the stand-in for 2 classes needs at least"):
        load_toy(source="standin", num_words=10)
