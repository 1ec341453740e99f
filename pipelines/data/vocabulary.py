"""The vocabulary of a table's texts: the tokens that get an id of their own, learned from the training part.

It is the same to the last byte in every process, whatever the number of threads and the hash seed: tokens of equal
count are ordered by their text, and subwords are learned from counted words in sorted order.
"""

from __future__ import annotations

import heapq
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sweeps.text_encoder import BATCH, CODE_POINTS, OFFSET, UNLISTED, CharacterRow, WordRow, WordTable

if TYPE_CHECKING:
    from tokenizers import Tokenizer

UNKNOWN_TOKEN = "[UNK]"  # capitals and brackets: no text is cut into such a token
INNER = "##"  # begins a piece that does not begin its word
REPEATED = 1000  # copies of a word in one text
ROUNDS = 4  # after which few cuts change


class Vocabulary(NamedTuple):
    """The tokens that get an id of their own."""

    content: bytes  # for `TextEncoder`, JSON
    counts: NDArray[np.int64]  # of all different tokens in the texts; of subwords, of the words that they are made of


def learn(texts: Iterable[Sequence[str]], *, tokens: str, num_words: int) -> Vocabulary:
    """Return the vocabulary of all batches of `texts`: the most frequent tokens.

    Raises `ValueError` where no token could get an id.
    """
    if num_words < OFFSET + 2:
        raise ValueError(f"num_words={num_words} leaves no id for a token; must be at least {OFFSET + 2}")
    batches = (list(batch[first : first + BATCH]) for batch in texts for first in range(0, len(batch), BATCH))
    if tokens == "words":
        return _most_frequent(list(_word_counts(batches)), num_words)
    if tokens == "characters":
        return _most_frequent(list(_character_counts(batches)), num_words)
    return _subwords(batches, tokens, num_words - OFFSET)


