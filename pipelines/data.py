"""Where a dataset comes from and how it becomes arrays: archive, download or stand-in -> encoded splits.

Encoding happens once: the arrays stay in the user's cache, and every worker maps them from there for every trial.
Nothing in a file is believed: its hash is checked first, its pickles can build nothing but lists of numbers, and what
the cache holds is used only while it still has the digest it was written with.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import pickle
import tempfile
import urllib.request
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPException
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from conf.schema import ConfigError
from pipelines import standin
from pipelines.standin import Corpus
from sweeps.spec import Dataset, Split

START, UNKNOWN, OFFSET = 1, 2, 3  # Keras's reserved ids, 0 being the padding, and what it adds to a word's rank
KERAS_SEED = 113  # of `keras.datasets.reuters.load_data`
STANDIN_SEED = 1
TIMEOUT = 30  # seconds without a byte, after which a download is given up
LARGEST_MEMBER = 2 * 2**30  # bytes unpacked; IMDB's largest has 14 million
PARTS = ("train_x", "train_y", "validation_x", "validation_y", "test_x", "test_y")

log = logging.getLogger(__name__)


def load(
    *,
    name: str,
    source: str,
    archive: str | None,
    url: str | None,
    sha256: str | None,
    num_words: int,
    maxlen: int,
    num_classes: int,
    validation: float | str,
    split_seed: int,
) -> Dataset:
    """The dataset `name`, encoded as `keras.datasets.*.load_data` and `pad_sequences` do it.

    From the second load on the arrays are read-only maps of files in `$XDG_CACHE_HOME/text-sweeps`. `source="auto"`
    falls back to the stand-in where there is no archive and no network, and logs a warning. Raises `ConfigError` for
    everything the user can mend.
    """
    file = None if source == "standin" else _find(name, source, archive, url, sha256)
    origin = "standin" if file is None else file.sha256
    entry = _entry(origin, num_words, maxlen, num_classes, validation, split_seed)
    kept = _kept(entry)
    if kept is None:
        corpus = _stand_in(name, num_words, num_classes) if file is None else _read(name, file, num_classes)
        with _blame(f"datasets.{name}.validation={validation}"):
            arrays = _encode_splits(corpus, num_words, maxlen, validation, split_seed)
        kept = arrays, _keep(entry, arrays)
    arrays, digest = kept
    train, held_out, test = (Split(*arrays[i : i + 2]) for i in (0, 2, 4))
    source = "standin" if file is None else "archive"
    return Dataset(train, held_out, test, num_words, maxlen, num_classes, digest, source)


@contextmanager
def _blame(setting: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ConfigError(f"{setting}: {error}") from error


def _stand_in(name: str, num_words: int, num_classes: int) -> Corpus:
    with _blame(f"datasets.{name}.num_words={num_words}"):
        return standin.generate(num_words=num_words, num_classes=num_classes, seed=STANDIN_SEED)


# Finding the archive


class _File(NamedTuple):
    """An archive whose hash was checked. The bytes that were hashed are the bytes that are parsed."""

    path: str
    content: bytes
    sha256: str


def _find(name: str, source: str, archive: str | None, url: str | None, sha256: str | None) -> _File | None:
    """The archive; None where `source=auto` must do without."""
    if archive is not None:
        path = Path(archive).expanduser()
        return _verified(name, str(path), _content(name, path), sha256)
    if url is None:
        _do_without(name, source, "neither archive nor url is set", f"or datasets.{name}.url=https://…")
        return None
    path = _keras_cache() / PurePosixPath(urlsplit(url).path).name
    if os.path.exists(path):  # not Path.exists, which raises where the directory may not be entered
        return _verified(name, str(path), _content(name, path), sha256)
    try:
        content = _fetch(url)
    except (OSError, HTTPException, ValueError) as error:
        reason = f"{path} does not exist and {url} cannot be fetched ({error})"
        _do_without(name, source, reason, f"put the file at {path}, or allow the network to reach {url}")
        return None
    file = _verified(name, url, content, sha256)
    _save(path, content)
    return file


def _content(name: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"datasets.{name}.archive={path}: cannot be read ({error.strerror})") from error


def _verified(name: str, path: str, content: bytes, sha256: str | None) -> _File:
    actual = hashlib.sha256(content).hexdigest()
    if sha256 is not None and actual != sha256.lower():
        raise ConfigError(f"datasets.{name}.sha256={sha256}: {path} has {actual}; it is another file, or a damaged one")
    return _File(path, content, actual)


def _do_without(name: str, source: str, reason: str, remedy: str) -> None:
    """Stop, or where `source=auto` warn."""
    if source == "archive":
        set_archive = f"set datasets.{name}.archive=/path/to/{name}.npz"
        raise ConfigError(f"datasets.{name}.source=archive: {reason}; {set_archive}, {remedy}")
    log.warning(
        "datasets.%s.source=auto: %s; taking a small generated STAND-IN corpus instead of the real one", name, reason
    )


def _keras_cache() -> Path:
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "datasets"


def _fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
        content: bytes = response.read()  # whole: only then does http.client tell a body that was cut short
    return content


def _save(path: Path, content: bytes) -> None:
    """Write `path` so that it is never seen half-written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".download-") as temporary:
            fresh = Path(temporary, path.name)
            fresh.write_bytes(content)
            fresh.replace(path)
    except OSError as error:
        raise ConfigError(f"KERAS_HOME={path.parent.parent}: cannot be written ({error})") from error


