from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from sweeps.trials import documents
from sweeps.trials.documents import Block
from sweeps.trials.word_counts import Vocabulary

WORDS = 9


@pytest.fixture
def x() -> np.ndarray:
    generator = np.random.default_rng(0)
    ids = generator.integers(1, WORDS, (40, 6), dtype=np.int32)
    for row, padding in zip(ids, generator.integers(0, 7, 40), strict=True):
        row[:padding] = 0  # some documents are empty
    return ids


def the_one(x: np.ndarray) -> Block:
    (block,) = documents.of(x).blocks()
    return block


def test_a_document_is_the_counts_of_its_words_and_of_its_neighbours_that_two_documents_have(x: np.ndarray) -> None:
    texts = [[int(word) for word in row if word] for row in x]
    frequent = Counter(pair for document in texts for pair in set(pairwise(document)))
    known = sorted(pair for pair, number in frequent.items() if number > 1)
    vocabulary = Vocabulary.of(documents.of(x), WORDS)
    assert [(int(pair) // WORDS, int(pair) % WORDS) for pair in vocabulary.pairs] == known
    assert 0 < len(known) < len(frequent)
    for document, counted in zip(texts, vocabulary.counts(the_one(x)).toarray(), strict=True):
        words, pairs = Counter(document), Counter(pairwise(document))
        assert counted.tolist() == [words[word] if word else 0 for word in range(WORDS)] + [pairs[p] for p in known]


def test_documents_that_are_read_in_blocks_have_the_same_pairs(x: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = Vocabulary.of(documents.of(x), WORDS)
    monkeypatch.setattr(documents, "AT_ONCE", 12)
    assert len(list(documents.of(x).blocks())) == 20
    assert Vocabulary.of(documents.of(x), WORDS).pairs.tolist() == at_once.pairs.tolist()
    assert documents.of(x).words == np.count_nonzero(x)


@pytest.mark.parametrize("shape", [(3, 1), (1, 4)])
def test_documents_without_a_common_pair_have_columns_for_their_words_alone(shape: tuple[int, int]) -> None:
    ids = np.ones(shape, np.int32)
    vocabulary = Vocabulary.of(documents.of(ids), WORDS)
    assert vocabulary.counts(the_one(ids)).toarray().tolist() == [[0, shape[1], *[0] * (WORDS - 2)]] * shape[0]


def test_the_largest_vocabulary_has_numbers_for_its_pairs() -> None:
    ids = np.full((2, 2), 10**9 - 1, np.int32)
    assert len(Vocabulary.of(documents.of(ids), 10**9).pairs) == 1
