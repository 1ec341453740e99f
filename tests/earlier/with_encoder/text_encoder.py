"""From texts to the ids that a network reads, while it trains and wherever it is served.

This file is kept beside every registered model whose texts it encoded, and runs there without this project: it imports
NumPy and, for subwords only, `tokenizers`. Nothing of a vocabulary is executed; it is JSON.

The words of a batch are looked up all at once. Their UTF-8 bytes are one array, a word of at most 16 bytes is two
integers of it, and one step of the hash table is a few operations of NumPy for the whole batch. One dictionary look-up
for each word takes several times as long, most of it waiting for the memory.
"""

from __future__ import annotations

import json
import string
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

START, UNKNOWN, OFFSET = 1, 2, 3  # Keras's reserved ids, 0 being the padding, and what it adds to a token's rank
TOKENS = ("words", "characters", "wordpiece", "bpe", "unigram")
KEEP = ("last", "first", "both")
BATCH = 1000  # texts; the arrays of many more leave the processor's cache
UNLISTED = -1  # the rank of a token that the vocabulary does not have
CODE_POINTS = 0x110000
SHORT = 16  # bytes of a word that is looked up by NumPy
MASKS = np.array([256**length - 1 for length in range(9)], np.uint64)
MULTIPLIERS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], np.uint64)  # odd, without a pattern in their bits


class Ranks(NamedTuple):
    """The ranks of the tokens of several texts, one text after the other."""

    flat: NDArray[np.int64]
    lengths: NDArray[np.int64]  # (n,): the number of each text's tokens

    @classmethod
    def of(cls, documents: Sequence[Sequence[int]]) -> Ranks:
        lengths = np.fromiter(map(len, documents), np.int64, len(documents))
        return cls(np.fromiter(chain.from_iterable(documents), np.int64, int(lengths.sum())), lengths)

    def batches(self) -> Iterable[Ranks]:
        ends = np.concatenate([[0], np.cumsum(self.lengths)])
        for first in range(0, len(self.lengths), BATCH):
            lengths = self.lengths[first : first + BATCH]
            yield Ranks(self.flat[ends[first] : ends[first + len(lengths)]], lengths)


class Reading(NamedTuple):
    """How much of a text a network gets to see."""

    tokens: int
    unknown: int  # tokens that the vocabulary does not have, or that are too rare for an id of their own
    unread: int  # tokens that it has, and that `maxlen` cuts off


def encode(ranks: Ranks | Sequence[Sequence[int]], *, num_words: int, maxlen: int, keep: str) -> NDArray[np.int32]:
    """Turn ranks into Keras's ids, (n, maxlen): a start token, then rank + 3 or, from `num_words` on, 2.

    Short documents are padded with 0 on the left. Of long ones the start token and the tokens behind it count as one
    sequence, of which the last, the first or both ends are kept. Raises `ValueError` for negative ranks.
    """
    ranks = ranks if isinstance(ranks, Ranks) else Ranks.of(ranks)
    if np.any(ranks.flat < 0):
        raise ValueError("ranks must not be negative")
    x = np.zeros((len(ranks.lengths), maxlen), np.int32)
    for first, batch in zip(range(0, len(x), BATCH), ranks.batches(), strict=True):
        _fill(x[first : first + BATCH], batch, num_words, _head(maxlen, keep))
    return x


