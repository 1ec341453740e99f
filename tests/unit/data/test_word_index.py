import hashlib
import json
from pathlib import Path

import pytest

from conf.schema import ConfigError, Text
from pipelines.data import word_index

INDEX = json.dumps({"the": 1, "of": 2}).encode()
SHA256 = hashlib.sha256(INDEX).hexdigest()


def test_the_given_file_then_keras_cache_then_a_download(tmp_path: Path) -> None:
    Path("served.json").write_bytes(INDEX)
    cached = tmp_path / "keras" / "datasets" / "served.json"
    text = Text(url=Path("served.json").resolve().as_uri(), sha256=SHA256)
    assert word_index.find("imdb", text) == INDEX
    assert cached.read_bytes() == INDEX
    Path("served.json").unlink()
    assert word_index.find("imdb", text) == INDEX
    other = json.dumps({"other": 1}).encode()
    Path("mine.json").write_bytes(other)
    assert word_index.find("imdb", Text(words="mine.json", url=text.url)) == other


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[1, 2]", "words=index.json: not a word index"),
        (b'{"a": "b"}', "words=index.json: not a word index"),
        (b'{"a": 0}', "words=index.json: not a word index"),
        (b"{", "words=index.json: not a word index"),
        (b"\xff", "words=index.json: not a word index"),
    ],
)
def test_another_file_is_refused_in_a_line(content: bytes, message: str) -> None:
    Path("index.json").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        word_index.find("imdb", Text(words="index.json"))
    with pytest.raises(ConfigError, match=r"datasets\.imdb\.text\.sha256=.*another file"):
        word_index.find("imdb", Text(words="index.json", sha256=SHA256))


def test_what_is_nowhere_is_said_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"datasets\.imdb\.text\.words=nowhere\.json: cannot be read \(No such file"):
        word_index.find("imdb", Text(words="nowhere.json"))
    with pytest.raises(ConfigError, match=r"imdb_words\.json does not exist and file:.* cannot be fetched .*put the"):
        word_index.find("imdb", Text(url=(tmp_path / "imdb_words.json").as_uri()))
    assert not (tmp_path / "keras").exists()
