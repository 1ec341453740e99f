"""Learning a vocabulary and encoding texts, compared with Keras's `TextVectorization` and with `tokenizers` alone.

    python -m tests.benchmarks.encoding [texts=1000000] [repetitions=3] [only=words,keras_1024]

The texts are generated: 5 to 25 words of a vocabulary of 100,000, whose frequencies follow Zipf's law. Every
measurement is a process of its own, in turn with the others; the medians are printed. Seconds mean little on a shared
machine: read the ratios. Memory is the highest above that of the imports, as a multiple of the file's size, while the
file becomes a dataset in the cache. Keras's rate depends on how many texts it gets at once, so it
is measured with 1,024 and with 16,384.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.benchmarks import commands

VOCABULARY, NUM_WORDS, MAXLEN = 100_000, 20_000, 32
LETTERS = "etaoinshrdlucmfwypvbgkjqxz"
LEARNED_FROM = 100_000  # texts, of subwords; only their encoding is compared
SUBWORDS = ("wordpiece", "bpe", "unigram")
READ = 10_000  # rows at a time


def main() -> None:
    if sys.argv[1:2] == ["measure"]:
        print(json.dumps(MEASURED[sys.argv[2]](Path(sys.argv[3]))))
        return
    options = dict(argument.partition("=")[::2] for argument in sys.argv[1:])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "texts.parquet")
        generate(file, int(options.get("texts", "1000000")))
        compare(file, int(options.get("repetitions", "3")), options.get("only", ",".join(MEASURED)).split(","))


def generate(file: Path, texts: int) -> None:
    random = np.random.default_rng(1)
    letters, common = np.array(list(LETTERS)), 1 / np.arange(1, len(LETTERS) + 1) ** 0.7
    words: dict[str, None] = {}
    while len(words) < VOCABULARY:
        drawn = random.choice(letters, (10_000, 12), p=common / common.sum())
        words.update(
            ("".join(row[:size]), None) for row, size in zip(drawn, random.integers(2, 12, 10_000), strict=True)
        )
    frequency = 1 / np.arange(1, VOCABULARY + 1)
    schema = pa.schema({"text": pa.string(), "label": pa.string()})
    named = np.array(list(words)[:VOCABULARY], dtype=object)
    with pq.ParquetWriter(file, schema, compression="none") as writer:
        for first in range(0, texts, READ):
            sizes = random.integers(5, 26, min(READ, texts - first))
            drawn = iter(named[random.choice(VOCABULARY, sizes.sum(), p=frequency / frequency.sum())])
            made = [" ".join(next(drawn) for _ in range(size)).capitalize() + "." for size in sizes]
            writer.write_table(
                pa.table({"text": made, "label": [("odd", "even")[i % 2] for i in range(len(made))]}, schema)
            )


def compare(file: Path, repetitions: int, names: Sequence[str]) -> None:
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(repetitions):
        for name in names:
            variables = {"TF_CPP_MIN_LOG_LEVEL": "3"}
            ended = commands.run(
                Path.cwd(), "tests.benchmarks.encoding", "measure", name, str(file), variables=variables
            )
            measured[name].append(json.loads(ended.printed.splitlines()[-1]))
            print(name, measured[name][-1], flush=True)
    medians = {
        name: {key: statistics.median(run[key] for run in runs) for key in runs[0]} for name, runs in measured.items()
    }
    for name, values in medians.items():
        print(name.ljust(14), *(f"{key} {value:.2f}".ljust(24) for key, value in values.items()))
    for name in {"keras_1024", "keras_16384"} & medians.keys() if "words" in medians else ():
        print(f"words: {medians[name]['seconds'] / medians['words']['seconds']:.1f} times the rate of {name}")
    for name in medians.keys() & SUBWORDS:
        print(f"{name}: {medians[name]['alone'] / medians[name]['encode']:.2f} of the rate of tokenizers alone")


def batches(file: Path) -> Iterator[list[str]]:
    for batch in pq.ParquetFile(file).iter_batches(READ):
        yield batch.column("text").to_pylist()


def words(file: Path) -> dict[str, float]:
    from pipelines.data.vocabulary import learn
    from sweeps.text_encoder import TextEncoder

    memory = _memory(file)
    texts = list(batches(file))
    vocabulary = learn(texts, tokens="words", num_words=NUM_WORDS).content
    encoder = TextEncoder(_settings("words"), vocabulary)
    learned, _ = _timed(lambda: learn(texts, tokens="words", num_words=NUM_WORDS).content)
    encoded, _ = _timed(lambda: [encoder.encode(batch) for batch in texts])
    return {"seconds": learned + encoded, "learn": learned, "encode": encoded, "memory": memory}


def keras(file: Path, batch: int) -> dict[str, float]:
    import keras
    import tensorflow as tf

    texts = pq.read_table(file)["text"].to_pylist()
    layer = keras.layers.TextVectorization(max_tokens=NUM_WORDS, output_sequence_length=MAXLEN)
    dataset = tf.data.Dataset.from_tensor_slices(texts).batch(batch)
    learned, _ = _timed(lambda: layer.adapt(dataset))
    encoded, _ = _timed(lambda: [layer(texts) for texts in dataset])
    return {"seconds": learned + encoded, "learn": learned, "encode": encoded}


def subwords(file: Path, tokens: str) -> dict[str, float]:
    from tokenizers import Tokenizer

    from pipelines.data.vocabulary import learn
    from sweeps.text_encoder import TextEncoder

    texts = pq.read_table(file)["text"].to_pylist()
    learned, vocabulary = _timed(lambda: learn([texts[:LEARNED_FROM]], tokens=tokens, num_words=NUM_WORDS).content)
    encoder, alone = TextEncoder(_settings(tokens), vocabulary), Tokenizer.from_buffer(vocabulary)
    encoded, _ = _timed(lambda: [encoder.encode(texts[i : i + READ]) for i in range(0, len(texts), READ)])
    rival, _ = _timed(lambda: [len(alone.encode_batch(texts[i : i + READ])) for i in range(0, len(texts), READ)])
    return {"encode": encoded, "alone": rival, "learn": learned}


def _settings(tokens: str) -> dict[str, Any]:
    return {"tokens": tokens, "num_words": NUM_WORDS, "maxlen": MAXLEN, "keep": "last", "unlisted": "unknown"}


def _memory(file: Path) -> float:
    """Return the most memory that reading the table, learning and encoding take, in sizes of its file."""
    from conf.schema import Data
    from pipelines.data import dataset

    before = _peak()
    with tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache
        dataset.load(name="texts", settings=Data(files=[str(file)], num_words=NUM_WORDS, maxlen=MAXLEN))
    return (_peak() - before) / file.stat().st_size


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    result = call()
    return time.perf_counter() - began, result


def _peak() -> int:
    """Return the bytes of memory that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


MEASURED: dict[str, Callable[[Path], dict[str, float]]] = {
    "words": words,
    "keras_1024": lambda file: keras(file, 1024),
    "keras_16384": lambda file: keras(file, 16384),
    **{tokens: lambda file, tokens=tokens: subwords(file, tokens) for tokens in SUBWORDS},  # type: ignore[misc]
}


if __name__ == "__main__":
    main()
