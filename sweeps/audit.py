"""The audit of a dataset: the facts that bound what any model can reach on it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

QUANTILES = (5, 25, 50, 75, 95, 99, 100)  # percent
FEW = 5  # test documents; the scores of a label with fewer say little
MEASURED = (
    *("floor", "ceiling", "cut", "unread", "unknown"),
    *("repeated", "contradicting", "leaked", "leaked_otherwise"),
)
WORTH_READING = 0.01  # share of the tokens of train that are not read


@dataclass(frozen=True)
class Audit:
    """Train includes validation here. A document is what the networks get: its ids, cut to `maxlen`."""

    sizes: Mapping[str, int]  # documents of train, validation and test; here train does not include validation
    labels: tuple[str, ...]
    of_label: Mapping[str, tuple[int, ...]]  # train, test -> documents of each label
    maxlen: int
    num_words: int
    tokens: str  # words | characters | wordpiece | bpe | unigram
    lengths: tuple[int, ...]  # tokens of train's documents before they are cut, at `QUANTILES`
    cut: float  # share of train's documents that are longer than `maxlen`
    unread: float  # share of train's tokens that are cut off
    unknown: float  # share of train's tokens that are outside the vocabulary
    vocabulary: int  # different tokens in train
    covering: int  # most frequent ones that are 95 % of train's tokens
    repeated: int  # train documents that equal an earlier one
    contradicting: int  # different documents that stand in train under several labels
    leaked: int  # test documents that stand in train
    leaked_otherwise: int  # of these: under other labels only
    floor: float  # test accuracy of always answering train's most frequent label
    ceiling: float  # test accuracy that no model exceeds which answers train's documents as train does
    left_out: int = 0  # rows of the table that are in no part
    wordless: int = 0  # train documents without a token
    groups: int = 0  # different groups, 0 where none are known
    scripts: Mapping[str, float] = field(default_factory=dict)  # e.g. HANGUL -> share of the letters
    texts: str = ""  # digest of texts, labels and split, however texts are encoded; empty in older journals
    notes: tuple[str, ...] = ()  # what was guessed or left out when the data were read

    @property
    def largest(self) -> str:
        """The most frequent label of train."""
        sizes = self.of_label["train"]
        return self.labels[sizes.index(max(sizes))]

    @property
    def is_cut(self) -> bool:
        """Whether longer documents or more words would give a network at least a hundredth more of train to read.

        Pieces of words make up every text, however few of them there are.
        """
        unknown = self.unknown if self.tokens in ("words", "characters") else 0.0
        return self.unread + unknown >= WORTH_READING

    @property
    def seldom_tested(self) -> list[str]:
        """The labels with few documents in test."""
        return [label for label, size in zip(self.labels, self.of_label["test"], strict=True) if size < FEW]

    def metrics(self) -> dict[str, float]:
        """The numbers that a sweep's run in MLflow shows."""
        return {f"data/{name}": float(getattr(self, name)) for name in MEASURED}

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON has them, without tuples."""
        fields_of_json: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return fields_of_json


def of(mapping: Mapping[str, Any]) -> Audit:
    """Return the audit that `as_dict` turned into JSON; fields of later versions are left out."""
    known = {name: mapping[name] for name in (each.name for each in fields(Audit)) if name in mapping}
    for name in ("labels", "lengths", "notes"):
        known[name] = tuple(known[name])
    known["of_label"] = {part: tuple(sizes) for part, sizes in known["of_label"].items()}
    return Audit(**known)
