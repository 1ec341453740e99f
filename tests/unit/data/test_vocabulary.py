"""Vocabularies are learned from texts, and are the same wherever they are learned."""

import hashlib
import json
import os
import subprocess
import sys
import unicodedata
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.data.vocabulary import learn
from sweeps.text_encoder import KEEP, TOKENS, TextEncoder, normalized
from tests.conftest import ROOT
from tests.corpora import REAL

SUBWORDS = TOKENS[2:]
TABLES = [REAL / "debian_ko.parquet", REAL / "debian_en.parquet"]
TEXTS = [
    "고대 전쟁 실시간 전략 게임을 서버에서 실행합니다. 게임은 무료입니다.",
    "Die Donaudampfschifffahrt und das Dampfschiff; für Schiffe.",
    "if (x != y) { return do_something(x->y, 42); }",
    "the quick brown fox jumps over the lazy dogs and the quicker foxes",
] * 5


def learned(tokens: str, texts: list[str] = TEXTS, num_words: int = 300) -> bytes:
    return learn([texts], tokens=tokens, num_words=num_words).content


def encoder(tokens: str, vocabulary: bytes, keep: str = "last", num_words: int = 300) -> TextEncoder:
    settings = {"tokens": tokens, "num_words": num_words, "maxlen": 40, "keep": keep, "unlisted": "unknown"}
    return TextEncoder(settings, vocabulary)


def test_the_most_frequent_tokens_come_first_and_equal_ones_by_their_text() -> None:
    assert json.loads(learned("words", ["b a", "B! c\xa0c", "d"], 7)) == {"b": 1, "c": 2, "a": 3}
    assert json.loads(learned("characters", ["ba", "b\n\nc"], 7)) == {"b": 1, " ": 2, "a": 3}


@given(st.lists(st.lists(st.text("ab .é\n") | st.text(), max_size=4), max_size=4))
def test_every_token_is_counted_once_in_whatever_batches(batches: list[list[str]]) -> None:
    characters = Counter(character for batch in batches for text in batch for character in normalized(text))
    expected = sorted(characters, key=lambda character: (-characters[character], character))
    if expected:
        vocabulary = learn(batches, tokens="characters", num_words=10**6).content
        assert list(json.loads(vocabulary)) == expected
        assert learn(batches[::-1], tokens="characters", num_words=10**6).content == vocabulary


def test_words_are_counted_however_often_the_table_grows() -> None:
    random = np.random.default_rng(0)
    drawn = random.zipf(1.3, 60_000)
    texts = [" ".join(f"w{n}" for n in row) for row in np.minimum(drawn, 10**17).reshape(-1, 10)]
    counts = Counter(" ".join(texts).split())
    expected = sorted(counts, key=lambda word: (-counts[word], word))
    batches = [texts[i : i + 300] for i in range(0, len(texts), 300)]
    assert list(json.loads(learn(batches, tokens="words", num_words=10**6).content)) == expected
    assert list(json.loads(learn(batches, tokens="words", num_words=104).content)) == expected[:100]


@pytest.mark.parametrize("tokens", TOKENS)
@pytest.mark.parametrize("num_words", [12, 60, 300])
def test_no_id_is_as_large_as_num_words(tokens: str, num_words: int) -> None:
    ids = encoder(tokens, learned(tokens, num_words=num_words), num_words=num_words).encode(TEXTS)
    assert set(ids.ravel().tolist()) <= {0, 1, 2, *range(4, num_words)}
    assert ids.max() > 3 or (tokens, num_words) == ("wordpiece", 12)  # which knows no word whose letters it has not all


@pytest.mark.parametrize("tokens", TOKENS)
def test_what_was_never_seen_is_unknown(tokens: str) -> None:
    ids = encoder(tokens, learned(tokens)).encode(["\u4e2d\u4e2d", "\ud800"])
    begins = {encoder(tokens, learned(tokens)).encode(["\u4e2d"])[0, -2]} if tokens == "unigram" else set()
    assert set(ids.ravel().tolist()) <= {0, 1, 2} | begins
    if tokens != "words":  # there a word of its own, and here a blank
        assert ids[0, -1] == 2


