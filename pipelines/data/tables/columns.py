"""The columns of a table: the text, the label, and those that group, date or divide its rows.

What the user does not name is taken by the columns' names, else by their contents, and said. Group and time are never
guessed.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from conf.schema import ConfigError, did_you_mean
from pipelines.data.tables.files import PARTS, listed, quoted, visible

# The usual names, after stripping and case folding; the first of each decides also beside the others.
TEXTS = (
    *("text", "review", "body", "content", "sentence", "comment", "message", "description", "title", "document"),
    *("tweet", "post", "headline", "question", "utterance", "abstract", "summary"),
)
LABELS = (
    *("label", "class", "category", "target", "sentiment", "section", "topic", "rating", "stars", "labels"),
    *("intent", "genre", "y"),
)
SPLITS = ("split", "fold", "set", "part", "partition", "subset")
NONE = "none"  # as the column of the split: none is to be guessed
LONGEST_NAME = 60  # characters of a column's name; a longer one is a text
FEWEST_GROUPS, SHARED = 20, 0.3  # different values of a column that may group the rows, and rows that share theirs
DATE = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}.*)?$"
MOST_LABELS = 1000  # different values in the sample of a column that may be the label


class Columns(NamedTuple):
    """The columns of a table; an empty one is guessed, or not used."""

    text: tuple[str, ...] = ()  # several are joined by a line break, in this order
    label: str | None = None
    group: str | None = None
    time: str | None = None
    split: str | None = None


class Sample(NamedTuple):
    """The first rows of a table's first file."""

    section: str  # datasets.<name>
    setting: str  # datasets.<name>.files=<path>
    columns: Sequence[str]  # all of them
    rows: pa.RecordBatch  # those whose values are of one kind

    @property
    def path(self) -> str:
        return self.setting.partition("=")[2]


def choose(asked: Columns, sample: Sample, *, divided: bool) -> tuple[Columns, list[str]]:
    """Return the columns to use, and sentences about those that were guessed.

    `divided` says that the files give the parts, so that no column is guessed for them. Raises `ConfigError` for
    names that the table lacks, and where several columns fit.
    """
    if asked.split == NONE and NONE not in sample.columns:
        asked, divided = asked._replace(split=None), True
    others = {key: value and _existing(sample, key, value) for key, value in asked._asdict().items() if key != "text"}
    named = Columns(tuple(_existing(sample, "text", name) for name in asked.text), **others)
    used = [name for name in (*named.text, *named[1:]) if name is not None]
    repeated = sorted({name for name in used if used.count(name) > 1})
    if repeated:
        raise ConfigError(f"{sample.section}: the column {quoted(repeated[0])} has two uses; each needs its own column")
    if not named.text or named.label is None:
        _check_names(sample)
    text = named.text or (_guess_text(sample, used),)
    label = named.label or _guess_label(sample, [*used, *text])
    split = named.split or (None if divided else _guess_split(sample, [*used, *text, label]))
    chosen = named._replace(text=text, label=label, split=split)
    advice = [] if divided or chosen.split else _advice(chosen, sample)
    return chosen, [*_sentences(named, chosen, sample), *advice]


def _existing(sample: Sample, key: str, name: str) -> str:
    if name in sample.columns:
        return name
    alike = [column for column in sample.columns if _folded(column) == _folded(name)]
    if len(alike) == 1:
        return alike[0]
    raise ConfigError(
        f"{sample.section}.{key}={visible(name)}: no such column"
        f"{did_you_mean(visible(name), map(visible, sample.columns))}; "
        f"{sample.path} has {_names(sample.columns)}"
    )


def _folded(name: str) -> str:
    return name.strip().casefold()


def _names(columns: Sequence[str]) -> str:
    return listed([quoted(column) for column in columns], most=10)


def _by_name(sample: Sample, usual: Sequence[str], taken: Sequence[str]) -> list[str]:
    """Return the columns that are called one of the usual names; the first usual name wins over the others."""
    free = [column for column in sample.columns if column not in taken]
    first = [column for column in free if _folded(column) == usual[0]]
    return first or [column for column in free if _folded(column) in usual]


def _guess_text(sample: Sample, taken: Sequence[str]) -> str:
    fitting = _by_name(sample, TEXTS, taken)
    if not fitting:
        fitting = _longest(sample, [column for column in sample.columns if column not in taken])
    if len(fitting) == 1:
        return fitting[0]
    raise _unclear(sample, "text", fitting, taken, "is called text and none holds texts")


def _longest(sample: Sample, free: Sequence[str]) -> list[str]:
    """Return the columns of texts whose texts are longest on average; numbers are no texts."""
    lengths = {}
    usual_labels = _by_name(sample, LABELS, [])
    for column in free:
        if column in usual_labels:
            continue
        values = _strings(sample, column)
        if values is not None and not pc.all(pc.fill_null(pc.match_substring_regex(values, NUMBER), True)).as_py():
            lengths[column] = pc.mean(pc.utf8_length(values)).as_py() or 0.0
    longest = max(lengths.values(), default=0.0)
    return [column for column, length in lengths.items() if length == longest]


NUMBER = r"^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$"


def _strings(sample: Sample, column: str) -> pa.Array | None:
    """Return the column's first values if they are texts."""
    if column not in sample.rows.schema.names:
        return None
    values = sample.rows.column(column)
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    return values if pa.types.is_string(values.type) or pa.types.is_large_string(values.type) else None