def _most_frequent(counts: Sequence[tuple[str, int]], num_words: int) -> Vocabulary:
    most = heapq.nsmallest(num_words - OFFSET - 1, counts, key=lambda pair: (-pair[1], pair[0]))
    if not most:
        raise ValueError("the texts hold no token")
    ranks = {token: rank for rank, (token, _) in enumerate(most, start=1)}
    content = json.dumps(ranks, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return Vocabulary(content, np.array([count for _, count in counts]))


def _word_counts(batches: Iterable[list[str]]) -> Iterator[tuple[str, int]]:
    """Count words by the encoder's own table, made anew when it has missed as many words as it holds."""
    words: list[bytes] = []
    table, counts, new = WordTable(words), np.zeros(1, np.int64), Counter[bytes]()
    missed = 0
    for batch in batches:
        row = WordRow(batch)
        numbers = table.numbers(row)
        np.add.at(counts, numbers, 1)  # of those without a number at the end
        new.update(row.words(np.flatnonzero(numbers == UNLISTED)))
        missed += int(counts[UNLISTED])
        counts[UNLISTED] = 0
        if missed > len(words):
            words += new
            counts = np.array([*counts[:-1], *new.values(), 0])
            table, new, missed = WordTable(words), Counter(), 0
    pairs = [*zip(words, counts.tolist(), strict=False), *new.items()]
    return ((word.decode("utf-8", "surrogatepass"), count) for word, count in pairs)


def _character_counts(batches: Iterable[list[str]]) -> Iterator[tuple[str, int]]:
    counts = np.zeros(CODE_POINTS, np.int64)
    for batch in batches:
        np.add.at(counts, CharacterRow(batch).codes, 1)
    return ((chr(code), int(counts[code])) for code in np.flatnonzero(counts).tolist())


# Subwords


def _subwords(batches: Iterable[list[str]], tokens: str, size: int) -> Vocabulary:
    tokenizer = _tokenizer(tokens)
    words = _within(_pretokenized(batches, tokenizer), (size - 1) // 2)
    if not words:
        raise ValueError("the texts hold no token")
    tokenizer.model = _unigram(words, size) if tokens == "unigram" else _pieces(words, tokens, size)
    return Vocabulary(tokenizer.to_str().encode(), np.array([*words.values()]))


def _tokenizer(tokens: str) -> Tokenizer:
    """Return a tokenizer without a vocabulary.

    Words and runs of punctuation are cut apart before pieces are learned: Korean particles, the parts of German
    compounds and those of an identifier are then pieces of one word, and `->` or `!=` is one token of code.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), normalizers.NFC()])
    words = pre_tokenizers.Whitespace()
    marked = pre_tokenizers.Sequence([words, pre_tokenizers.Metaspace()])  # Unigram has no prefix for inner pieces
    tokenizer.pre_tokenizer = marked if tokens == "unigram" else words
    return tokenizer


def _pretokenized(batches: Iterable[list[str]], tokenizer: Tokenizer) -> Counter[str]:
    """Count words as the tokenizer cuts them. It sees each different run between blanks once."""
    from tokenizers import pre_tokenizers

    runs, words = Counter[str](), Counter[str]()
    for batch in batches:
        runs.update("\n".join(batch).encode("utf-8", "replace").decode().split())
    cut = pre_tokenizers.Whitespace()
    for run, count in runs.items():
        for word, _ in cut.pre_tokenize_str(tokenizer.normalizer.normalize_str(run)):
            words[word] += count
    return words


def _within(words: Counter[str], size: int) -> Counter[str]:
    """Return the words cut at all but the `size` most frequent characters.

    The trainers give every character an id, even beyond the vocabulary's size, and drop equally frequent ones at random
    where they are limited.
    """
    characters = Counter[str]()
    for word, count in words.items():
        for character in word:
            characters[character] += count
    ordered = sorted(characters, key=lambda character: (-characters[character], character))
    rare = str.maketrans(dict.fromkeys(ordered[size:], " "))
    within = Counter[str]()
    for word, count in words.items():
        for part in word.translate(rare).split():
            within[part] += count
    return within


def _texts(words: Counter[str]) -> Iterator[str]:
    """Yield every word as often as it was counted, sorted."""
    for word, count in sorted(words.items()):
        for first in range(0, count, REPEATED):
            yield " ".join([word] * min(REPEATED, count - first))


def _pieces(words: Counter[str], tokens: str, size: int) -> Any:
    """Learn merges of frequent neighbours; WordPiece uses only the pieces that they make.

    The trainer numbers the characters in the order of a hash map, another one in each process, and the numbers decide
    between equally frequent pairs. As special tokens they have their numbers from the start.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    characters = sorted({word[0] for word in words} | {INNER + inner for word in words for inner in word[1:]})
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=2,
        special_tokens=[UNKNOWN_TOKEN, *characters],
        continuing_subword_prefix=INNER,
        show_progress=False,
    )
    learner.train_from_iterator(_texts(words), trainer)
    model = json.loads(learner.to_str())["model"]
    pieces = [UNKNOWN_TOKEN, *sorted(model["vocab"].keys() - {UNKNOWN_TOKEN})]
    ids = {piece: number for number, piece in enumerate(pieces)}
    if tokens == "wordpiece":
        return models.WordPiece(ids, unk_token=UNKNOWN_TOKEN, continuing_subword_prefix=INNER)
    merges = [tuple(pair) for pair in model["merges"]]
    return models.BPE(ids, merges, unk_token=UNKNOWN_TOKEN, continuing_subword_prefix=INNER)


def _unigram(words: Counter[str], size: int) -> Any:
    """Learn pieces, then their probabilities.

    The trainer adds up floating-point numbers in the order of a hash map, so its probabilities differ from one training
    to the next. Those here come from whole numbers: how often the most probable cut of all words has each piece.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    learner = Tokenizer(models.Unigram())
    learner.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=size, special_tokens=[UNKNOWN_TOKEN], unk_token=UNKNOWN_TOKEN, show_progress=False
    )
    learner.train_from_iterator(_texts(words), trainer)
    ordered = sorted(words)
    scores = dict.fromkeys(sorted(learner.get_vocab().keys() - {UNKNOWN_TOKEN}), -1.0)  # first, as few pieces as can be
    for _ in range(ROUNDS):
        learner.model = models.Unigram([(UNKNOWN_TOKEN, 0.0), *scores.items()], 0)
        used = Counter[str]()
        for word, encoding in zip(ordered, learner.encode_batch_fast(ordered), strict=True):
            for piece in encoding.tokens:
                used[piece] += words[word]
        scores = {piece: math.log(max(used[piece], 0.5) / used.total()) for piece in scores}
    return models.Unigram([(UNKNOWN_TOKEN, 0.0), *scores.items()], 0)
