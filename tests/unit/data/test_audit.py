"""The audit of a dataset: counts of repeated, contradicting and leaked documents, floor, ceiling and lengths."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.data import archives
from pipelines.data.audit import Labelled, TokenCounts, audit, hashes
from sweeps import audit as audits
from sweeps.audit import Audit
from sweeps.text_encoder import OFFSET, encode
from tests.corpora import REAL, needs_real_archives


def encoded(documents: list[int], labels: list[int]) -> Labelled:
    """Return documents of two ids each; the numbers say which are equal."""
    return Labelled(hashes(np.array([[0, document] for document in documents], dtype=np.int32)), np.array(labels))


def audited(
    train: Labelled, test: Labelled, *, labels: int = 2, counted: TokenCounts | None = None, maxlen: int = 100
) -> Audit:
    counts = counted or TokenCounts(np.ones(len(train.y), dtype=np.int64), np.array([len(train.y)]), 0)
    sizes = {"train": len(train.y), "validation": 0, "test": len(test.y)}
    names = [f"label {n}" for n in range(labels)]
    return audit(train, test, counts, names, maxlen, sizes=sizes, num_words=10, tokens="words")


def test_it_counts_repeated_contradicting_and_leaked_documents() -> None:
    train = encoded([1, 1, 1, 2, 2, 3, 4], [0, 0, 0, 0, 1, 0, 1])
    test = encoded([1, 1, 2, 3, 5], [0, 1, 1, 1, 0])
    found = audited(train, test)
    assert (found.repeated, found.contradicting) == (3, 1)
    assert (found.leaked, found.leaked_otherwise) == (4, 2)


def test_the_floor_is_the_most_frequent_label_of_train() -> None:
    found = audited(encoded([1, 2, 3], [1, 1, 0]), encoded([4, 5, 6, 7], [0, 0, 0, 1]))
    assert (found.largest, found.floor) == ("label 1", 0.25)


def test_the_ceiling_counts_the_best_answer_to_each_document() -> None:
    train = encoded([1, 2, 2], [0, 0, 1])
    # 1 can only be answered as in train, 2 in two ways of which one is better, 3 in any way.
    test = encoded([1, 1, 2, 2, 2, 3, 3], [0, 1, 0, 1, 1, 0, 1])
    assert audited(train, test).ceiling == pytest.approx((1 + 2 + 1) / 7)


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), min_size=1, max_size=30),
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), min_size=1, max_size=30),
)
def test_no_function_that_answers_train_as_train_does_exceeds_the_ceiling(
    train: list[tuple[int, int]], test: list[tuple[int, int]]
) -> None:
    found = audited(
        encoded(*map(list, zip(*train, strict=True))), encoded(*map(list, zip(*test, strict=True))), labels=3
    )
    right = 0
    for document in {document for document, _ in test}:
        allowed = {label for other, label in train if other == document} or {0, 1, 2}
        right += max(sum((document, label) == pair for pair in test) for label in allowed)
    assert found.ceiling == pytest.approx(right / len(test))


def test_lengths_and_the_vocabulary_are_those_of_train_before_it_is_cut() -> None:
    counted = TokenCounts(np.array([1, 2, 3, 4]), np.array([0, 5, 3, 2]), unknown=2)
    found = audited(encoded([1, 2, 3, 4], [0, 1, 0, 1]), encoded([5], [0]), counted=counted, maxlen=2)
    assert found.lengths == (1, 1, 2, 3, 4, 4, 4)
    assert (found.cut, found.unread, found.unknown) == (0.5, 0.3, 0.2)
    assert (found.vocabulary, found.covering) == (3, 3)
    assert found.wordless == 0


def test_documents_without_a_token_are_counted() -> None:
    counted = TokenCounts(np.array([0, 2, 0]), np.array([0, 2]), unknown=0)
    assert audited(encoded([1, 2, 3], [0, 1, 0]), encoded([5], [0]), counted=counted).wordless == 2


def test_an_audit_is_the_same_after_json() -> None:
    found = audited(encoded([1, 2], [0, 1]), encoded([5], [0]))
    assert audits.of(json.loads(json.dumps({**found.as_dict(), "a later field": 1}))) == found


@needs_real_archives
@pytest.mark.parametrize(
    ("name", "num_words", "classes", "counts", "shares"),
    [
        ("reuters", 1000, 46, (551, 270, 242, 126), (0.219, 0.454, 0.362, 0.937)),
        ("imdb", 5000, 2, (101, 0, 123, 0), (0.100, 0.885, 0.5, 1.0)),
    ],
)
def test_the_real_archives_have_their_known_numbers(
    name: str, num_words: int, classes: int, counts: tuple[int, ...], shares: tuple[float, ...]
) -> None:
    documents = archives.parse((REAL / f"{name}.npz").read_bytes(), classes)
    train, test = (
        Labelled(hashes(encode(x, num_words=num_words, maxlen=100, keep="last")), y)
        for x, y in ((documents.x_train, documents.y_train), (documents.x_test, documents.y_test))
    )
    ranks = np.concatenate([np.array(document, dtype=np.int64) for document in documents.x_train])
    lengths = np.array([len(document) for document in documents.x_train])
    unknown = int(np.sum(ranks >= num_words - OFFSET))
    found = audited(train, test, labels=classes, counted=TokenCounts(lengths, np.bincount(ranks), unknown))
    assert (found.repeated, found.contradicting, found.leaked, found.leaked_otherwise) == counts
    measured = (found.unknown, found.cut, found.floor, found.ceiling)
    assert tuple(round(share, 3) for share in measured) == pytest.approx(shares)
