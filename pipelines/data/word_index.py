"""A dataset's word index: where it lies, and whether it is the one meant. Nothing in it is run."""

from __future__ import annotations

import hashlib
import json
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from conf.schema import ConfigError, Text
from pipelines.data import archives


def find(name: str, text: Text) -> bytes:
    """The JSON of the word index: `text.words`, else the file in Keras's cache, else downloaded there.

    Raises `ConfigError` where it cannot be had, or is another file than the one meant.
    """
    key = f"datasets.{name}.text"
    if text.words is not None:
        return _checked(key, text.words, _content(f"{key}.words", Path(text.words).expanduser()), text.sha256)
    if text.url is None:
        raise ConfigError(f"{key}: neither words nor url is set")
    path = archives.keras_cache() / PurePosixPath(urlsplit(text.url).path).name
    if path.is_file():
        return _checked(key, str(path), _content(f"{key}.words", path), text.sha256)
    try:
        content = archives.fetch(text.url)
    except (OSError, HTTPException, ValueError) as error:
        raise ConfigError(
            f"{key}.words=null: {path} does not exist and {text.url} cannot be fetched ({error}); put the file there"
        ) from error
    _checked(key, text.url, content, text.sha256)
    archives.save(path, content)
    return content


def _content(key: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{key}={path}: cannot be read ({error.strerror})") from error


def _checked(key: str, path: str, content: bytes, sha256: str | None) -> bytes:
    actual = hashlib.sha256(content).hexdigest()
    if sha256 is not None and actual != sha256.lower():
        raise ConfigError(f"{key}.sha256={sha256}: {path} has {actual}; it is another file, or a damaged one")
    try:
        ranks = json.loads(content)
        sound = isinstance(ranks, dict) and all(type(rank) is int and rank > 0 for rank in ranks.values())
    except ValueError:
        sound = False
    if not sound:
        raise ConfigError(f"{key}.words={path}: not a word index, a JSON object that maps words to ranks from 1 on")
    return content
