"""Keras's archives of labelled documents: how they are found, checked and parsed, and what stands in for them.

A file is not trusted: its hash is checked first, and its pickles can build nothing but lists of numbers.
"""

from __future__ import annotations

import io
import logging
import pickle
import zipfile
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from conf.schema import ConfigError
from pipelines.data import keras_cache, standin
from pipelines.data.corpus import Corpus, Documents, check_labels, joined_ranks
from pipelines.data.keras_cache import File, Source

KERAS_SEED = 113  # of `keras.datasets.reuters.load_data`
STANDIN_SEED = 1
LARGEST_MEMBER = 2 * 2**30  # bytes unpacked; IMDB's largest has 14 million

log = logging.getLogger(__name__)


def read(
    *,
    name: str,
    source: str,
    archive: str | None,
    url: str | None,
    sha256: str | None,
    num_words: int,
    num_classes: int,
) -> Corpus:
    """Return the corpus of an archive, or with `source="standin"` the generated one.

    The archive is the file `archive`, else the one in Keras's cache, else a download. `source="auto"` takes the
    stand-in where there is no archive and no network, and logs a warning; `source="archive"` raises `ConfigError`.
    """
    file = None
    if source != "standin":
        try:
            file = keras_cache.find(Source(f"datasets.{name}", "archive", archive, url, sha256))
        except keras_cache.UnavailableError as error:
            if source == "archive":
                raise ConfigError(f"datasets.{name}.source=archive: {error}") from error
            log.warning(
                "datasets.%s.source=auto: %s; taking a small generated STAND-IN corpus instead of the real one",
                name,
                error.reason,
            )
    if file is None:
        return Corpus("standin", "standin", lambda: _stand_in(name, num_words, num_classes))
    return Corpus(file.sha256, "archive", lambda: _parsed(name, file, num_classes))


def _stand_in(name: str, num_words: int, num_classes: int) -> Documents:
    try:
        return standin.generate(num_words=num_words, num_classes=num_classes, seed=STANDIN_SEED)
    except ValueError as error:
        raise ConfigError(f"datasets.{name}.num_words={num_words}: {error}") from error


def _parsed(name: str, file: File, num_classes: int) -> Documents:
    try:
        return parse(file.content, num_classes)
    except Exception as error:  # on altered bytes zipfile, zlib, pickle and NumPy raise a dozen kinds between them
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(f"datasets.{name}.archive={file.path}: not a sound archive: {reason}") from error


def parse(content: bytes, num_classes: int) -> Documents:
    """Return the documents and labels of a Keras archive (.npz), in either of its forms, split as Keras splits them.

    On bytes that are no such archive it raises whatever the libraries raise, and executes nothing.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = {member.removesuffix(".npy") for member in archive.namelist()}
        if names >= {"x_train", "y_train", "x_test", "y_test"}:
            return Documents(
                *_labelled(archive, "x_train", "y_train", num_classes),
                *_labelled(archive, "x_test", "y_test", num_classes),
            )
        if names >= {"x", "y"}:
            return _split_like_keras(*_labelled(archive, "x", "y", num_classes))
    raise ValueError(f"it holds {', '.join(sorted(names)) or 'nothing'}; expected x and y, or x_train … y_test")


def _split_like_keras(documents: list[list[int]], labels: NDArray[np.int64]) -> Documents:
    order = np.arange(len(documents))
    np.random.RandomState(KERAS_SEED).shuffle(order)
    train, test = np.split(order, [int(len(documents) * (1 - 0.2))])
    if not len(train):
        raise ValueError("x holds too few documents to split")
    return Documents([documents[i] for i in train], labels[train], [documents[i] for i in test], labels[test])


def _labelled(archive: zipfile.ZipFile, x: str, y: str, num_classes: int) -> tuple[list[list[int]], NDArray[np.int64]]:
    documents, labels = _documents(archive, x), _labels(archive, y)
    check_labels(x, documents, y, labels, num_classes)
    return documents, labels.astype(np.int64)


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
    joined_ranks(name, documents)
    return documents


def _labels(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    dtype, shape, body = _member(archive, name)
    return np.frombuffer(body.read(), dtype).reshape(shape)


def _member(archive: zipfile.ZipFile, name: str) -> tuple[np.dtype[Any], tuple[int, ...], io.BytesIO]:
    """Return the dtype and the shape that the header of a member claims, and the bytes that follow it."""
    info = archive.getinfo(f"{name}.npy")
    if info.file_size > LARGEST_MEMBER:
        raise ValueError(f"{name} claims {info.file_size:,} bytes, more than the {LARGEST_MEMBER:,} allowed")
    body = io.BytesIO(archive.read(info))
    is_first = npy.read_magic(body) == (1, 0)
    shape, _, dtype = npy.read_array_header_1_0(body) if is_first else npy.read_array_header_2_0(body)
    return dtype, shape, body


class _Inert:
    """The replacement of every NumPy object in a pickle: it takes any arguments and keeps an array's items.

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
