"""Datasets of documents that a `read` function returns as word ranks: Keras's archives, and a user's own function."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conf.schema import READ_KEYWORDS, ConfigError, Data
from pipelines.data import cache
from pipelines.data.audit import Labelled, TokenCounts, audit, hashes
from pipelines.data.corpus import SOURCES, Corpus, Documents, Source, check_labels, joined_ranks
from pipelines.data.splits import stratify
from sweeps.files import digest_of_arrays
from sweeps.text_encoder import OFFSET, encode
from sweeps.trials.spec import Split


def source(name: str, settings: Data) -> Source:
    """Find the documents of the dataset `name`; they are parsed only if their encoding is not in the cache yet."""
    corpus, key = found(name, settings)
    encoding = [settings.num_words, settings.maxlen, settings.keep]
    return Source([*key, *encoding], lambda folder: _write(folder, corpus.documents(), corpus.source, name, settings))


def found(name: str, settings: Data) -> tuple[Corpus, list[Any]]:
    """Find the documents, and return with them the key of everything that decides them and their division."""
    corpus = _read(name, settings)
    reader = import_module(settings.read.rpartition(".")[0]).__file__
    assert reader is not None
    division = [settings.num_classes, settings.validation, settings.split_seed, settings.text.labels]
    return corpus, [*cache.code(Path(reader)), settings.read, corpus.fingerprint, *division]


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
    with blame(f"datasets.{name}.read={settings.read}"):
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
def blame(setting: str) -> Iterator[None]:
    """Turn an error about values into a `ConfigError` that names the setting they come from."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{setting}: {error}") from error


def _write(folder: Path, documents: object, source: str, name: str, settings: Data) -> Mapping[str, Any]:
    """Save the encoded arrays and return their description."""
    assert settings.num_classes is not None
    with blame(f"datasets.{name}.read={settings.read}"):
        if not isinstance(documents, Documents):
            raise ValueError(f"its documents are {type(documents).__name__}; must be pipelines.data.corpus.Documents")
        given = _encoded("train", documents.x_train, documents.y_train, settings)
        test = _encoded("test", documents.x_test, documents.y_test, settings)
        counted = _counts(documents.x_train, settings.num_words)
    train, validation = given, test
    division: Sequence[NDArray[np.intp]] = ()
    if settings.validation != "test":
        division = divided(given.y, name, settings)
        train, validation = (Split(given.x[part], given.y[part]) for part in division)
    cache.save(folder, [*train, *validation, *test])
    labels = settings.text.labels or [str(label) for label in range(settings.num_classes)]
    sizes = {"train": len(train.y), "validation": len(validation.y), "test": len(test.y)}
    facts = audit(
        Labelled(hashes(given.x), given.y),
        Labelled(hashes(test.x), test.y),
        counted,
        labels,
        settings.maxlen,
        sizes=sizes,
        num_words=settings.num_words,
        tokens=settings.tokens,
        texts=_digest_of_texts(documents, division),
    )
    return {"source": source, "audit": facts.as_dict()}


def _digest_of_texts(documents: Documents, division: Sequence[NDArray[np.intp]]) -> str:
    sides = ((documents.x_train, documents.y_train), (documents.x_test, documents.y_test))
    arrays: list[NDArray[Any]] = [np.asarray(part, dtype=np.int64) for part in division]
    for x, y in sides:
        arrays += [joined_ranks("a document", x), np.fromiter(map(len, x), np.int64, len(x)), np.asarray(y, np.int64)]
    return digest_of_arrays(arrays)


def _encoded(part: str, documents: Sequence[list[int]], y: NDArray[np.int64], settings: Data) -> Split:
    labels = np.asarray(y)
    check_labels(f"x_{part}", documents, f"y_{part}", labels, settings.num_classes or 0)
    joined_ranks("a document", documents)
    x = encode(documents, num_words=settings.num_words, maxlen=settings.maxlen, keep=settings.keep)
    return Split(x, labels.astype(np.int64))


def divided(y: NDArray[np.int64], name: str, settings: Data) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return which of the documents with these labels are train, and which are validation."""
    assert not isinstance(settings.validation, str)
    with blame(f"datasets.{name}.validation={settings.validation}"):
        return stratify(y, settings.validation, settings.split_seed)


def _counts(documents: Sequence[list[int]], num_words: int) -> TokenCounts:
    ranks = joined_ranks("a document", documents)
    lengths = np.fromiter(map(len, documents), np.int64, len(documents))
    return TokenCounts(lengths, np.unique(ranks, return_counts=True)[1], int(np.sum(ranks >= num_words - OFFSET)))