# Reading it


def _read(name: str, file: _File, num_classes: int) -> Corpus:
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


# Encoding


def _encode_splits(
    corpus: Corpus, num_words: int, maxlen: int, validation: float | str, split_seed: int
) -> list[NDArray[Any]]:
    """The six arrays of `PARTS`."""
    x, y = encode(corpus.x_train, num_words=num_words, maxlen=maxlen), corpus.y_train
    test: list[NDArray[Any]] = [encode(corpus.x_test, num_words=num_words, maxlen=maxlen), corpus.y_test]
    if isinstance(validation, str):
        return [x, y, *test, *test]
    train, held_out = stratify(y, validation, split_seed)
    return [x[train], y[train], x[held_out], y[held_out], *test]


def encode(documents: Sequence[list[int]], *, num_words: int, maxlen: int) -> NDArray[np.int32]:
    """Word ranks -> ids as Keras has them, (n, maxlen): a start token, then rank + 3 or, from `num_words` on, 2.

    Padded with 0 on the left; of a longer document the end is kept.
    """
    lengths = np.array([len(document) for document in documents], dtype=np.int64)[:, None]  # (n, 1)
    ranks = np.array(list(chain.from_iterable(document[-maxlen:] for document in documents)), dtype=np.int64)
    column = np.arange(maxlen)
    x = np.zeros((len(documents), maxlen), dtype=np.int32)
    x[column == maxlen - lengths - 1] = START
    x[column >= maxlen - lengths] = np.where(ranks < num_words - OFFSET, ranks + OFFSET, UNKNOWN)
    return x


def stratify(labels: NDArray[np.int64], fraction: float, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices of train and of validation, both ascending; validation takes round(fraction * n), alike of every class.

    Raises `ValueError` where that leaves validation empty, or some class without an example in train.
    """
    _, classes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    # NumPy has frozen the stream of `RandomState`: the split stays the same in versions to come.
    order = np.random.RandomState(seed).permutation(len(labels))
    order = order[np.argsort(classes[order], kind="stable")]  # class by class, shuffled within each
    place = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)  # within its class
    held_out = place < np.repeat(_shares(sizes, fraction), sizes)
    return np.sort(order[~held_out]), np.sort(order[held_out])


def _shares(sizes: NDArray[np.intp], fraction: float) -> NDArray[np.int64]:
    """How many of each class go to validation, by largest remainder; at least one of each stays in train."""
    total, most = round(fraction * int(sizes.sum())), sizes - 1
    if not 0 < total <= most.sum():
        raise ValueError(f"would hold {total} of {sizes.sum()} documents; between 1 and {most.sum()} are possible")
    quotas = np.minimum(fraction * sizes, most)
    shares: NDArray[np.int64] = np.floor(quotas).astype(np.int64)
    while missing := total - int(shares.sum()):
        by_remainder = np.argsort(shares - quotas, kind="stable")
        shares[by_remainder[(shares < most)[by_remainder]][:missing]] += 1
    return shares


# Keeping it


def _entry(*settings: object) -> Path:
    """The cache directory of these settings. The code is part of the key: nobody can forget to raise a version."""
    code = [hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in (__file__, standin.__file__)]
    key = hashlib.sha256(json.dumps([*code, *settings]).encode()).hexdigest()[:32]
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "text-sweeps" / key


def _kept(entry: Path) -> tuple[list[NDArray[Any]], str] | None:
    """The arrays and their digest; None where there are none to be trusted."""
    try:
        arrays: list[NDArray[Any]] = [npy.open_memmap(entry / f"{part}.npy", mode="r") for part in PARTS]
        digest = json.loads((entry / "meta.json").read_text())["digest"]
    except Exception:  # absent, half-written or altered in whatever way: it is encoded again
        return None
    return (arrays, digest) if digest == _digest(arrays) else None


def _keep(entry: Path, arrays: Sequence[NDArray[Any]]) -> str:
    """Write the arrays for the next load; returns their digest."""
    digest = _digest(arrays)
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=entry.parent, prefix=".encoding-") as temporary:
            fresh = Path(temporary, "fresh")
            fresh.mkdir()
            for part, array in zip(PARTS, arrays, strict=True):
                np.save(fresh / f"{part}.npy", array)
            (fresh / "meta.json").write_text(json.dumps({"digest": digest}))
            _publish(fresh, entry)
    except OSError as error:
        raise ConfigError(f"XDG_CACHE_HOME={entry.parent.parent}: cannot be written ({error})") from error
    return digest


def _publish(fresh: Path, entry: Path) -> None:
    """Rename `fresh` to `entry`. Other processes may be at it too; their result is as good."""
    with suppress(FileNotFoundError):
        entry.rename(fresh.with_name("replaced"))  # into the temporary directory, which takes it along
    try:
        fresh.rename(entry)
    except OSError:
        if not entry.is_dir():
            raise


def _digest(arrays: Sequence[NDArray[Any]]) -> str:
    """Names the content of the arrays, wherever and by whichever NumPy they were written."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.data.cast("B"))
    return digest.hexdigest()[:16]
