"""From documents to arrays: archive or stand-in -> encoded splits.

Encoding happens once: the arrays stay in the user's cache, and every worker maps them from there for every trial. What
the cache holds is used only while it still has the digest it was written with.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from conf.schema import ConfigError
from pipelines.data import archives, standin
from pipelines.data.corpus import Corpus
from sweeps.trials.spec import Dataset, Split

START, UNKNOWN, OFFSET = 1, 2, 3  # Keras's reserved ids, 0 being the padding, and what it adds to a word's rank
STANDIN_SEED = 1
PARTS = ("train_x", "train_y", "validation_x", "validation_y", "test_x", "test_y")


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
    file = None if source == "standin" else archives.find(name, source, archive, url, sha256)
    origin = "standin" if file is None else file.sha256
    entry = _entry(origin, num_words, maxlen, num_classes, validation, split_seed)
    kept = _kept(entry)
    if kept is None:
        corpus = _stand_in(name, num_words, num_classes) if file is None else archives.read(name, file, num_classes)
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
    code = [
        hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in (__file__, archives.__file__, standin.__file__)
    ]
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
