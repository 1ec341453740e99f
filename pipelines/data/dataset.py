"""The documents that a dataset's `read` function finds, turned into encoded and split arrays.

Documents are encoded once: the arrays stay in the user's cache, and every worker maps them from there for every trial.
Cached arrays are used only while they still have the digest that they were written with.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from conf.schema import READ_KEYWORDS, ConfigError, Data
from pipelines.data.corpus import SOURCES, Corpus, Documents, check_labels, joined_ranks
from sweeps.files import digest_of_arrays, home
from sweeps.trials.spec import Dataset, Split

START, UNKNOWN, OFFSET = 1, 2, 3  # Keras's reserved ids, 0 being the padding, and what it adds to a word's rank
PUBLISHING = 10  # attempts at giving an entry its name, if other processes do so at once
PARTS = ("train_x", "train_y", "validation_x", "validation_y", "test_x", "test_y")


def load(*, name: str, settings: Data) -> Dataset:
    """Return the dataset `name`, encoded as `keras.datasets.*.load_data` and `pad_sequences` do it.

    From the second load on, the arrays are read-only maps of files in `$XDG_CACHE_HOME/text-sweeps`. Raises
    `ConfigError` for everything that the user can correct.
    """
    corpus = _read(name, settings)
    entry = _entry(corpus.fingerprint, settings)
    cached = _cached(entry)
    if cached is None:
        arrays = _encode_splits(corpus.documents(), name, settings)
        cached = arrays, _store(entry, arrays)
    arrays, digest = cached
    train, validation, test = (Split(*arrays[i : i + 2]) for i in (0, 2, 4))
    return Dataset(
        train, validation, test, settings.num_words, settings.maxlen, settings.num_classes, digest, corpus.source
    )


def _read(name: str, settings: Data) -> Corpus:
    """Call the function `settings.read` with those keywords of `READ_KEYWORDS` that it takes."""
    module, _, function = settings.read.rpartition(".")
    read = getattr(import_module(module), function)
    values = {keyword: name if keyword == "name" else getattr(settings, keyword) for keyword in READ_KEYWORDS}
    parameters = inspect.signature(read).parameters
    for keyword in ("archive", "url", "sha256"):
        if values[keyword] is not None and keyword not in parameters:
            raise ConfigError(f"datasets.{name}.{keyword}={values[keyword]}: {settings.read} does not take it")
    corpus = read(**{keyword: value for keyword, value in values.items() if keyword in parameters})
    with _blame(f"datasets.{name}.read={settings.read}"):
        return _checked(corpus, settings.source)


def _checked(corpus: object, source: str) -> Corpus:
    if not isinstance(corpus, Corpus):
        raise ValueError(f"it returned {type(corpus).__name__}; must be a pipelines.data.corpus.Corpus")
    if not isinstance(corpus.fingerprint, str) or corpus.source not in SOURCES:
        allowed = f"a text and one of {', '.join(SOURCES)}"
        raise ValueError(f"fingerprint={corpus.fingerprint!r}, source={corpus.source!r}; must be {allowed}")
    if source not in ("auto", corpus.source):
        raise ValueError(f"it found source={corpus.source}, but source={source} is configured")
    return corpus


@contextmanager
def _blame(setting: str) -> Iterator[None]:
    """Turn an error about values into a `ConfigError` that names the setting they come from."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{setting}: {error}") from error


# Encoding


def _encode_splits(documents: object, name: str, settings: Data) -> list[NDArray[Any]]:
    """Return the six arrays of `PARTS`."""
    with _blame(f"datasets.{name}.read={settings.read}"):
        if not isinstance(documents, Documents):
            raise ValueError(f"its documents are {type(documents).__name__}; must be pipelines.data.corpus.Documents")
        x, y = _encode_part("train", documents.x_train, documents.y_train, settings)
        test = _encode_part("test", documents.x_test, documents.y_test, settings)
    if isinstance(settings.validation, str):
        return [x, y, *test, *test]
    with _blame(f"datasets.{name}.validation={settings.validation}"):
        train, validation = stratify(y, settings.validation, settings.split_seed)
    return [x[train], y[train], x[validation], y[validation], *test]


