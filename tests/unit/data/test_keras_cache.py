import threading
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from conf.schema import ConfigError
from pipelines.data import keras_cache
from pipelines.data.keras_cache import Source, UnavailableError
from tests.corpora import files_under, put

OWN, CACHED, SERVED = b"own", b"cached", b"served"


authorizations = []  # of the requests to all servers


@contextmanager
def serving(content, claimed=None):
    """A server on 127.0.0.1 that answers everything with `content`; yields its address and the requested paths."""
    requests = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)
            authorizations.append(self.headers["Authorization"])
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
            yield f"http://127.0.0.1:{server.server_port}/somewhere/toy.npz?v=1", requests
        finally:
            server.shutdown()
            thread.join()


def find(path=None, url=None, sha256=None, **options):
    return keras_cache.find(Source("datasets.toy", "archive", path, url, sha256), **options)


def test_the_own_file_comes_before_the_cache_and_the_cache_before_a_download(home):
    own = str(put(home / "toy.npz", OWN))
    with serving(SERVED) as (url, requests):
        assert find(own, url) == (own, OWN, sha256(OWN).hexdigest())
        assert find(url=url) == (url, SERVED, sha256(SERVED).hexdigest())
        assert requests == ["/somewhere/toy.npz?v=1"]
        cached = put(home / "keras/datasets/toy.npz", CACHED)
        assert find(url=url) == (str(cached), CACHED, sha256(CACHED).hexdigest())
        assert len(requests) == 1


def test_keras_own_cache_is_in_the_home_directory(home, monkeypatch):
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(home / "me"))
    put(home / "me/.keras/datasets/toy.npz", CACHED)
    assert find(url="http://127.0.0.1:1/toy.npz").content == CACHED


def test_a_download_is_put_into_the_cache(home):
    with serving(SERVED) as (url, requests):
        assert find(url=url).content == find(url=url).content == SERVED
        assert len(requests) == 1
    assert files_under(home / "keras") == ["datasets/toy.npz"]
    assert (home / "keras/datasets/toy.npz").read_bytes() == SERVED


def test_a_hash_is_accepted_in_either_case(home):
    path = str(put(home / "toy.npz", OWN))
    assert find(path, sha256=sha256(OWN).hexdigest().upper()).content == OWN


def test_a_file_with_another_hash_is_refused_in_one_line_and_not_checked_further(home):
    path = put(home / "toy.npz", OWN)
    with pytest.raises(ConfigError) as caught:
        find(str(path), sha256="0" * 64, check=lambda file: pytest.fail("was checked"))
    assert str(caught.value).startswith(f"datasets.toy.sha256={'0' * 64}: {path} has {sha256(OWN).hexdigest()}; ")


def refuse(file):
    raise ConfigError(f"datasets.toy.archive={file.path}: refused")


@pytest.mark.parametrize(
    ("options", "message"),
    [({"sha256": "0" * 64}, f"datasets.toy.sha256={'0' * 64}: URL has "), ({"check": refuse}, "archive=URL: refused")],
    ids=["another hash", "check"],
)
def test_a_download_that_is_refused_leaves_nothing(home, options, message):
    with serving(b"<html>Please log in</html>") as (url, _), pytest.raises(ConfigError) as caught:
        find(url=url, **options)
    assert message.replace("URL", url) in str(caught.value)
    assert not (home / "keras").exists()


def test_a_download_that_breaks_off_leaves_nothing(home):
    with serving(b"PK", claimed=1000) as (url, _), pytest.raises(UnavailableError, match="IncompleteRead"):
        find(url=url)
    assert not (home / "keras").exists()


@pytest.mark.parametrize("url", ["no address", "http://127.0.0.1:1/toy.npz", "file:///nowhere/toy.npz"])
def test_an_unreachable_address_is_reported_with_the_three_remedies(home, url):
    with pytest.raises(UnavailableError) as caught:
        find(url=url)
    line = str(caught.value)
    name = url.rpartition("/")[2]
    cached = home / "keras/datasets" / name
    assert line.startswith(f"{cached} does not exist and {url} cannot be fetched (")
    assert f"; set datasets.toy.archive=/path/to/{name}, put the file at {cached}, or allow the network to" in line
    assert line.endswith(f" reach {url}")
    assert "\n" not in line
    assert not (home / "keras").exists()


def test_without_any_address_both_keys_are_named():
    with pytest.raises(UnavailableError, match=r"^neither archive nor url is set; set datasets\.toy\.archive=.*\.url="):
        find()


def test_a_cache_that_cannot_be_written_is_an_error(home):
    (home / "keras").write_text("a file, where a directory should be")
    with serving(SERVED) as (url, _), pytest.raises(ConfigError, match=r"^KERAS_HOME=.*cannot be written"):
        find(url=url)


def test_a_file_that_the_user_named_must_be_there(home):
    with pytest.raises(ConfigError, match=r"^datasets\.toy\.archive=.*gone\.npz: cannot be read \(No such file"):
        find(str(home / "gone.npz"), "http://127.0.0.1:1/toy.npz")


def test_a_user_and_a_password_in_an_address_are_sent_and_not_shown(home):
    authorizations.clear()
    with serving(SERVED) as (url, requests):
        guarded = url.replace("//", "//me:ge%40heim@")
        shown = guarded.replace(":ge%40heim", "")
        assert find(url=f"{guarded}&token=geheim") == (shown, SERVED, sha256(SERVED).hexdigest())
        assert requests == ["/somewhere/toy.npz?v=1&token=geheim"]
        assert authorizations == ["Basic bWU6Z2VAaGVpbQ=="]  # me:ge@heim
    with pytest.raises(UnavailableError) as caught:
        find(url="http://me:geheim@127.0.0.1:1/other.npz")
    assert "http://me@127.0.0.1:1/other.npz cannot be fetched" in str(caught.value)
    assert "geheim" not in str(caught.value)
