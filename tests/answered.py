"""Journals whose trials recorded their answers to the test set."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from sweeps.audit import QUANTILES, Audit
from sweeps.journal import Event, SweepRecord, SweepStarted, TrialEnded

Cells = list[list[int]]


def audit(labels: Sequence[str]) -> Audit:
    """An audit of data of which nothing but the names of the labels is of interest."""
    sizes = (10,) * len(labels)
    shares = dict.fromkeys(("cut", "unread", "unknown", "floor"), 0.1)
    counts = dict.fromkeys(("vocabulary", "covering", "repeated", "contradicting", "leaked", "leaked_otherwise"), 0)
    return Audit(
        sizes={"train": 8, "validation": 2, "test": 10}, labels=tuple(labels), of_label={"train": sizes, "test": sizes},
        maxlen=10, num_words=10, tokens="words", lengths=tuple(range(len(QUANTILES))), ceiling=1.0, **shares, **counts,
    )  # fmt: skip


def record(
    events: Sequence[Event], labels: Sequence[str], cells: Mapping[int, Cells], directory: Path = Path("x")
) -> SweepRecord:
    """The record of these events in which the trials have these confusion matrices, of data with these labels."""
    return SweepRecord.of(directory, [_with_answers(event, labels, cells) for event in events])


def _with_answers(event: Event, labels: Sequence[str], cells: Mapping[int, Cells]) -> Event:
    if isinstance(event, SweepStarted):
        return replace(event, audit=audit(labels).as_dict())
    if isinstance(event, TrialEnded) and event.trial in cells:
        return replace(event, confusion=cells[event.trial])
    return event


def cells(matrix: Sequence[Sequence[int]]) -> Cells:
    """The cells of a confusion matrix (label, answer) as a journal has them."""
    counts = np.asarray(matrix)
    return [
        [int(label), int(answer), int(counts[label, answer])] for label, answer in zip(*counts.nonzero(), strict=True)
    ]


def drawn(classes: int, seed: int = 0) -> Cells:
    """The cells of random answers to labels of very different sizes."""
    generator = np.random.default_rng(seed)
    labels = np.minimum(generator.geometric(4 / classes, 2000) - 1, classes - 1)
    answers = np.where(generator.random(2000) < 0.7, labels, generator.integers(0, classes, 2000))
    counts = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counts, (labels, answers), 1)
    return cells(counts.tolist())
