"""The sentences and the suggestions about a dataset."""

from __future__ import annotations

import pytest

from sweeps.analysis import data_findings
from sweeps.audit import Audit

READ = " as the networks read them, cut and with all unknown words alike"


def example(**changes: object) -> Audit:
    facts = {
        "sizes": {"train": 80, "validation": 20, "test": 25},
        "labels": ("a", "b"),
        "of_label": {"train": (50, 50), "test": (12, 13)},
        "maxlen": 100,
        "num_words": 5000,
        "tokens": "words",
        "lengths": (5, 20, 40, 60, 80, 95, 120),
        "cut": 0.01,
        "unread": 0.001,
        "unknown": 0.02,
        "vocabulary": 20_000,
        "covering": 3000,
        "repeated": 0,
        "contradicting": 0,
        "leaked": 0,
        "leaked_otherwise": 0,
        "floor": 0.48,
        "ceiling": 1.0,
    }
    return Audit(**{**facts, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "overrides"),
    [
        ({}, []),
        (
            {"cut": 0.4, "lengths": (50, 80, 95, 150, 391, 700, 900)},
            ["datasets.x.maxlen=400", "'datasets.x.space.maxlen=[100,400]'"],
        ),
        (
            {"cut": 0.4, "lengths": (50, 80, 95, 150, 3911, 7000, 9000)},
            ["datasets.x.maxlen=1000", "'datasets.x.space.maxlen=[100,1000]'"],
        ),
        ({"lengths": (2, 3, 4, 5, 9, 12, 80)}, ["datasets.x.maxlen=13"]),
        ({"unknown": 0.2, "covering": 6358}, ["datasets.x.num_words=6400"]),
        ({"unknown": 0.2, "covering": 9000}, ["datasets.x.tokens=bpe"]),
        ({"unknown": 0.2, "covering": 4000}, []),
        ({"scripts": {"CJK": 0.7, "LATIN": 0.3}, "cut": 0.4}, ["datasets.x.tokens=characters"]),
        ({"of_label": {"train": (90, 10), "test": (20, 5)}}, ["objective=val/macro_f1"]),
        # As even as two labels are.
        ({"of_label": {"train": (52, 48), "test": (13, 12)}}, []),
    ],
)
def test_suggestions(changes: dict[str, object], overrides: list[str]) -> None:
    assert [each.override for each in data_findings.suggestions(example(**changes), "x")] == overrides


def test_nothing_is_suggested_for_what_was_searched() -> None:
    audit = example(cut=0.4, lengths=(50, 80, 95, 150, 391, 700, 900), unknown=0.2, covering=6358)
    overrides = [each.override for each in data_findings.suggestions(audit, "x", ["maxlen"])]
    assert overrides == ["datasets.x.num_words=6400"]


def test_sentences_name_what_bounds_the_accuracy() -> None:
    facts = {
        "repeated": 7,
        "contradicting": 3,
        "leaked": 5,
        "leaked_otherwise": 2,
        "ceiling": 0.9,
        "left_out": 4,
        "wordless": 2,
    }
    text = "\n".join(data_findings.sentences(example(**facts, notes=("text is guessed",), groups=9)))
    for part in (
        "text is guessed",
        "80 train, 20 validation, 25 test texts in 2 labels, 9 groups, none of them divided; 4 rows are in no part",
        f"7 train documents equal an earlier one{READ}; 3 have several labels",
        f"5 of 25 test documents stand in train{READ}, 2 of them only under other labels",
        "always answering a, the most frequent label, has a test accuracy of 0.480",
        "has a test accuracy above 0.900",
        "half of the texts have at most 40 tokens, 95 % at most 80; maxlen=100 cuts 1.0 % of the texts, and 0.1 %",
        "2 train documents have no token, so that the networks get nothing of them",
        "2.0 % of the tokens are outside the vocabulary of num_words=5000; train has 20,000 different words",
    ):
        assert part in text


def test_nothing_is_said_of_what_is_not_there() -> None:
    text = "\n".join(data_findings.sentences(example()))
    for part in ("equal", "stand in train", "above", "groups", "in no part", "fewer than", "no token"):
        assert part not in text


def test_labels_that_are_hardly_tested_are_named() -> None:
    rare = example(labels=("a", "b", "c"), of_label={"train": (50, 40, 10), "test": (12, 9, 4)})
    assert any("1 label has fewer than 5 test documents" in sentence for sentence in data_findings.sentences(rare))


@pytest.mark.parametrize(
    ("unread", "unknown", "tokens", "is_cut"),
    [
        (0.0, 0.005, "words", False),
        (0.004, 0.006, "words", True),
        (0.02, 0.0, "bpe", True),
        (0.0, 0.3, "bpe", False),  # pieces of words make up every text
    ],
)
def test_whole_texts_are_worth_reading_where_a_hundredth_of_them_is_not_read(
    unread: float, unknown: float, tokens: str, is_cut: bool
) -> None:
    assert example(unread=unread, unknown=unknown, tokens=tokens).is_cut is is_cut
