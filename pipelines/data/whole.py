"""The texts of a dataset before `maxlen` and `num_words` cut them, for the reference that learns from whole texts.

Beside the encoded data they have an entry of their own in the cache, which workers fetch in the same way. Documents are
as long as they are, so those of a part stand in one row.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from conf.schema import Data
from pipelines.data import cache, documents, table_dataset, vocabulary
from pipelines.data.corpus import Corpus, OnProgress, Source, silent
from pipelines.data.splits import PARTS, TEST, TRAIN, VALIDATION
from sweeps.text_encoder import OFFSET, START, UNKNOWN, Ranks, TextEncoder
from sweeps.trials.spec import Dataset, Split

WORDS = 2**17  # that have an id of their own, the most frequent ones; all of IMDB's 88,584
NUM_WORDS, NUM_CLASSES, LONGEST, SOURCE = "num_words", "num_classes", "longest", "source"


def load(*, name: str, settings: Data, digest: str | None = None, on_progress: OnProgress = silent) -> Dataset:
    """Return the dataset `name` with its texts whole: each part's `x` is one row of ids, see `Split`.

    With a `digest` that is in the cache nothing else is read. Raises `ConfigError` for everything that the user can
    correct.
    """
    entry = cache.with_digest(digest) if digest is not None else None
    if entry is None:
        source = _of_table(name, settings, on_progress) if settings.files else _of_documents(name, settings)
        entry = cache.entry(source.key, source.write)
    facts = entry.description
    train, validation, test = (Split(*entry.arrays[i : i + 2]) for i in (0, 2, 4))
    sizes = facts[NUM_WORDS], facts[LONGEST], facts[NUM_CLASSES]
    return Dataset(train, validation, test, *sizes, entry.digest, facts[SOURCE])


def _of_documents(name: str, settings: Data) -> Source:
    corpus, key = documents.found(name, settings)
    # The reader may return other documents for another vocabulary, as that of the stand-in does.
    return Source([*key, settings.num_words, "whole"], lambda folder: _write_documents(folder, corpus, name, settings))


def _write_documents(folder: Path, corpus: Corpus, name: str, settings: Data) -> Mapping[str, Any]:
    given = corpus.documents()
    y, y_test = (np.asarray(labels).astype(np.int64) for labels in (given.y_train, given.y_test))
    train, validation = given.x_train, given.x_test
    labels = [y, y_test]
    if settings.validation != "test":
        places = documents.divided(y, name, settings)
        train, validation = ([given.x_train[place] for place in part] for part in places)
        labels = [y[part] for part in places]
    parts = [Ranks.of(part) for part in (train, validation, given.x_test)]
    num_words = min(WORDS, max(int(part.flat.max(initial=0)) for part in parts) + OFFSET + 1)
    rows = [whole(part, num_words) for part in parts]
    pairs = zip(rows, [*labels, y_test], strict=True)
    cache.save(folder, [array for pair in pairs for array in pair])
    longest = max(int(part.lengths.max()) for part in parts) + 1
    return _description(num_words, longest, settings.num_classes or 0, corpus.source)


def _of_table(name: str, settings: Data, on_progress: OnProgress) -> Source:
    key = [*table_dataset.key_of(name, settings), settings.tokens, _num_words(settings), "whole"]
    return Source(key, lambda folder: _write_table(folder, name, settings, on_progress))


def _num_words(settings: Data) -> int:
    """Return the size of the vocabulary: pieces of words make up every text, however many there are."""
    return WORDS if settings.tokens in ("words", "characters") else settings.num_words


def _write_table(folder: Path, name: str, settings: Data, on_progress: OnProgress) -> Mapping[str, Any]:
    table, division = table_dataset.read(name, settings, on_progress)
    num_words, longest = _num_words(settings), 0
    watched = table_dataset.watched(table, "learning the words of the whole texts", on_progress)
    texts = table_dataset.texts_of(watched, division, TRAIN)
    learned = vocabulary.learn(texts, tokens=settings.tokens, num_words=num_words)
    encoder = TextEncoder({**table_dataset.encoder_settings(settings), NUM_WORDS: num_words}, learned.content)
    rows = [_Row(folder / f"{PARTS[part]}_x.npy") for part in (TRAIN, VALIDATION, TEST)]
    watched = table_dataset.watched(table, "encoding the whole texts", on_progress)
    for batch, places in table_dataset.batches_of(watched):
        ranks = encoder.ranks(batch)
        ids, part_of_token = whole(ranks, num_words), np.repeat(division.parts[places], ranks.lengths + 1)
        longest = max(longest, int(ranks.lengths.max(initial=0)) + 1)
        for part, row in enumerate(rows):
            row.add(ids[part_of_token == part])
    for row in rows:
        row.finish()
    table_dataset.save_labels(folder, division, settings)
    return _description(num_words, longest, len(division.labels), "archive")


def whole(ranks: Ranks, num_words: int) -> NDArray[np.int32]:
    """Turn ranks into the ids of all documents in one row, (tokens,), each with its start token and uncut."""
    ids = np.full(len(ranks.flat) + len(ranks.lengths), START, np.int32)
    is_token = np.ones(len(ids), bool)
    is_token[np.cumsum(ranks.lengths + 1) - ranks.lengths - 1] = False
    ids[is_token] = np.where(ranks.flat < num_words - OFFSET, ranks.flat + OFFSET, UNKNOWN)
    return ids


class _Row:
    """An array of ids in a file, which grows by pieces."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("wb")
        self._size = 0
        cache.write_header(self._file, (0,))

    def add(self, ids: NDArray[np.int32]) -> None:
        self._file.write(ids.tobytes())
        self._size += len(ids)

    def finish(self) -> None:
        with self._file:
            self._file.seek(0)
            cache.write_header(self._file, (self._size,))


def _description(num_words: int, longest: int, num_classes: int, source: str) -> Mapping[str, Any]:
    return {NUM_WORDS: num_words, LONGEST: longest, NUM_CLASSES: num_classes, SOURCE: source}