@pytest.mark.parametrize("tokens", TOKENS)
def test_neither_capitals_nor_the_form_of_composition_matter(tokens: str) -> None:
    coded = encoder(tokens, learned(tokens, [unicodedata.normalize("NFD", text) for text in TEXTS]))
    assert learned(tokens, [unicodedata.normalize("NFD", text) for text in TEXTS]) == learned(tokens)
    ids = coded.encode(TEXTS)
    np.testing.assert_array_equal(coded.encode([unicodedata.normalize("NFD", text).upper() for text in TEXTS]), ids)


@pytest.mark.parametrize("tokens", SUBWORDS)
def test_a_korean_particle_is_a_piece_of_its_word(tokens: str) -> None:
    texts = [
        f"{noun}{particle} 있다" for noun in ("게임", "서버", "도구", "문서") for particle in ("을", "은", "에서")
    ] * 3
    texts = [text for text in texts if "게임에서" not in text]
    coded = encoder(tokens, learned(tokens, texts, num_words=45), num_words=45)
    with_particle, alone = (row[row > 1].tolist() for row in coded.encode(["게임에서", "게임"]))
    assert with_particle[: len(alone)] == alone
    assert 2 not in with_particle


@pytest.mark.parametrize("texts", [[], [""], [" \n"]])
@pytest.mark.parametrize("tokens", TOKENS)
def test_texts_without_tokens_are_refused(tokens: str, texts: list[str]) -> None:
    with pytest.raises(ValueError, match="the texts hold no token"):
        learned(tokens, texts)


def test_a_vocabulary_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="num_words=4 leaves no id for a token; must be at least 5"):
        learned("words", num_words=4)


LEARN = """
import hashlib, json, sys
from pipelines.data.vocabulary import learn
for tokens in sys.argv[1:]:
    print(hashlib.sha256(learn([json.load(open("texts.json"))], tokens=tokens, num_words=300).content).hexdigest())
"""


def in_a_process(folder, script: str, *arguments: str, **variables: str) -> list[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    command = [sys.executable, "-c", script, *arguments]
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return ended.stdout.split()


@pytest.mark.long
def test_a_vocabulary_is_the_same_in_every_process(tmp_path) -> None:
    (tmp_path / "texts.json").write_text(json.dumps(TEXTS))
    expected = [hashlib.sha256(learned(tokens)).hexdigest() for tokens in TOKENS]
    for seed, threads, parallel in [("0", "1", "true"), ("1", "2", "true"), ("2", "4", "false"), ("3", "7", "true")]:
        variables = {"PYTHONHASHSEED": seed, "RAYON_NUM_THREADS": threads, "TOKENIZERS_PARALLELISM": parallel}
        assert in_a_process(tmp_path, LEARN, *TOKENS, **variables) == expected


ENCODE = """
import hashlib, json, sys
from pathlib import Path
from text_encoder import TextEncoder
texts = json.loads(Path("texts.json").read_bytes())
for name in sys.argv[1:]:
    coded = TextEncoder(json.loads(Path(f"{name}.json").read_bytes()), Path(f"{name}.vocabulary").read_bytes())
    print(hashlib.sha256(coded.encode(texts).tobytes()).hexdigest())
assert not {"pipelines", "sweeps", "pyarrow", "keras"} & sys.modules.keys()
"""


@pytest.mark.long
@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.stem)
def test_a_saved_encoder_gives_real_texts_the_same_ids_elsewhere(table, tmp_path) -> None:
    if not table.exists():
        pytest.skip(f"the real texts are not at {table}")
    import pyarrow.parquet as pq

    texts = pq.read_table(table)["text"].to_pylist()[:3000]
    expected = {}
    for tokens in TOKENS:
        vocabulary = learn(
            [texts[i : i + 700] for i in range(0, len(texts), 700)], tokens=tokens, num_words=2000
        ).content
        for keep in KEEP:
            settings = {"tokens": tokens, "num_words": 2000, "maxlen": 40, "keep": keep, "unlisted": "unknown"}
            (tmp_path / f"{tokens}_{keep}.json").write_text(json.dumps(settings))
            (tmp_path / f"{tokens}_{keep}.vocabulary").write_bytes(vocabulary)
            ids = TextEncoder(settings, vocabulary).encode(texts)
            expected[f"{tokens}_{keep}"] = hashlib.sha256(ids.tobytes()).hexdigest()
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    (tmp_path / "text_encoder.py").write_bytes((ROOT / "sweeps" / "text_encoder.py").read_bytes())
    assert len(set(expected.values())) == len(expected)
    assert in_a_process(tmp_path, ENCODE, *expected, PYTHONPATH="") == list(expected.values())
