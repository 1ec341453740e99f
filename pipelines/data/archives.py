"""Keras's archives of labelled documents: where they lie, whether they are the ones meant, and what is in them.

Nothing in a file is believed: its hash is checked first, and its pickles can build nothing but lists of numbers.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import pickle
import tempfile
import urllib.request
import zipfile
from http.client import HTTPException
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from conf.schema import ConfigError
from pipelines.data.corpus import Corpus

KERAS_SEED = 113  # of `keras.datasets.reuters.load_data`
TIMEOUT = 30  # seconds without a byte, after which a download is given up
LARGEST_MEMBER = 2 * 2**30  # bytes unpacked; IMDB's largest has 14 million

log = logging.getLogger(__name__)


class File(NamedTuple):
    """An archive whose hash was checked. The bytes that were hashed are the bytes that are parsed."""

    path: str
    content: bytes
    sha256: str


def find(name: str, source: str, archive: str | None, url: str | None, sha256: str | None) -> File | None:
    """The archive; None where `source=auto` must do without."""
    if archive is not None:
        path = Path(archive).expanduser()
        return _verified(name, str(path), _content(name, path), sha256)
    if url is None:
        _do_without(name, source, "neither archive nor url is set", f"or datasets.{name}.url=https://…")
        return None
    path = keras_cache() / PurePosixPath(urlsplit(url).path).name
    if os.path.exists(path):  # not Path.exists, which raises where the directory may not be entered
        return _verified(name, str(path), _content(name, path), sha256)
    try:
        content = fetch(url)
    except (OSError, HTTPException, ValueError) as error:
        reason = f"{path} does not exist and {url} cannot be fetched ({error})"
        _do_without(name, source, reason, f"put the file at {path}, or allow the network to reach {url}")
        return None
    file = _verified(name, url, content, sha256)
    save(path, content)
    return file


def _content(name: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"datasets.{name}.archive={path}: cannot be read ({error.strerror})") from error


def _verified(name: str, path: str, content: bytes, sha256: str | None) -> File:
    actual = hashlib.sha256(content).hexdigest()
    if sha256 is not None and actual != sha256.lower():
        raise ConfigError(f"datasets.{name}.sha256={sha256}: {path} has {actual}; it is another file, or a damaged one")
    return File(path, content, actual)


def _do_without(name: str, source: str, reason: str, remedy: str) -> None:
    """Stop, or where `source=auto` warn."""
    if source == "archive":
        set_archive = f"set datasets.{name}.archive=/path/to/{name}.npz"
        raise ConfigError(f"datasets.{name}.source=archive: {reason}; {set_archive}, {remedy}")
    log.warning(
        "datasets.%s.source=auto: %s; taking a small generated STAND-IN corpus instead of the real one", name, reason
    )


def keras_cache() -> Path:
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "datasets"


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
        content: bytes = response.read()  # whole: only then does http.client tell a body that was cut short
    return content


def save(path: Path, content: bytes) -> None:
    """Write `path` so that it is never seen half-written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".download-") as temporary:
            fresh = Path(temporary, path.name)
            fresh.write_bytes(content)
            fresh.replace(path)
    except OSError as error:
        raise ConfigError(f"KERAS_HOME={path.parent.parent}: cannot be written ({error})") from error


def read(name: str, file: File, num_classes: int) -> Corpus:
    try:
        return parse(file.content, num_classes)
    except Exception as error:  # on altered bytes zipfile, zlib, pickle and NumPy raise a dozen kinds between them
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(f"datasets.{name}.archive={file.path}: not a sound archive: {reason}") from error


