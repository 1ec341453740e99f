"""From texts to ids: batches of NumPy's against one word after the other."""

import json
import string
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.text_encoder import BATCH, KEEP, Ranks, TextEncoder, encode
from tests.corpora import REAL, needs_real_archives

NUM_WORDS, MAXLEN = 20, 6
FILTERED = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'
WORDS = [
    "a",
    "b",
    "ß",
    "게임",
    "게임을",
    "i̇x",
    "é",
    "averyveryverylongword",
    "고대전쟁실시간전략게임",
    "exactly16bytes!!"[:14],
]
RANKS = {word: rank for rank, word in enumerate([*WORDS, *(f"w{i}" for i in range(20))], start=1)}
CHARACTERS = {character: rank for rank, character in enumerate(" abßé게임i\u0307w0123", start=1)}
TEXT = (
    st.text()
    | st.text(st.characters(categories=["Cs", "Zs", "Cc", "Lu", "Mn"]))
    | st.text("aBw1 .\t\n\r\xa0\x85\0\x1c\u3000éẞΣİ")
)
MIXED = st.lists(st.sampled_from([*RANKS, "W3", "A!", "\n", " ", "new", "Averyveryverylongwordx"]), max_size=12).map(
    " ".join
)
TEXTS = st.lists(TEXT | MIXED, max_size=5)


def encoder(*, tokens="words", keep="last", unlisted="unknown", vocabulary=RANKS, num_words=NUM_WORDS, maxlen=MAXLEN):
    settings = {"tokens": tokens, "num_words": num_words, "maxlen": maxlen, "keep": keep, "unlisted": unlisted}
    return TextEncoder(settings, json.dumps(vocabulary).encode())


def plain_words(text: str, unlisted: str) -> list[str]:
    if unlisted == "skip":  # as Keras cut the texts of its archives
        return [w for w in text.lower().translate(str.maketrans(dict.fromkeys(FILTERED, " "))).split(" ") if w]
    text = unicodedata.normalize("NFC", text.lower())
    return text.translate(str.maketrans(dict.fromkeys(FILTERED + "\0", " "))).split()


