"""Files that Keras publishes: the user's own copy, the one in Keras's cache, or a download that is put there.

No file is used before its hash has been checked.
"""

from __future__ import annotations

import hashlib
import os
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import urlsplit

from conf import secrets
from conf.schema import ConfigError
from sweeps import files

TIMEOUT = 30  # seconds without a byte, after which a download is given up


class Source(NamedTuple):
    """The places where the configuration says that a file may be, and the keys that say so."""

    section: str  # datasets.imdb | datasets.imdb.text
    option: str  # the key in the section that names the user's own file: archive | words
    path: str | None
    url: str | None
    sha256: str | None


class File(NamedTuple):
    """A file whose hash was checked. The bytes that were hashed are the bytes that are parsed."""

    path: str  # or the address of a download
    content: bytes
    sha256: str


Check = Callable[[File], object]  # raises for a file that must not be used


class UnavailableError(Exception):
    """A file is in none of its places; the message gives the reason and the remedy."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}; {remedy}")
        self.reason = reason


def find(source: Source, check: Check = lambda file: None) -> File:
    """Return the file at `source.path`, else the one in the cache, else a download, which is put into the cache.

    Raises `UnavailableError` where none of these is possible, `ConfigError` for a file that cannot be read or has
    another hash, and whatever `check` raises; a download that fails either check is not kept.
    """
    if source.path is not None:
        return _verified(source, *_content(source, Path(os.path.expanduser(source.path))), check)
    own_path = f"set {source.section}.{source.option}=/path/to"
    if source.url is None:
        reason = f"neither {source.option} nor url is set"
        raise UnavailableError(reason, f"{own_path}/it, or {source.section}.url=https://…")
    cached = _directory() / PurePosixPath(urlsplit(source.url).path).name
    if os.path.exists(cached):  # not Path.exists, which raises where the directory may not be entered
        return _verified(source, *_content(source, cached), check)
    shown = secrets.public(source.url)
    try:
        content = _fetch(source.url)
    except (OSError, HTTPException, ValueError) as error:
        raise UnavailableError(
            f"{cached} does not exist and {shown} cannot be fetched ({error})",
            f"{own_path}/{cached.name}, put the file at {cached}, or allow the network to reach {shown}",
        ) from error
    file = _verified(source, shown, content, check)
    _save(cached, content)
    return file


def _directory() -> Path:
    return Path(os.environ.get("KERAS_HOME") or files.home() / ".keras") / "datasets"


def _content(source: Source, path: Path) -> tuple[str, bytes]:
    try:
        return str(path), path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{source.section}.{source.option}={path}: cannot be read ({error.strerror})") from error


def _verified(source: Source, path: str, content: bytes, check: Check) -> File:
    actual = hashlib.sha256(content).hexdigest()
    if source.sha256 is not None and actual != source.sha256.lower():
        raise ConfigError(
            f"{source.section}.sha256={source.sha256}: {path} has {actual}; it is another file, or a damaged one"
        )
    file = File(path, content, actual)
    check(file)
    return file


def _fetch(url: str) -> bytes:
    address, headers = secrets.for_urllib(url)
    request = urllib.request.Request(address, headers=headers)
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
        content: bytes = response.read()  # without a size: only then does http.client report a body that was cut short
    return content


def _save(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write(path, lambda file: file.write(content))  # several processes may download it at once
    except OSError as error:
        raise ConfigError(f"KERAS_HOME={path.parent.parent}: cannot be written ({error})") from error
