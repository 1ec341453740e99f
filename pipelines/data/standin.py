"""A generated corpus that stands in for a real one; the order of its words carries part of the label.

Compare the Korean 어제 주가가 어때? (how was the stock yesterday?) and 오늘 주가가 어때? (how is the stock today?): the
last words are the same, and the first one decides what they mean. A document is a row of clauses; each holds a pair of
a day and an event, one word of the document's topic, and filler. The label is `2 * topic + order`, where `order` says
which event belongs to today; the other belongs to yesterday. Every document holds each of these four words equally
often, so a bag of words sees the topic and nothing of the order: on two classes, which have one topic, it can only
guess.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.data.corpus import Documents

TODAY, YESTERDAY, RISE, FALL = SIGNAL = (1, 2, 3, 4)  # word ranks
REPEATS = 4  # of each day in a document
# Mostly yesterday comes first. The last event alone then reveals three orders in four, which gives a network a gradient
# to follow; with 0.5 a small LSTM stays at chance for its first 300 steps, and early stopping ends it there.
CHRONOLOGICAL = 0.75
TOPIC_WORDS = 3  # in a topic's own vocabulary
FILLERS = (0, 1, 2)  # in a clause
LEAST_FILLER_WORDS, MOST_FILLER_WORDS = 10, 40  # in the vocabulary, as `num_words` allows
NOISE = 20  # exactly one label in 20 is replaced
BEST_ACCURACY = 1 - 1 / NOISE


def generate(*, num_words: int, num_classes: int, seed: int) -> Documents:
    """Generate documents of 24 to 40 words, equally many of each class.

    There are 2,000 train and 1,000 test documents, or 60 and 20 of each class if that is more. In each split exactly
    5 % of the labels, drawn at random, are replaced by another class, so the rule that built the documents scores
    exactly `BEST_ACCURACY`, 0.95, and no model can be expected to score more. The same arguments give the same corpus.
    Raises `ValueError` where `num_words` leaves no room for the topics.
    """
    topics = (num_classes + 1) // 2
    first_filler = 1 + len(SIGNAL) + topics * TOPIC_WORDS
    fillers = range(first_filler, num_words - 3)[:MOST_FILLER_WORDS]  # the encoder adds 3 to a rank
    if len(fillers) < LEAST_FILLER_WORDS:
        least = first_filler + LEAST_FILLER_WORDS + 3
        raise ValueError(f"the stand-in for {num_classes} classes needs at least {least}")
    rng = random.Random(seed)
    train = _split(rng, max(2000, 60 * num_classes), num_classes, fillers)
    test = _split(rng, max(1000, 20 * num_classes), num_classes, fillers)
    return Documents(*train, *test)


def _split(
    rng: random.Random, size: int, num_classes: int, fillers: Sequence[int]
) -> tuple[list[list[int]], NDArray[np.int64]]:
    labels = [i % num_classes for i in range(size)]
    rng.shuffle(labels)
    documents = [_document(rng, label, fillers) for label in labels]
    for i in rng.sample(range(size), size // NOISE):
        labels[i] = (labels[i] + rng.randrange(1, num_classes)) % num_classes
    return documents, np.array(labels, dtype=np.int64)


def _document(rng: random.Random, label: int, fillers: Sequence[int]) -> list[int]:
    topic, order = divmod(label, 2)
    first = 1 + len(SIGNAL) + topic * TOPIC_WORDS
    topic_words = range(first, first + TOPIC_WORDS)
    today, yesterday = (RISE, FALL) if order == 0 else (FALL, RISE)
    words = []
    for _ in range(REPEATS):
        pairs = [(YESTERDAY, yesterday), (TODAY, today)]
        for pair in pairs if rng.random() < CHRONOLOGICAL else reversed(pairs):
            words += _clause(rng, pair, topic_words, fillers)
    return words


def _clause(rng: random.Random, pair: tuple[int, int], topic_words: Sequence[int], fillers: Sequence[int]) -> list[int]:
    """Return the pair, its words side by side, somewhere among a topic word and filler."""
    parts: list[tuple[int, ...]] = [pair, (rng.choice(topic_words),)]
    parts += [(rng.choice(fillers),) for _ in range(rng.choice(FILLERS))]
    rng.shuffle(parts)
    return [word for part in parts for word in part]
