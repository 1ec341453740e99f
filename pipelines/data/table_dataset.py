"""Datasets of labelled texts in a table: read, divided, and encoded with a vocabulary that is learned from train."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from conf.schema import ENCODING, ConfigError, Data
from pipelines.data import cache, splits, vocabulary
from pipelines.data.audit import Labelled, TokenCounts, audit, hashes
from pipelines.data.corpus import OnProgress, Source, silent
from pipelines.data.splits import LEFT_OUT, PARTS, TEST, TRAIN, VALIDATION, Rows
from pipelines.data.tables import scan
from pipelines.data.tables.columns import Columns
from pipelines.data.tables.files import listed, visible
from pipelines.data.tables.scan import Table
from sweeps.files import digest_of_arrays
from sweeps.text_encoder import OFFSET, TextEncoder, encode, sums

OTHER = "other"  # the label of those that `rare=merge` puts together
SHOWN = 5  # labels that a note names


class Division(NamedTuple):
    """A table with its rows in their parts."""

    labels: tuple[str, ...]
    y: NDArray[np.int64]  # (n,) places in `labels`; of rows that are left out too
    parts: NDArray[np.int8]  # (n,) TRAIN, VALIDATION, TEST or LEFT_OUT
    notes: tuple[str, ...]


def source(name: str, settings: Data, on_progress: OnProgress = silent) -> Source:
    """Find the files of the dataset `name`; they are read only if their encoding is not in the cache yet."""
    key = [*key_of(name, settings), *encoder_settings(settings).values()]
    return Source(key, lambda folder: _write(folder, name, settings, on_progress))


def key_of(name: str, settings: Data) -> list[Any]:
    """Return the key of everything that decides which texts are in which part."""
    content = scan.fingerprint(name, settings.files, test_files(settings))
    decisive = [getattr(settings, key) for key in ("label", "group", "time", "split", "test", "validation")]
    decisive += [settings.text.columns, settings.duplicates, settings.rare, settings.split_seed]
    return [*cache.code(), content, *decisive]


def test_files(settings: Data) -> list[str]:
    return settings.test if isinstance(settings.test, list) else []


def encoder_settings(settings: Data) -> dict[str, Any]:
    """Return the settings with which `TextEncoder` encodes the texts."""
    return {**dict(zip(ENCODING, settings.encoding, strict=True)), "unlisted": "unknown"}


def read(name: str, settings: Data, on_progress: OnProgress = silent) -> tuple[Table, Division]:
    """Read a table and divide its rows. Raises `ConfigError` for everything that the user can correct."""
    columns = Columns(tuple(settings.text.columns), settings.label, settings.group, settings.time, settings.split)
    table = scan.read(name, settings.files, columns, test_files(settings), on_progress)
    return table, divide(table, name, settings)


def divide(table: Table, name: str, settings: Data) -> Division:
    """Divide the rows of a table as `splits.split` does, after its rare labels were merged or dropped."""
    times = None if table.times is None else table.times.astype(np.float64)
    rows = Rows(table.y, table.hashes, table.groups, times, table.parts)
    units = splits.units(rows, duplicates=settings.duplicates)
    rare = splits.rare(rows, units)
    labels, y, kept_rows, notes = _without_rare(table, rare, settings.rare, f"datasets.{name}.rare")
    chosen = rows
    if y is not table.y:  # otherwise all rows stay as they are, and so do their units
        chosen = rows._replace(y=y).at(kept_rows)
        units = splits.units(chosen, duplicates=settings.duplicates)
    parts = np.full(len(y), LEFT_OUT, dtype=np.int8)
    try:
        parts[kept_rows] = splits.split(
            chosen,
            units,
            test=settings.test if isinstance(settings.test, float) else 0.0,
            validation=None if isinstance(settings.validation, str) else settings.validation,
            seed=settings.split_seed,
        )
    except ValueError as error:
        asked = [f"datasets.{name}.{key}={getattr(settings, key)}" for key in ("test", "validation")]
        raise ConfigError(
            f"{' and '.join(asked if table.parts is None else asked[1:])}: {error}: {listed(settings.files)} has "
            f"{len(chosen.y):,} rows of {len(np.unique(chosen.y)):,} labels to divide; "
            f"a label with at least {len(PARTS)} texts that are not kept together is in every part"
        ) from error
    notes += _never_trained(labels, y, parts)
    if left_out := int(np.sum(parts[kept_rows] == LEFT_OUT)):
        notes += (f"{left_out:,} rows are left out of train and validation: their texts or groups are tested",)
    return Division(labels, y, parts, notes)


def _never_trained(labels: Sequence[str], y: NDArray[np.int64], parts: NDArray[np.int8]) -> tuple[str, ...]:
    unknown = np.setdiff1d(y[np.isin(parts, (VALIDATION, TEST))], y[parts == TRAIN])
    if not len(unknown):
        return ()
    names = listed([visible(labels[label]) for label in unknown], SHOWN)
    return (f"no text of {names} is in train, so that no model can answer {'it' if len(unknown) == 1 else 'them'}",)


def _without_rare(
    table: Table, rare: NDArray[np.int64], choice: str, key: str
) -> tuple[tuple[str, ...], NDArray[np.int64], NDArray[np.bool_], tuple[str, ...]]:
    """Return labels, y, the rows that are kept, and notes, after the rare labels were treated as they should be."""
    everything = np.ones(len(table.y), dtype=bool)
    if not len(rare):
        return table.labels, table.y, everything, ()
    names = ", ".join(table.labels[label] for label in rare[:SHOWN]) + (", …" if len(rare) > SHOWN else "")
    is_rare = np.isin(table.y, rare)
    one = len(rare) == 1
    few = f"{len(rare)} label{' has' if one else 's have'} too few texts for train, validation and test ({names})"
    if choice == "keep":
        return (
            table.labels,
            table.y,
            everything,
            (f"{few}; {key}=merge puts such together, {key}=drop leaves them out",),
        )
    remaining = [label for n, label in enumerate(table.labels) if n not in rare]
    if len(remaining) < (2 if choice == "drop" else 1):
        raise ConfigError(f"{key}={choice}: leaves {len(remaining)} of the labels; there must be two")
    if choice == "drop":
        note = f"{few}: their {int(is_rare.sum()):,} rows are left out"
        return tuple(remaining), _renamed(table, remaining, remaining[0]), ~is_rare, (note,)
    merged = remaining if OTHER in remaining else [*remaining, OTHER]
    return tuple(merged), _renamed(table, merged, OTHER), everything, (f"{few}: they are one label, {OTHER}",)


def _renamed(table: Table, labels: list[str], otherwise: str) -> NDArray[np.int64]:
    places = {label: place for place, label in enumerate(labels)}
    return np.array([places.get(label, places[otherwise]) for label in table.labels])[table.y]


def texts_of(table: Table, division: Division, *parts: int) -> Iterator[list[str]]:
    """Yield the texts of some parts in batches, in the order of the table."""
    for texts, rows in batches_of(table):
        chosen = np.isin(division.parts[rows], parts)
        yield [text for text, is_chosen in zip(texts, chosen.tolist(), strict=True) if is_chosen]


def batches_of(table: Table) -> Iterator[tuple[list[str], slice]]:
    """Yield all texts in batches, with the rows that they stand in."""
    done = 0
    for batch in table.texts():
        yield batch.to_pylist(), slice(done, done + len(batch))
        done += len(batch)


def watched(table: Table, step: str, on_progress: OnProgress) -> Table:
    """Return the table with every pass over its texts reported."""

    def texts() -> Iterator[pa.StringArray]:
        done = 0
        for batch in table.texts():
            yield batch
            done += len(batch)
            on_progress(step, done, len(table.y))

    return table._replace(texts=texts)


def _write(folder: Path, name: str, settings: Data, on_progress: OnProgress) -> Mapping[str, Any]:
    """Save the encoded arrays and the vocabulary, and return their description."""
    table, division = read(name, settings, on_progress)
    try:
        learned = vocabulary.learn(
            texts_of(watched(table, "learning the vocabulary", on_progress), division, TRAIN),
            tokens=settings.tokens,
            num_words=settings.num_words,
        )
    except ValueError as error:
        raise ConfigError(f"datasets.{name}.tokens={settings.tokens}: {error}") from error
    (folder / cache.VOCABULARY).write_bytes(learned.content)
    with _Encoding(folder, division, settings, learned.content) as encoding:
        for texts, rows in batches_of(watched(table, "encoding", on_progress)):
            encoding.add(texts, rows)
    facts = audit(
        encoding.labelled(TRAIN, VALIDATION),
        encoding.labelled(TEST),
        encoding.counted(learned.counts),
        division.labels,
        settings.maxlen,
        sizes=encoding.finish(),
        num_words=settings.num_words,
        tokens=settings.tokens,
        left_out=int(np.sum(division.parts == LEFT_OUT)),
        groups=0 if table.groups is None else len(np.unique(table.groups)),
        scripts=_scripts(table),
        texts=_digest_of_texts(table, division),
        notes=(*table.guesses, *division.notes),
    )
    return {"source": "archive", "audit": facts.as_dict()}


class _Encoding:
    """The arrays of a table's parts, which are written batch by batch: nothing grows with the table but its numbers.

    They are not mapped, as what was written to a map counts as this process's memory.
    """

    def __init__(self, folder: Path, division: Division, settings: Data, vocabulary: bytes) -> None:
        self._folder, self._division, self._settings = folder, division, settings
        self._encoder = TextEncoder(encoder_settings(settings), vocabulary)
        self._x = {part: self._new(part) for part in (TRAIN, VALIDATION, TEST)}
        self._hashes = np.zeros(len(division.y), dtype=np.uint64)
        self._lengths = np.zeros(len(division.y), dtype=np.int64)
        self._unknown = 0  # tokens of train and validation that are outside the vocabulary

    def _new(self, part: int) -> BinaryIO:
        shape = (int(np.sum(self._division.parts == part)), self._settings.maxlen)
        file = (self._folder / f"{PARTS[part]}_x.npy").open("wb")
        cache.write_header(file, shape)
        return file

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._x.values():
            file.close()

    def add(self, texts: Sequence[str], rows: slice) -> None:
        """Encode the next texts, which stand in these rows of the table."""
        ranks, settings = self._encoder.ranks(texts), self._settings
        ids = encode(ranks, num_words=settings.num_words, maxlen=settings.maxlen, keep=settings.keep)
        for part, file in self._x.items():
            file.write(ids[self._division.parts[rows] == part].tobytes())
        self._hashes[rows] = hashes(ids)
        self._lengths[rows] = ranks.lengths
        unknown = sums(ranks.flat >= settings.num_words - OFFSET, ranks.lengths)
        self._unknown += int(unknown[np.isin(self._division.parts[rows], (TRAIN, VALIDATION))].sum())

    def finish(self) -> dict[str, int]:
        """Write the labels, and return the number of documents in each part."""
        save_labels(self._folder, self._division, self._settings)
        return {part: len(np.load(self._folder / f"{part}_y.npy", mmap_mode="r")) for part in PARTS}

    def labelled(self, *parts: int) -> Labelled:
        chosen = np.isin(self._division.parts, parts)
        return Labelled(self._hashes[chosen], self._division.y[chosen])

    def counted(self, counts: NDArray[np.int64]) -> TokenCounts:
        chosen = np.isin(self._division.parts, (TRAIN, VALIDATION))
        return TokenCounts(self._lengths[chosen], counts, self._unknown)


def save_labels(folder: Path, division: Division, settings: Data) -> None:
    """Write the labels beside the ids; where validation is the test set, both are the same files."""
    for part in (TRAIN, VALIDATION, TEST):
        np.save(folder / f"{PARTS[part]}_y.npy", division.y[division.parts == part])
    if settings.validation == "test":
        for array in ("x", "y"):
            (folder / f"validation_{array}.npy").unlink()
            os.link(folder / f"test_{array}.npy", folder / f"validation_{array}.npy")


def _digest_of_texts(table: Table, division: Division) -> str:
    parts = [division.parts == part for part in (TRAIN, VALIDATION, TEST)]
    return digest_of_arrays([array[part] for part in parts for array in (table.hashes, division.y)])


def _scripts(table: Table) -> dict[str, float]:
    """Return the share of each script among the letters of the first texts, roughly."""
    first = "".join(text.as_py()[:200] for text in next(table.texts())[:1000])
    scripts = Counter(unicodedata.name(letter, "UNKNOWN").partition(" ")[0] for letter in first if letter.isalpha())
    return {script: count / scripts.total() for script, count in scripts.most_common(SHOWN)}
