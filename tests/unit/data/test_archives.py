import io
import logging
import os
import pickle
import threading
import zipfile
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conf.schema import ConfigError
from pipelines.data import archives
from tests.corpora import assert_same, files_under, load_bytes, load_toy, npz, put, toy

pytestmark = pytest.mark.usefixtures("home")


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