def _encode_part(
    part: str, documents: Sequence[list[int]], y: NDArray[np.int64], settings: Data
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    labels = np.asarray(y)
    check_labels(f"x_{part}", documents, f"y_{part}", labels, settings.num_classes)
    x = encode(documents, num_words=settings.num_words, maxlen=settings.maxlen)
    return x, labels.astype(np.int64)


def encode(documents: Sequence[list[int]], *, num_words: int, maxlen: int) -> NDArray[np.int32]:
    """Turn word ranks into Keras's ids, (n, maxlen): a start token, then rank + 3 or, from `num_words` on, 2.

    Short documents are padded with 0 on the left; of long ones the end is kept. Raises `ValueError` for negative ranks.
    """
    lengths = np.array([len(document) for document in documents], dtype=np.int64)[:, None]  # (n, 1)
    ranks = joined_ranks("a document", [document[-maxlen:] for document in documents])
    column = np.arange(maxlen)
    x = np.zeros((len(documents), maxlen), dtype=np.int32)
    x[column == maxlen - lengths - 1] = START
    x[column >= maxlen - lengths] = np.where(ranks < num_words - OFFSET, ranks + OFFSET, UNKNOWN)
    return x


def stratify(labels: NDArray[np.int64], fraction: float, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the indices of train and of validation, both ascending.

    Validation takes round(fraction * n) documents, and the same fraction of every class. Raises `ValueError` where that
    leaves validation empty, or some class without a document in train.
    """
    _, classes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    # NumPy has frozen the stream of `RandomState`: the split is the same in every version.
    order = np.random.RandomState(seed).permutation(len(labels))
    order = order[np.argsort(classes[order], kind="stable")]  # class by class, shuffled within each
    place = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)  # within its class
    in_validation = place < np.repeat(_shares(sizes, fraction), sizes)
    return np.sort(order[~in_validation]), np.sort(order[in_validation])


def _shares(sizes: NDArray[np.intp], fraction: float) -> NDArray[np.int64]:
    """Return how many of each class go to validation, by largest remainder; at least one of each stays in train."""
    total, most = round(fraction * int(sizes.sum())), sizes - 1
    if not 0 < total <= most.sum():
        raise ValueError(f"would hold {total} of {sizes.sum()} documents; between 1 and {most.sum()} are possible")
    quotas = np.minimum(fraction * sizes, most)
    shares: NDArray[np.int64] = np.floor(quotas).astype(np.int64)
    while missing := total - int(shares.sum()):
        by_remainder = np.argsort(shares - quotas, kind="stable")
        shares[by_remainder[(shares < most)[by_remainder]][:missing]] += 1
    return shares


# The cache


def _entry(fingerprint: str, settings: Data) -> Path:
    """Return the cache's directory for these documents and settings.

    The code is part of its name, so that nobody can forget to raise a version.
    """
    reader = import_module(settings.read.rpartition(".")[0]).__file__
    assert reader is not None
    own = sorted(Path(__file__).parent.glob("*.py"))
    code = [hashlib.sha256(module.read_bytes()).hexdigest() for module in (*own, Path(reader))]
    encoding = [settings.num_words, settings.maxlen, settings.num_classes, settings.validation, settings.split_seed]
    key = json.dumps([*code, settings.read, fingerprint, *encoding])
    cache = Path(os.environ.get("XDG_CACHE_HOME") or home() / ".cache") / "text-sweeps"
    return cache / hashlib.sha256(key.encode()).hexdigest()[:32]


def _cached(entry: Path) -> tuple[list[NDArray[Any]], str] | None:
    """Return the cached arrays and their digest, or None where there are none that can be trusted."""
    try:
        arrays: list[NDArray[Any]] = [npy.open_memmap(entry / f"{part}.npy", mode="r") for part in PARTS]
        digest = json.loads((entry / "meta.json").read_text())["digest"]
    except Exception:  # absent, half-written or altered in whatever way: the documents are encoded again
        return None
    return (arrays, digest) if digest == digest_of_arrays(arrays) else None


def _store(entry: Path, arrays: Sequence[NDArray[Any]]) -> str:
    """Write the arrays for the next load and return their digest."""
    digest = digest_of_arrays(arrays)
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=entry.parent, prefix=".encoding-") as temporary:
            unpublished = Path(temporary, "unpublished")
            unpublished.mkdir()
            for part, array in zip(PARTS, arrays, strict=True):
                np.save(unpublished / f"{part}.npy", array)
            (unpublished / "meta.json").write_text(json.dumps({"digest": digest}))
            _publish(unpublished, entry)
    except OSError as error:
        raise ConfigError(f"XDG_CACHE_HOME={entry.parent.parent}: cannot be written ({error})") from error
    return digest


def _publish(unpublished: Path, entry: Path) -> None:
    """Rename the directory to `entry`; if another process does so at the same time, its arrays are the same."""
    for attempt in range(PUBLISHING):
        try:
            unpublished.rename(entry)
        except OSError:
            if attempt == PUBLISHING - 1:
                raise
            if _cached(entry) is not None:
                return
            with suppress(FileNotFoundError):
                entry.rename(unpublished.with_name(f"replaced-{attempt}"))  # is removed with the temporary directory
        else:
            return
