"""The audit of a dataset: the facts that bound what any model can reach, and the overrides that they suggest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, NamedTuple

QUANTILES = (5, 25, 50, 75, 95, 99, 100)  # percent
FEW = 5  # test documents; the scores of a label with fewer say little
MANY_CUT, MANY_UNKNOWN, LARGE = 0.2, 0.1, 0.5  # shares from which a change is suggested
LONGEST = 1000  # tokens that are suggested at most: a step's time grows with them


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
    groups: int = 0  # different groups, 0 where none are known
    scripts: Mapping[str, float] = field(default_factory=dict)  # e.g. HANGUL -> share of the letters
    notes: tuple[str, ...] = ()  # what was guessed or left out when the data were read

    @property
    def largest(self) -> str:
        """The most frequent label of train."""
        sizes = self.of_label["train"]
        return self.labels[sizes.index(max(sizes))]

    @property
    def seldom_tested(self) -> list[str]:
        """The labels with few documents in test."""
        return [label for label, size in zip(self.labels, self.of_label["test"], strict=True) if size < FEW]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def of(mapping: Mapping[str, Any]) -> Audit:
    """Return the audit that `as_dict` turned into JSON; fields of later versions are left out."""
    known = {name: mapping[name] for name in (each.name for each in fields(Audit)) if name in mapping}
    for name in ("labels", "lengths", "notes"):
        known[name] = tuple(known[name])
    known["of_label"] = {part: tuple(sizes) for part, sizes in known["of_label"].items()}
    return Audit(**known)


class Suggestion(NamedTuple):
    """An override that the data suggest, and the reason."""

    override: str
    why: str


def suggestions(audit: Audit, dataset: str) -> Iterator[Suggestion]:
    """Yield the overrides of a dataset's settings that its audit suggests, the most important ones first."""
    key = f"datasets.{dataset}"
    spaceless = sum(audit.scripts.get(script, 0) for script in ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER"))
    if audit.tokens == "words" and spaceless > LARGE:
        yield Suggestion(f"{key}.tokens=characters", f"{spaceless:.0%} of the letters are of scripts without blanks")
        return  # all other figures count words
    if audit.tokens == "words" and audit.covering > audit.num_words and _inflects(audit):
        why = f"{audit.covering:,} different words make up 95 % of the text; pieces of words need fewer"
        yield Suggestion(f"{key}.tokens=bpe", why)
    elif audit.unknown > MANY_UNKNOWN and audit.covering > audit.num_words:
        why = f"{audit.unknown:.0%} of the tokens are outside the vocabulary; so many would hold 95 % of them"
        yield Suggestion(f"{key}.num_words={_rounded(audit.covering)}", why)
    most = dict(zip(QUANTILES, audit.lengths, strict=True))
    if audit.cut > MANY_CUT:
        longer = min(_rounded(most[95] + 1), LONGEST)
        if longer > audit.maxlen:
            why = f"{audit.cut:.0%} of the documents are longer than {audit.maxlen} tokens, {audit.unread:.0%} of all "
            yield Suggestion(f"{key}.maxlen={longer}", why + "tokens are never read; a step takes longer")
    elif most[99] + 1 < audit.maxlen / 2:
        why = f"99 % of the documents have at most {most[99]} tokens; training gets quicker"
        yield Suggestion(f"{key}.maxlen={_rounded(most[99] + 1)}", why)
    if max(audit.of_label["train"]) > LARGE * sum(audit.of_label["train"]) and len(audit.labels) > 1:
        why = f"always answering {audit.largest} is right in {audit.floor:.0%} of the cases"
        yield Suggestion("objective=val/macro_f1", why)


def _inflects(audit: Audit) -> bool:
    """Tell whether much of the vocabulary is needed: words occur in many forms, as in Korean or Finnish."""
    return audit.covering > audit.vocabulary / 3


def _rounded(number: int) -> int:
    """Round up to two digits."""
    step: int = 10 ** max(0, len(str(number)) - 2)
    return -(-number // step) * step
