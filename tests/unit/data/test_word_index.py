import hashlib
import json
from pathlib import Path

import pytest

from conf.schema import ConfigError, Text
from pipelines.data import word_index

INDEX = json.dumps({"the": 1, "of": 2}).encode()
SHA256 = hashlib.sha256(INDEX).hexdigest()


def test_the_own_file_comes_before_the_cache_and_the_cache_before_a_download(tmp_path: Path) -> None:
    served = tmp_path / "served.json"
    served.write_bytes(INDEX)
    text = Text(url=served.as_uri(), sha256=SHA256)
    assert word_index.find("imdb", text) == INDEX
    assert (tmp_path / "keras" / "datasets" / "served.json").read_bytes() == INDEX
    served.unlink()
    assert word_index.find("imdb", text) == INDEX
    other = json.dumps({"other": 1}).encode()
    Path("mine.json").write_bytes(other)
    assert word_index.find("imdb", Text(words="mine.json", url=text.url)) == other


@pytest.mark.parametrize(
    "content", [b"[1, 2]", b'{"a": "b"}', b'{"a": 0}', b"{", b"\xff", b"[" * 100_000], ids=lambda content: content[:9]
)
def test_a_file_that_is_no_word_index_is_refused_in_one_line_and_never_kept(content: bytes, tmp_path: Path) -> None:
    Path("index.json").write_bytes(content)
    with pytest.raises(ConfigError, match=r"^datasets\.imdb\.text\.words=index\.json: not a word index"):
        word_index.find("imdb", Text(words="index.json"))
    with pytest.raises(ConfigError, match=r"^datasets\.imdb\.text\.sha256=.*another file"):
        word_index.find("imdb", Text(words="index.json", sha256=SHA256))
    with pytest.raises(ConfigError, match=r"^datasets\.imdb\.text\.words=file:.*: not a word index"):
        word_index.find("imdb", Text(url=(tmp_path / "index.json").as_uri()))
    assert not (tmp_path / "keras").exists()


def test_a_missing_word_index_is_reported_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"datasets\.imdb\.text\.words=nowhere\.json: cannot be read \(No such file"):
        word_index.find("imdb", Text(words="nowhere.json"))
    with pytest.raises(ConfigError, match=r"imdb_words\.json does not exist and file:.* cannot be fetched .*put the"):
        word_index.find("imdb", Text(url=(tmp_path / "imdb_words.json").as_uri()))
    with pytest.raises(ConfigError, match=r"^datasets\.imdb\.text\.words=null: neither words nor url is set; set "):
        word_index.find("imdb", Text())
    assert not (tmp_path / "keras").exists()