def _head(maxlen: int, keep: str) -> int:
    """Return how many ids of a long document come from its beginning."""
    return {"last": 0, "first": maxlen, "both": maxlen // 2}[keep]


def _fill(x: NDArray[np.int32], ranks: Ranks, num_words: int, head: int) -> None:
    n, maxlen = x.shape
    lengths = ranks.lengths + 1  # with the start token
    excess, padding = np.maximum(lengths - maxlen, 0), np.maximum(maxlen - lengths, 0)
    first = np.cumsum(lengths) - lengths  # the start tokens' places in the row of all tokens
    ids = np.full(len(ranks.flat) + n, START, np.int32)
    is_token = np.ones(len(ids), bool)
    is_token[first] = False
    ids[is_token] = np.where(ranks.flat < num_words - OFFSET, ranks.flat + OFFSET, UNKNOWN)
    place = np.arange(len(ids)) - np.repeat(first, lengths)
    cut = np.repeat(excess, lengths)
    kept = (place < head) | (place >= head + cut)
    row = np.repeat(np.arange(n) * maxlen + padding, lengths)
    x.reshape(-1)[(row + place - np.where(place < head, 0, cut))[kept]] = ids[kept]


class TextEncoder:
    """The way from texts to ids: `settings` has tokens, num_words, maxlen, keep and unlisted.

    With unlisted=unknown a token that the vocabulary does not have is id 2. With unlisted=skip it is left out, and
    words are cut as Keras cut those of its archives.
    """

    def __init__(self, settings: Mapping[str, Any], vocabulary: bytes) -> None:
        self._num_words, self._maxlen = settings["num_words"], settings["maxlen"]
        self._keep, self._skips = settings["keep"], settings["unlisted"] == "skip"
        self._tokens = tokenization(settings["tokens"], vocabulary, as_keras=self._skips)

    def ranks(self, texts: Sequence[str]) -> Ranks:
        found = self._tokens.ranks(texts)
        if not self._skips:
            return Ranks(np.where(found.flat == UNLISTED, self._num_words, found.flat), found.lengths)
        return Ranks(found.flat[found.flat != UNLISTED], self._listed(found))

    def encode(self, texts: Sequence[str]) -> NDArray[np.int32]:
        """Return the ids, (n, maxlen)."""
        x = np.zeros((len(texts), self._maxlen), np.int32)
        for first in range(0, len(texts), BATCH):
            ranks = self.ranks(texts[first : first + BATCH])
            _fill(x[first : first + BATCH], ranks, self._num_words, _head(self._maxlen, self._keep))
        return x

    def read(self, texts: Sequence[str]) -> list[Reading]:
        """Return how much of each text is understood and read."""
        found = self._tokens.ranks(texts)
        known = (found.flat != UNLISTED) & (found.flat < self._num_words - OFFSET)
        unknown = found.lengths - sums(known, found.lengths)
        lengths = self._listed(found) if self._skips else found.lengths
        room = self._maxlen - (_head(self._maxlen, self._keep) > 0)  # the start token may be cut off as well
        unread = np.maximum(lengths - room, 0)
        return [Reading(*row) for row in zip(found.lengths.tolist(), unknown.tolist(), unread.tolist(), strict=True)]

    def _listed(self, found: Ranks) -> NDArray[np.int64]:
        return sums(found.flat != UNLISTED, found.lengths)


def sums(flags: NDArray[np.bool_], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many of each text's tokens have the flag."""
    sums: NDArray[np.int64] = np.concatenate([[0], np.cumsum(flags)])
    ends = np.cumsum(lengths)
    counted: NDArray[np.int64] = sums[ends] - sums[ends - lengths]
    return counted


def tokenization(tokens: str, vocabulary: bytes, *, as_keras: bool) -> Words | Characters | Subwords:
    if tokens == "words":
        return Words(json.loads(vocabulary), as_keras=as_keras)
    if tokens == "characters":
        return Characters(json.loads(vocabulary))
    if tokens in TOKENS:
        return Subwords(vocabulary)
    raise ValueError(f"tokens={tokens}: must be one of {', '.join(TOKENS)}")


# Words

FILTERED = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t'  # what Keras's tokenizer takes for a blank; and the line break


def _table(blanks: str, zero: str) -> bytes:
    """Return a table for `bytes.translate`; a zero byte would not count in a word's integers."""
    before, after = string.ascii_uppercase + blanks + "\0", string.ascii_lowercase + " " * len(blanks) + zero
    return bytes.maketrans(before.encode(), after.encode())


KERAS_TABLE = _table(FILTERED, "\1")  # Keras left other white space inside words, and so did its archives
TABLE = _table(FILTERED + "\v\f\r\x1c\x1d\x1e\x1f", " ")


Integers = tuple[NDArray[np.uint64], NDArray[np.uint64]]


class WordRow:
    """The words of several texts, as places in one row of their bytes."""

    def __init__(self, texts: Sequence[str], *, as_keras: bool = False) -> None:
        clean = str.lower if as_keras else normalized
        plain = [text if text.isascii() else clean(text) for text in texts]  # a capital of ASCII is left to the table
        row = "\n".join(["", *[text.replace("\n", " ") for text in plain], ""]).encode("utf-8", "surrogatepass")
        self._row = row.translate(KERAS_TABLE if as_keras else TABLE) + bytes(-len(row) % 8 + 2 * SHORT)
        characters = np.frombuffer(self._row, np.uint8, len(row))
        breaks = characters == ord("\n")
        gaps = breaks | (characters == ord(" "))
        edges = np.flatnonzero(gaps[1:] != gaps[:-1]) + 1
        self._starts, self._sizes = edges[::2], edges[1::2] - edges[::2]
        self.lengths = np.diff(np.searchsorted(self._starts, np.flatnonzero(breaks)))

    def integers(self) -> Integers:
        """Return every word's first 8 bytes, and its next 8."""
        row, units = np.frombuffer(self._row, "<u8"), self._starts >> 3
        shift = (self._starts & 7).astype(np.uint64) << np.uint64(3)
        back = np.uint64(64) - shift  # NumPy's shift by 64 gives 0
        below, middle, above = row[units], row[units + 1], row[units + 2]
        low = (below >> shift | middle << back) & MASKS[np.minimum(self._sizes, 8)]
        return low, (middle >> shift | above << back) & MASKS[np.clip(self._sizes - 8, 0, 8)]

    def long(self) -> NDArray[np.intp]:
        return np.flatnonzero(self._sizes > SHORT)

    def words(self, which: NDArray[np.intp]) -> list[bytes]:
        """Return the words of these numbers, as UTF-8."""
        starts, sizes = self._starts[which].tolist(), self._sizes[which].tolist()
        return [self._row[start : start + size] for start, size in zip(starts, sizes, strict=True)]


class WordTable:
    """A hash table of words, whose numbers are their places in a list that holds none of them twice."""

    def __init__(self, words: Sequence[bytes]) -> None:
        # A zero byte would not count in the integers.
        is_long = np.array([len(word) > SHORT or b"\0" in word for word in words], bool)
        self._long = {words[number]: number for number in np.flatnonzero(is_long).tolist()}
        numbers = np.flatnonzero(~is_long)
        padded = b"".join([words[number].ljust(SHORT, b"\0") for number in numbers.tolist()])
        low, high = np.frombuffer(padded, "<u8").reshape(-1, 2).T
        self._low, self._high = np.zeros((2, len(words) + 1), np.uint64)
        self._low[numbers], self._high[numbers] = low, high
        self._bits = max(4, (4 * len(words)).bit_length())
        self._slots = np.full(2**self._bits, UNLISTED)
        self._place(numbers, self._hashes((low, high)))

    def _place(self, numbers: NDArray[np.int64], slots: NDArray[np.int64]) -> None:
        while len(numbers):
            free = self._slots[slots] == UNLISTED
            self._slots[slots[free]] = numbers[free]  # of several words for one slot, one gets it
            without = self._slots[slots] != numbers
            numbers, slots = numbers[without], self._next(slots[without])

    def numbers(self, row: WordRow) -> NDArray[np.int64]:
        """Return every word's number, or `UNLISTED`."""
        low, high = row.integers()
        slots = self._hashes((low, high))
        numbers = self._slots[slots]
        missed = np.flatnonzero(self._is_other(numbers, low, high))
        while len(missed):
            slots[missed] = self._next(slots[missed])
            numbers[missed] = candidates = self._slots[slots[missed]]
            missed = missed[self._is_other(candidates, low[missed], high[missed])]
        long = row.long()
        numbers[long] = [self._long.get(word, UNLISTED) for word in row.words(long)]
        return numbers

    def _is_other(
        self, numbers: NDArray[np.int64], low: NDArray[np.uint64], high: NDArray[np.uint64]
    ) -> NDArray[np.bool_]:
        """Return where a slot holds another word than the one that is looked for."""
        differs = (self._low[numbers] != low) | (self._high[numbers] != high)
        other: NDArray[np.bool_] = differs & (numbers != UNLISTED)
        return other

    def _hashes(self, integers: Integers) -> NDArray[np.int64]:
        mixed: NDArray[np.uint64] = integers[0] * MULTIPLIERS[0] ^ integers[1] * MULTIPLIERS[1]
        mixed = (mixed ^ mixed >> np.uint64(29)) * MULTIPLIERS[0]
        return (mixed >> np.uint64(64 - self._bits)).astype(np.int64)

    def _next(self, slots: NDArray[np.int64]) -> NDArray[np.int64]:
        following: NDArray[np.int64] = (slots + 1) & (2**self._bits - 1)
        return following


class Words:
    def __init__(self, ranks: Mapping[str, int], *, as_keras: bool) -> None:
        self._table = WordTable([word.encode("utf-8", "surrogatepass") for word in ranks])
        self._ranks = np.array([*ranks.values(), UNLISTED])  # which -1, no word's number, finds as well
        self._as_keras = as_keras

    def ranks(self, texts: Sequence[str]) -> Ranks:
        row = WordRow(texts, as_keras=self._as_keras)
        return Ranks(self._ranks[self._table.numbers(row)], row.lengths)


def normalized(text: str) -> str:
    """Return the text in small letters, composed, and with one blank for any white space.

    Korean reaches us both in syllables and, from some systems' file names and PDFs, in the letters that make them up.
    """
    return " ".join(unicodedata.normalize("NFC", text.lower()).split())


# Characters


class CharacterRow:
    """The characters of several texts, as code points."""

    def __init__(self, texts: Sequence[str]) -> None:
        plain = [normalized(text) for text in texts]
        self.lengths = np.fromiter(map(len, plain), np.int64, len(plain))
        self.codes = np.frombuffer("".join(plain).encode("utf-32-le", "surrogatepass"), "<u4")


class Characters:
    def __init__(self, ranks: Mapping[str, int]) -> None:
        self._ranks = np.full(CODE_POINTS, UNLISTED)
        self._ranks[[ord(character) for character in ranks]] = list(ranks.values())

    def ranks(self, texts: Sequence[str]) -> Ranks:
        row = CharacterRow(texts)
        return Ranks(self._ranks[row.codes], row.lengths)


# Subwords


class Subwords:
    """A tokenizer of Hugging Face's, whose id 0 is the unknown token."""

    def __init__(self, tokenizer: bytes) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_buffer(tokenizer)

    def ranks(self, texts: Sequence[str]) -> Ranks:
        # A lone surrogate is no character, and Rust's strings cannot hold it.
        plain = [text if text.isascii() else text.encode("utf-8", "replace").decode() for text in texts]
        encodings = self._tokenizer.encode_batch_fast(plain, add_special_tokens=False)
        ids = Ranks.of([encoding.ids for encoding in encodings])
        return Ranks(np.where(ids.flat == 0, UNLISTED, ids.flat), ids.lengths)