def _guess_label(sample: Sample, taken: Sequence[str]) -> str:
    fitting = _by_name(sample, LABELS, taken)
    if not fitting:
        counts = {column: _different(sample, column) for column in sample.columns if column not in taken and column}
        most = min(MOST_LABELS, max(2, sample.rows.num_rows // 5))
        few = [column for column, count in counts.items() if 1 <= count <= most]
        fitting = [column for column in few if counts[column] > 1] or few
    if len(fitting) == 1:
        return fitting[0]
    raise _unclear(sample, "label", fitting, taken, "is called label and none holds few different values")


def _different(sample: Sample, column: str) -> int:
    """Return how many different values a column of texts, whole numbers or booleans has; 0 for other columns."""
    if column not in sample.rows.schema.names:
        return 0
    values = sample.rows.column(column)
    is_label = _strings(sample, column) is not None or pa.types.is_integer(values.type)
    return pc.count_distinct(values).as_py() if is_label or pa.types.is_boolean(values.type) else 0


def _unclear(sample: Sample, key: str, fitting: Sequence[str], taken: Sequence[str], otherwise: str) -> ConfigError:
    if fitting:
        remedy = f"{sample.section}.{key}={visible(fitting[0])}"
        if key == "text":
            remedy += f", or {sample.section}.text=[{','.join(map(visible, fitting))}] for all"
        return ConfigError(f"{sample.section}.{key}=null: {_names(fitting)} of {sample.path} fit alike; set {remedy}")
    free = [column for column in sample.columns if column and column not in taken]
    if not free:
        return ConfigError(
            f"{sample.section}.{key}=null: no column is left for it; {sample.path} has {_names(sample.columns)}, and "
            f"{_names(taken)} {'has' if len(taken) == 1 else 'have'} another use"
        )
    return ConfigError(
        f"{sample.section}.{key}=null: no column of {sample.path} {otherwise}; set {sample.section}.{key} to "
        f"{'one of ' if len(free) > 1 else ''}{_names(free)}, or add a first line with the columns' names if there is "
        "none"
    )


def _guess_split(sample: Sample, taken: Sequence[str]) -> str | None:
    """Return the column that names a part in some row; reading refuses its other rows, instead of drawing anew."""
    for column in sample.columns:
        values = _strings(sample, column) if _folded(column) in SPLITS and column not in taken else None
        if values is not None and not PARTS.keys().isdisjoint(map(_folded, filter(None, values.unique().to_pylist()))):
            return column
    return None


def _sentences(named: Columns, chosen: Columns, sample: Sample) -> list[str]:
    guessed = []
    if not named.text:
        guessed.append(f"text is the column {quoted(chosen.text[0])}")
    if named.label is None and chosen.label is not None:
        _check_guessed_label(chosen.label, sample)
        guessed.append(f"label is {'' if guessed else 'the column '}{quoted(chosen.label)}")
    used = [*chosen.text, *chosen[1:]]
    unread = [column for column in sample.columns if column not in used]
    if guessed and unread:
        guessed[-1] += f"; not read: {_names(unread)}"
    sentences = [", ".join(guessed)] if guessed else []
    if chosen.split != named.split:
        sentences.append(
            f"the column {quoted(chosen.split)} divides the rows into train, validation and test, unless "
            f"{sample.section}.split={NONE}"
        )
    return sentences


def _advice(chosen: Columns, sample: Sample) -> Iterator[str]:
    """Say which columns that nothing reads look as if they should divide the rows: chance would mix what they tell."""
    unread = [column for column in sample.columns if column and column not in (*chosen.text, *chosen[1:])]
    if chosen.group is None:
        groups = (column for column in unread if _repeats(sample, column))
        for column in itertools.islice(groups, 1):
            yield (
                f"{quoted(column)} has many values that repeat; if texts of one value are alike, "
                f"{sample.section}.group={visible(column)} keeps them in one part"
            )
    if chosen.time is None:
        times = (column for column in unread if _dates(sample, column))
        for column in itertools.islice(times, 1):
            yield (
                f"{quoted(column)} has dates; if the model is for texts to come, "
                f"{sample.section}.time={visible(column)} tests on the latest"
            )


def _repeats(sample: Sample, column: str) -> bool:
    """Tell whether a column of texts without dates has many different values, and many rows that share theirs."""
    values = _strings(sample, column)
    if values is None or _dates(sample, column):
        return False
    counts = values.drop_null().value_counts().field("counts")
    shared = pc.sum(counts.filter(pc.greater(counts, 1))).as_py() or 0
    return len(counts) >= FEWEST_GROUPS and shared >= SHARED * len(values)


def _dates(sample: Sample, column: str) -> bool:
    if column not in sample.rows.schema.names:
        return False
    values = sample.rows.column(column)
    if pa.types.is_timestamp(values.type) or pa.types.is_date(values.type):
        return True
    texts = _strings(sample, column)
    present = None if texts is None else texts.drop_null()
    return present is not None and len(present) > 0 and pc.all(pc.match_substring_regex(present, DATE)).as_py()


def _check_names(sample: Sample) -> None:
    """Raise `ConfigError` where the columns' names look like a first row, which would be lost."""
    if any(len(name) > LONGEST_NAME or name.strip().lstrip("-").isdigit() for name in sample.columns):
        raise _nameless(sample)


def _check_guessed_label(label: str, sample: Sample) -> None:
    values = _strings(sample, label)
    if values is not None and label.strip() in {(value or "").strip() for value in values.unique().to_pylist()}:
        raise _nameless(sample)


def _nameless(sample: Sample) -> ConfigError:
    return ConfigError(
        f"{sample.setting}: its first line, {_names(sample.columns)}, seems to be a row and not the columns' names; "
        f"add a line with names, e.g. text and label, or set {sample.section}.text and {sample.section}.label"
    )
