"""The findings of a dataset's audit, in whole sentences, and the overrides that it suggests."""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import NamedTuple

from sweeps.audit import FEW, QUANTILES, Audit

NAMED = 5  # labels in a sentence
SCRIPT = 0.05  # share of the letters from which a script is named
MANY_CUT, MANY_UNKNOWN, LARGE = 0.2, 0.1, 0.5  # shares from which a change is suggested
AS_READ = " as the networks read them, cut and with all unknown words alike"
UNEVEN = 0.6  # share of the most frequent label from which accuracy says little; of two labels, one has half or more
LONGEST = 1000  # tokens that are suggested at most: a step's time grows with them


def sentences(audit: Audit) -> list[str]:
    """Return what bounds the accuracy on the data, and how much of them the networks get to see."""
    return [*audit.notes, _size(audit), *_duplicates(audit), *_bounds(audit), *_labels(audit), *_reading(audit)]


def _size(audit: Audit) -> str:
    parts = ", ".join(f"{size:,} {part}" for part, size in audit.sizes.items() if size)
    groups = f", {audit.groups:,} groups, none of them divided" if audit.groups else ""
    scripts = ", ".join(f"{_share(share)} {name.title()}" for name, share in audit.scripts.items() if share >= SCRIPT)
    left_out = f"; {audit.left_out:,} rows are in no part" if audit.left_out else ""
    return f"{parts} texts in {len(audit.labels)} labels{groups}{left_out}{f'; letters: {scripts}' if scripts else ''}"


def _duplicates(audit: Audit) -> Iterator[str]:
    """Say which documents are equal as the networks get them: by their ids, cut to maxlen."""
    if audit.repeated:
        several = f"{audit.contradicting:,} have several labels"
        yield f"{audit.repeated:,} train documents equal an earlier one{AS_READ}; {several}"
    if audit.leaked:
        others = f", {audit.leaked_otherwise:,} of them only under other labels" if audit.leaked_otherwise else ""
        yield f"{audit.leaked:,} of {audit.sizes['test']:,} test documents stand in train{AS_READ}{others}"


def _bounds(audit: Audit) -> Iterator[str]:
    yield f"always answering {audit.largest}, the most frequent label, has a test accuracy of {audit.floor:.3f}"
    if audit.ceiling < 1:
        yield (
            f"no model that answers train's documents as train does has a test accuracy above {audit.ceiling:.3f}: "
            "equal documents have different labels"
        )


def _labels(audit: Audit) -> Iterator[str]:
    if seldom := audit.seldom_tested:
        names = ", ".join(seldom[:NAMED]) + (", …" if len(seldom) > NAMED else "")
        verb = "label has" if len(seldom) == 1 else "labels have"
        yield f"{len(seldom)} {verb} fewer than {FEW} test documents, so that chance decides their scores: {names}"


def _reading(audit: Audit) -> Iterator[str]:
    if audit.wordless:
        verb, them = ("document has", "it") if audit.wordless == 1 else ("documents have", "them")
        yield f"{audit.wordless:,} train {verb} no token, so that the networks get nothing of {them}"
    length = dict(zip(QUANTILES, audit.lengths, strict=True))
    cut = f"maxlen={audit.maxlen} cuts {_share(audit.cut)} of the texts"
    yield (
        f"half of the texts have at most {length[50]:,} tokens, 95 % at most {length[95]:,}; {cut}, and "
        f"{_share(audit.unread)} of all tokens are never read"
    )
    yield (
        f"{_share(audit.unknown)} of the tokens are outside the vocabulary of num_words={audit.num_words}; train has "
        f"{audit.vocabulary:,} different {'words' if audit.tokens not in ('characters',) else 'characters'}"
    )


def _share(share: float) -> str:
    return f"{100 * share:.1f} %"


class Suggestion(NamedTuple):
    """An override that the data suggest, and the reason."""

    override: str
    why: str


def suggestions(audit: Audit, dataset: str, searched: Container[str] = ()) -> list[Suggestion]:
    """Return the overrides of a dataset's settings that its audit suggests, the most important ones first.

    A setting that was `searched` needs none: the trials tell more than the audit.
    """
    keys = ((each, each.override.strip("'").partition("=")[0]) for each in _suggestions(audit, dataset))
    return [each for each, key in keys if key.rpartition(".")[2] not in searched]


def _suggestions(audit: Audit, dataset: str) -> Iterator[Suggestion]:
    key = f"datasets.{dataset}"
    spaceless = sum(audit.scripts.get(script, 0) for script in ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER"))
    if audit.tokens == "words" and spaceless > LARGE:
        yield Suggestion(
            f"{key}.tokens=characters", f"{_share(spaceless)} of the letters are of scripts without blanks"
        )
        return  # all other figures count words
    if audit.tokens == "words" and audit.covering > audit.num_words and _inflects(audit):
        why = f"{audit.covering:,} different words make up 95 % of the text; pieces of words need fewer"
        yield Suggestion(f"{key}.tokens=bpe", why)
    elif audit.unknown > MANY_UNKNOWN and audit.covering > audit.num_words:
        more = _rounded(audit.covering)
        why = f"{_share(audit.unknown)} of the tokens are outside the vocabulary; {more:,} words hold 95 %"
        yield Suggestion(f"{key}.num_words={more}", why)
    most = dict(zip(QUANTILES, audit.lengths, strict=True))
    if audit.cut > MANY_CUT:
        longer = min(_rounded(most[95] + 1), LONGEST)
        if longer > audit.maxlen:
            cut = f"{_share(audit.cut)} of the documents are longer than {audit.maxlen} tokens"
            why = f"{cut}, {_share(audit.unread)} of all tokens are never read; a step takes longer"
            yield Suggestion(f"{key}.maxlen={longer}", why)
            both = f"'{key}.space.maxlen=[{audit.maxlen},{longer}]'"
            yield Suggestion(both, "the search can find out whether the longer documents are worth their time")
    elif most[99] + 1 < audit.maxlen / 2:
        why = f"99 % of the documents have at most {most[99]} tokens; training gets quicker"
        yield Suggestion(f"{key}.maxlen={_rounded(most[99] + 1)}", why)
    if max(audit.of_label["train"]) > UNEVEN * sum(audit.of_label["train"]) and len(audit.labels) > 1:
        why = f"always answering {audit.largest} is right in {_share(audit.floor)} of the cases"
        yield Suggestion("objective=val/macro_f1", why)


def _inflects(audit: Audit) -> bool:
    """Tell whether much of the vocabulary is needed: words occur in many forms, as in Korean or Finnish."""
    return audit.covering > audit.vocabulary / 3


def _rounded(number: int) -> int:
    """Round up to two digits."""
    step: int = 10 ** max(0, len(str(number)) - 2)
    return -(-number // step) * step
