import functools
from collections import Counter

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from pipelines.data.corpus import Documents
from pipelines.data.standin import BEST_ACCURACY, FALL, REPEATS, RISE, SIGNAL, TODAY, TOPIC_WORDS, YESTERDAY, generate

CLASSES = [2, 3, 7, 46]


@functools.cache
def corpus(num_classes=2, num_words=1000, seed=1):
    return generate(num_words=num_words, num_classes=num_classes, seed=seed)


def bayes(document):
    """Return the class by the rule that built the documents, before labels were replaced."""
    order = {RISE: 0, FALL: 1}[document[document.index(TODAY) + 1]]
    topics = {(word - len(SIGNAL) - 1) // TOPIC_WORDS for word in document if word not in SIGNAL}
    return 2 * min(topics) + order  # fillers lie above every topic's words


def accuracy_of(ngrams, words: Documents):
    """Return the test accuracy of a logistic regression on counts of `ngrams` words in a row."""
    counts = CountVectorizer(analyzer=lambda document: list(zip(*(document[i:] for i in range(ngrams)), strict=False)))
    model = make_pipeline(counts, LogisticRegression(max_iter=1000, tol=0.01)).fit(words.x_train, words.y_train)
    return model.score(words.x_test, words.y_test)


def test_the_same_seed_gives_the_same_corpus_and_another_seed_another():
    first, other = corpus(), corpus(seed=2)
    again = generate(num_words=1000, num_classes=2, seed=1)
    assert first.x_train == again.x_train
    assert first.x_test == again.x_test
    assert first.y_train.tolist() == again.y_train.tolist()
    assert first.x_train != other.x_train


@pytest.mark.parametrize("num_classes", CLASSES)
def test_every_document_holds_each_signal_word_equally_often(num_classes):
    words = corpus(num_classes)
    for document in [*words.x_train, *words.x_test]:
        counts = Counter(document)
        assert [counts[word] for word in SIGNAL] == [REPEATS] * len(SIGNAL)


@pytest.mark.parametrize("num_classes", CLASSES)
def test_the_rule_that_built_it_scores_exactly_the_best_accuracy(num_classes):
    words = corpus(num_classes)
    for documents, labels in [(words.x_train, words.y_train), (words.x_test, words.y_test)]:
        wrong = sum(bayes(document) != label for document, label in zip(documents, labels, strict=True))
        assert wrong * 20 == len(labels)
    assert BEST_ACCURACY == 0.95


@pytest.mark.parametrize("num_classes", CLASSES)
def test_all_pairs_of_a_document_have_the_same_order(num_classes):
    for document in corpus(num_classes).x_test:
        events = [(word, document[i + 1]) for i, word in enumerate(document) if word in (TODAY, YESTERDAY)]
        assert len(set(events)) == 2
        assert {event for _, event in events} == {RISE, FALL}


def test_a_bag_of_words_can_only_guess_and_word_pairs_know():
    words = corpus()
    assert accuracy_of(1, words) < 0.6
    assert 0.9 < accuracy_of(2, words) <= BEST_ACCURACY + 0.01


def test_a_bag_of_words_sees_the_topic_when_there_are_several():
    words = corpus(num_classes=6)
    assert 0.4 < accuracy_of(1, words) < 0.6  # the topic, and a guess between its two orders


@pytest.mark.parametrize(("num_classes", "train", "test"), [(2, 2000, 1000), (46, 2760, 1000), (100, 6000, 2000)])
def test_sizes_and_balance(num_classes, train, test):
    words = corpus(num_classes)
    assert (len(words.x_train), len(words.x_test)) == (len(words.y_train), len(words.y_test)) == (train, test)
    assert np.unique(words.y_train).tolist() == list(range(num_classes))
    built = Counter(map(bayes, words.x_train))
    assert max(built.values()) - min(built.values()) <= 1


def test_documents_are_short_and_their_ranks_fit_the_vocabulary():
    for num_words in [21, 87, 1000]:
        words = corpus(num_words=num_words)
        assert {len(document) for document in words.x_train} <= set(range(24, 41))
        assert min(map(min, words.x_train)) == 1
        assert max(map(max, words.x_train)) + 3 < num_words


def test_the_last_five_words_of_a_document_hold_a_pair():
    assert all(TODAY in document[-5:-1] or YESTERDAY in document[-5:-1] for document in corpus().x_train)


@pytest.mark.parametrize(("num_classes", "least"), [(2, 21), (3, 24), (46, 87)])
def test_too_small_a_vocabulary_is_refused_and_the_smallest_that_works_is_named(num_classes, least):
    corpus(num_classes, num_words=least)
    with pytest.raises(ValueError, match=f"for {num_classes} classes needs at least {least}$"):
        corpus(num_classes, num_words=least - 1)