def plain_row(ranks: list[int], keep: str, maxlen: int = MAXLEN, num_words: int = NUM_WORDS) -> list[int]:
    ids = [1, *(rank + 3 if rank + 3 < num_words else 2 for rank in ranks)]
    if len(ids) <= maxlen:
        return [0] * (maxlen - len(ids)) + ids
    head = {"last": 0, "first": maxlen, "both": maxlen // 2}[keep]
    return ids[:head] + ids[len(ids) - (maxlen - head) :]


@given(st.lists(st.lists(st.integers(0, 30), max_size=15), max_size=5), st.integers(1, 12), st.sampled_from(KEEP))
def test_ranks_become_rows_of_ids(documents: list[list[int]], maxlen: int, keep: str) -> None:
    x = encode(documents, num_words=NUM_WORDS, maxlen=maxlen, keep=keep)
    assert (x.dtype, x.shape) == (np.int32, (len(documents), maxlen))
    assert x.tolist() == [plain_row(ranks, keep, maxlen) for ranks in documents]
    np.testing.assert_array_equal(x, encode(Ranks.of(documents), num_words=NUM_WORDS, maxlen=maxlen, keep=keep))


def test_negative_ranks_are_refused() -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        encode([[1, -1]], num_words=NUM_WORDS, maxlen=MAXLEN, keep="last")


@given(TEXTS, st.sampled_from(KEEP), st.sampled_from(["skip", "unknown"]))
def test_a_batch_of_words_has_the_ids_of_one_word_after_the_other(texts: list[str], keep: str, unlisted: str) -> None:
    expected = []
    for text in texts:
        words = plain_words(text, unlisted)
        ranks = [RANKS.get(word, NUM_WORDS) for word in words if word in RANKS or unlisted == "unknown"]
        expected.append(plain_row(ranks, keep))
    assert encoder(keep=keep, unlisted=unlisted).encode(texts).tolist() == expected


@given(TEXTS, st.sampled_from(KEEP))
def test_a_batch_of_characters_has_the_ids_of_one_after_the_other(texts: list[str], keep: str) -> None:
    plain = [" ".join(unicodedata.normalize("NFC", text.lower()).split()) for text in texts]
    expected = [plain_row([CHARACTERS.get(character, NUM_WORDS) for character in text], keep) for text in plain]
    assert encoder(tokens="characters", vocabulary=CHARACTERS, keep=keep).encode(texts).tolist() == expected


@given(TEXTS, st.sampled_from(KEEP), st.sampled_from(["skip", "unknown"]), st.integers(1, 6))
def test_a_reading_counts_what_is_not_understood_and_what_is_not_read(
    texts: list[str], keep: str, unlisted: str, maxlen: int
) -> None:
    for text, reading in zip(texts, encoder(keep=keep, unlisted=unlisted, maxlen=maxlen).read(texts), strict=True):
        words = plain_words(text, unlisted)
        known = [word for word in words if RANKS.get(word, NUM_WORDS) + 3 < NUM_WORDS]
        tokens = [word for word in words if word in RANKS or unlisted == "unknown"]
        row = plain_row(list(range(1, len(tokens) + 1)), keep, maxlen, num_words=10**6)
        assert reading == (len(words), len(words) - len(known), len(tokens) - sum(entry > 1 for entry in row))


@pytest.mark.parametrize(
    ("text", "reading"),
    [("", (0, 0, 0)), ("?!", (0, 0, 0)), ("W1, w2!", (2, 0, 0)), ("w1 w19 new", (3, 2, 0)), ("w1 " * 9, (9, 0, 3)),
     ("new " * 9, (9, 9, 0)), ("어제 w3", (2, 1, 0))],
)  # fmt: skip
def test_a_reading_of_an_archives_words(text: str, reading: tuple[int, int, int]) -> None:
    ranks = {f"w{rank}": rank for rank in range(1, 20)}
    assert encoder(vocabulary=ranks, unlisted="skip").read([text]) == [reading]


@pytest.mark.parametrize("form", ["NFD", "NFC"])
@pytest.mark.parametrize("tokens", ["words", "characters"])
def test_korean_is_the_same_in_syllables_and_in_letters(tokens: str, form: str) -> None:
    ranks = RANKS if tokens == "words" else CHARACTERS
    text = "게임을 É 게임"
    coded = encoder(tokens=tokens, vocabulary=ranks)
    np.testing.assert_array_equal(coded.encode([unicodedata.normalize(form, text)]), coded.encode([text]))
    assert coded.encode(["게임"])[0, -1] > 3


def test_no_character_depends_on_how_it_is_composed() -> None:
    def cleaned(text: str) -> str:
        return unicodedata.normalize("NFC", text.lower())

    every = [chr(code) for code in range(0x110000)]
    assert [c for c in every if cleaned(c) != cleaned(unicodedata.normalize("NFD", c))] == []


def test_words_that_share_slots_and_beginnings_are_kept_apart() -> None:
    random = np.random.default_rng(0)
    letters = np.array(list(string.ascii_lowercase + "가나"))
    made = {"".join(random.choice(letters, size)) for size in random.integers(1, 30, 20_000)}
    words = sorted(made | {word[:16] for word in made} | {word[:8] for word in made})
    listed = {word: rank for rank, word in enumerate(words[::2], start=1)}
    x = encoder(vocabulary=listed, num_words=10**6, maxlen=2).encode(words)
    assert x.tolist() == [[1, listed[word] + 3 if word in listed else 2] for word in words]


def test_texts_keep_their_places_beyond_one_batch() -> None:
    texts = [f"w{i % 9} w1" if i % 7 else "" for i in range(2 * BATCH + 3)]
    x = encoder().encode(texts)
    np.testing.assert_array_equal(x, np.concatenate([encoder().encode([text]) for text in texts]))
    assert encoder().encode([]).shape == (0, MAXLEN)


def test_an_unknown_kind_of_token_is_refused() -> None:
    with pytest.raises(ValueError, match="tokens=syllables: must be one of words, characters"):
        encoder(tokens="syllables")


@needs_real_archives
@pytest.mark.long
@pytest.mark.parametrize("num_words", [5000, 10**6])
def test_texts_made_of_the_archives_words_have_the_archives_ids(num_words: int) -> None:
    index = (REAL / "imdb_word_index.json").read_bytes()
    by_rank = {rank: word for word, rank in json.loads(index).items()}
    with np.load(REAL / "imdb.npz", allow_pickle=True) as archive:
        documents = archive["x_test"].tolist()
    settings = {"tokens": "words", "num_words": num_words, "maxlen": 100, "keep": "last", "unlisted": "skip"}
    texts = [" ".join(by_rank[rank] for rank in document) for document in documents]
    expected = encode(documents, num_words=num_words, maxlen=100, keep="last")
    np.testing.assert_array_equal(TextEncoder(settings, index).encode(texts), expected)