def parse(content: bytes, num_classes: int) -> Corpus:
    """The documents and labels of a Keras archive (.npz), in either of its forms, split as Keras splits them.

    On bytes that are no such archive it raises whatever the libraries raise, and executes nothing.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = {member.removesuffix(".npy") for member in archive.namelist()}
        if names >= {"x_train", "y_train", "x_test", "y_test"}:
            return Corpus(
                *_labelled(archive, "x_train", "y_train", num_classes),
                *_labelled(archive, "x_test", "y_test", num_classes),
            )
        if names >= {"x", "y"}:
            return _split_like_keras(*_labelled(archive, "x", "y", num_classes))
    raise ValueError(f"it holds {', '.join(sorted(names)) or 'nothing'}; expected x and y, or x_train … y_test")


def _split_like_keras(documents: list[list[int]], labels: NDArray[np.int64]) -> Corpus:
    order = np.arange(len(documents))
    np.random.RandomState(KERAS_SEED).shuffle(order)
    train, test = np.split(order, [int(len(documents) * (1 - 0.2))])
    if not len(train):
        raise ValueError("x holds too few documents to split")
    return Corpus([documents[i] for i in train], labels[train], [documents[i] for i in test], labels[test])


def _labelled(archive: zipfile.ZipFile, x: str, y: str, num_classes: int) -> tuple[list[list[int]], NDArray[np.int64]]:
    documents, labels = _documents(archive, x), _labels(archive, y, num_classes)
    if len(documents) != len(labels) or not documents:
        raise ValueError(f"{x} holds {len(documents)} documents and {y} {len(labels)} labels")
    return documents, labels


def _documents(archive: zipfile.ZipFile, name: str) -> list[list[int]]:
    dtype, shape, body = _member(archive, name)
    if dtype.kind != "O" or len(shape) != 1:
        raise ValueError(f"{name} must be a row of lists (dtype object), is {dtype} of shape {shape}")
    array = _Unpickler(body).load()
    documents = array.items if isinstance(array, _Inert) else None
    if not isinstance(documents, list) or len(documents) != shape[0]:
        raise ValueError(f"{name} does not hold the {shape[0]} documents it claims")
    if not all(type(document) is list for document in documents):
        raise ValueError(f"{name} must hold nothing but lists")
    ranks = np.array(list(chain.from_iterable(documents)))
    if ranks.size and (ranks.dtype.kind != "i" or ranks.ndim != 1 or ranks.min() < 0):
        raise ValueError(f"{name} must hold word ranks: whole numbers, none negative")
    return documents


def _labels(archive: zipfile.ZipFile, name: str, num_classes: int) -> NDArray[np.int64]:
    dtype, shape, body = _member(archive, name)
    if dtype.kind not in "iu" or len(shape) != 1:
        raise ValueError(f"{name} must be a row of whole numbers, is {dtype} of shape {shape}")
    labels = np.frombuffer(body.read(), dtype).reshape(shape)
    wrong = labels[(labels < 0) | (labels >= num_classes)]
    if wrong.size:
        raise ValueError(f"{name} holds label {wrong[0]}; num_classes={num_classes} allows 0 to {num_classes - 1}")
    return labels.astype(np.int64)


def _member(archive: zipfile.ZipFile, name: str) -> tuple[np.dtype[Any], tuple[int, ...], io.BytesIO]:
    """What the header of a member claims, and the bytes that follow it."""
    info = archive.getinfo(f"{name}.npy")
    if info.file_size > LARGEST_MEMBER:
        raise ValueError(f"{name} claims {info.file_size:,} bytes, more than the {LARGEST_MEMBER:,} allowed")
    body = io.BytesIO(archive.read(info))
    is_first = npy.read_magic(body) == (1, 0)
    shape, _, dtype = npy.read_array_header_1_0(body) if is_first else npy.read_array_header_2_0(body)
    return dtype, shape, body


class _Inert:
    """Stands for everything NumPy in a pickle: takes any arguments, does nothing, keeps an array's items.

    Restoring NumPy's own classes would trust the pickle with an array's dtype flags and memory.
    """

    items: object = None

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: tuple[object, ...]) -> None:
        self.items = state[-1]


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type[_Inert]:
        if (module, name) in {
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
        }:
            return _Inert
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no list of words needs")
