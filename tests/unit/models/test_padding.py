"""No network but the article's two reads the padding before a short document."""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.layers import LSTM, Dense, Embedding
from numpy.typing import NDArray

from models import conv_lstm, lstm, padding
from sweeps.search import space
from tests.conftest import composed_job
from tests.unit.models.test_models import MODELS

WORDS, CLASSES = 50, 3


def documents(maxlen: int, *lengths: int) -> NDArray[np.int32]:
    """Documents of these lengths, the same for every `maxlen`."""
    x = np.zeros((len(lengths), maxlen), np.int32)
    for row, length in zip(x, lengths, strict=True):
        row[maxlen - length :] = np.random.default_rng(length).integers(1, WORDS, length)
    return x


# Every model that leaves the padding out, and every way of pooling.
CASES: list[tuple[str, dict[str, Any]]] = [
    *((model, {}) for model in MODELS if model not in ("lstm", "conv_lstm")),
    *(("lstm", {"padding": "masked", "pooling": way}) for way in ("last", "maximum", "mean")),
    *(("conv_lstm", {"padding": "masked", "pooling": way}) for way in ("last", "maximum", "mean")),
]


def network(model: str, maxlen: int, changes: dict[str, Any]) -> keras.Model:
    job = composed_job(f"model={model}")
    values = space.read(job.config.parts(next(iter(job.config.datasets)))).defaults()
    keywords = {name: values[name] for name in job.config.model.space} | changes
    keras.utils.set_random_seed(1)
    built: keras.Model = import_module(f"models.{model}").build(
        num_words=WORDS, maxlen=maxlen, num_classes=CLASSES, **keywords
    )
    return built


@pytest.mark.parametrize(("model", "changes"), CASES, ids=str)
def test_more_padding_changes_no_answer_and_an_empty_document_has_one(model: str, changes: dict[str, Any]) -> None:
    narrow, wide = network(model, 12, changes), network(model, 18, changes)
    for one, other in zip(narrow.weights, wide.weights, strict=True):
        assert one.shape[1:] == other.shape[1:]  # only the positions of attention are more
        other.assign(np.concatenate([one, other[one.shape[0] :]]))
    lengths = (1, 2, 5)
    expected = narrow(documents(12, *lengths)).numpy()
    np.testing.assert_allclose(wide(documents(18, *lengths)), expected, rtol=1e-5, atol=1e-6)
    assert abs(expected - expected[0])[1:].max() > 1e-4
    assert np.isfinite(narrow(documents(12, 0))).all()


@pytest.mark.parametrize(("model", "changes"), CASES, ids=str)
def test_the_vector_of_the_padding_is_not_trained(model: str, changes: dict[str, Any]) -> None:
    built = network(model, 12, changes)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(built(documents(12, 3, 12))[:, 0])
    table = next(layer for layer in built.layers if isinstance(layer, Embedding)).embeddings
    gradient = tf.convert_to_tensor(tape.gradient(loss, table.value)).numpy()
    assert not gradient[0].any()
    assert gradient[1:].any()


def keras_lstm(units: int) -> keras.Model:
    words = keras.Input((20,), dtype="int32")
    x = LSTM(units)(Embedding(WORDS, 8, mask_zero=True)(words))
    return keras.Model(words, Dense(CLASSES, activation="softmax")(x))


def test_a_masked_lstm_is_kerass_to_rounding() -> None:
    sizes: dict[str, Any] = {"num_words": WORDS, "maxlen": 20, "num_classes": CLASSES}
    ours = lstm.build(**sizes, embedding_dim=8, lstm_units=5, dropout=0.0, padding="masked")
    reference = keras_lstm(5)
    x, outcomes = documents(20, 1, 5, 12, 20), []
    for model in (ours, reference):
        for number, variable in enumerate(model.trainable_variables):
            variable.assign(np.random.default_rng(number).normal(size=variable.shape) / 2)
        with tf.GradientTape() as tape:
            answers = model(x)
            loss = tf.reduce_sum(tf.math.log(answers[:, 1]))
        gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
        outcomes.append([answers, *map(tf.convert_to_tensor, gradients)])
    for one, other in zip(*outcomes, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_a_backward_reader_reads_from_the_last_word_to_the_first() -> None:
    built = network("bi_lstm", 10, {"pooling": "last"})
    x = documents(10, 4, 9)
    turned = np.stack([np.concatenate([row[row == 0], row[row > 0][::-1]]) for row in x])
    forwards, backwards = (layer for layer in built.layers if isinstance(layer, LSTM))
    first, second = built(x), built(turned)
    for one, other in zip(forwards.weights, backwards.weights, strict=True):
        before = one.numpy()
        one.assign(other)
        other.assign(before)
    kernel = built.layers[-1].kernel
    kernel.assign(np.roll(kernel, kernel.shape[0] // 2, axis=0))
    np.testing.assert_allclose(built(turned), first, rtol=1e-5)
    assert not np.allclose(second, first)


def test_pooling_reads_the_states_where_the_mask_is_true() -> None:
    states = np.random.default_rng(1).normal(size=(3, 6, 4)).astype("float32") - 5
    mask = np.array([[0, 0, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [0, 0, 0, 0, 0, 1]], bool)
    shown = [row[where] for row, where in zip(states, mask, strict=True)]
    for way, expected in (
        ("last", [row[-1] for row in shown]),
        ("maximum", [row.max(axis=0) for row in shown]),
        ("mean", [row.mean(axis=0) for row in shown]),
    ):
        np.testing.assert_allclose(padding.pooled(states, mask, way), expected, rtol=1e-5)


def test_a_document_that_fills_no_window_of_conv_lstm_has_an_answer() -> None:
    """A convolution over 3 makes eight of ten places, and a pooling over 5 reads the first five of them."""
    sizes: dict[str, Any] = {"num_words": WORDS, "maxlen": 10, "num_classes": CLASSES}
    layers: dict[str, Any] = {"embedding_dim": 4, "conv_filters": 4, "kernel_size": 3, "pool_size": 5, "lstm_units": 4}
    for way in ("maximum", "mean"):
        built = conv_lstm.build(**sizes, **layers, dropout=0.0, pooling=way)
        answer = built(documents(10, 1, 2)).numpy()
        assert np.isfinite(answer).all()
        assert answer.max() < 1


@pytest.mark.parametrize(("model", "changes"), [("lstm", {}), ("conv_lstm", {}), *CASES], ids=str)
def test_a_saved_network_is_made_of_kerass_own_parts(model: str, changes: dict[str, Any], tmp_path: Path) -> None:
    built = network(model, 12, changes)
    built.save(tmp_path / "network.keras")
    assert set(re.findall(r'"module": "(\w+)', built.to_json())) <= {"keras", "builtins"}
    loaded = keras.saving.load_model(tmp_path / "network.keras", safe_mode=True)
    x = documents(12, 0, 3, 12)
    np.testing.assert_array_equal(loaded(x), built(x))
