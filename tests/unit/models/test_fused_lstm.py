from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.layers import LSTM, Dense
from keras.src import backend

from models import fused_lstm

BATCH, TIME, FEATURES, UNITS = 3, 7, 4, 5
UNUSUAL = {"go_backwards", "activation", "use_bias", "unroll"}  # options that only Keras's own LSTM has
# Tracing a step takes a second of processor, and running it once some milliseconds.
MODES = pytest.mark.parametrize(
    "wrap",
    [pytest.param(lambda step: step, id="eager"), pytest.param(tf.function, id="traced", marks=pytest.mark.long)],
)


@pytest.fixture(autouse=True)
def installed() -> Iterator[None]:
    before = backend.lstm
    fused_lstm.install()
    yield
    backend.lstm = before


def outcome(fast: bool, monkeypatch: pytest.MonkeyPatch, wrap: Callable[..., Any], **options: Any) -> list[Any]:
    """The outputs, the states and the gradients of a loss that depends on all of them, always with the same weights."""
    used: list[str] = []
    block_lstm = tf.raw_ops.BlockLSTM
    with monkeypatch.context() as patched:
        patched.setattr(tf.raw_ops, "BlockLSTM", lambda **inputs: used.append("BlockLSTM") or block_lstm(**inputs))
        if not fast:
            patched.setattr(backend, "lstm", fused_lstm.keras_lstm)
        keras.utils.set_random_seed(1)
        generator = np.random.default_rng(2)
        layer = LSTM(UNITS, return_state=True, **options)
        x = tf.constant(generator.normal(size=(BATCH, TIME, FEATURES)), tf.float32)
        state = [tf.constant(generator.normal(size=(BATCH, UNITS)), tf.float32) for _ in range(2)]
        layer.build(x.shape)
        weights = layer.trainable_variables
        for variable in weights:  # Keras's orthogonal kernel would hide a transposition, its bias of zeros an order
            variable.assign(generator.normal(size=variable.shape) / 3)

        def step() -> tuple[Any, Any]:
            with tf.GradientTape() as tape:
                tape.watch([x, *state])
                outputs = layer(x, initial_state=state)
                loss = tf.add_n([tf.reduce_sum(tf.sin(output * (1 + n))) for n, output in enumerate(outputs)])
            return outputs, tape.gradient(loss, [x, *state, *[w.value for w in weights]])

        outputs, gradients = wrap(step)()
    assert len(weights) == (3 if options.get("use_bias", True) else 2)
    assert bool(used) == (fast and not options.keys() & UNUSUAL)
    return [*outputs, *gradients]


def test_with_more_threads_kerass_own_lstm_is_faster_and_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    for threads in ("2", "0", None):
        monkeypatch.setattr(backend, "lstm", fused_lstm.keras_lstm)
        if threads is None:
            monkeypatch.delenv("TF_NUM_INTRAOP_THREADS")
        else:
            monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", threads)
        fused_lstm.install()
        assert backend.lstm is fused_lstm.keras_lstm
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1")
    fused_lstm.install()
    assert backend.lstm is fused_lstm.lstm


@MODES
@pytest.mark.parametrize("options", [{}, {"return_sequences": True}], ids=str)
def test_outputs_states_and_gradients_are_kerass_to_rounding(
    options: dict[str, Any], wrap: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    fused, reference = (outcome(fast, monkeypatch, wrap, **options) for fast in (True, False))
    assert len(fused) == 3 + 6
    for a, b in zip(fused, reference, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@MODES
@pytest.mark.parametrize(
    "options", [{"go_backwards": True}, {"activation": "relu"}, {"use_bias": False}, {"unroll": True}], ids=str
)
def test_keras_does_what_the_operation_cannot(
    options: dict[str, Any], wrap: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for a, b in zip(*(outcome(fast, monkeypatch, wrap, **options) for fast in (True, False)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_keras_handles_masked_padding() -> None:
    words = keras.Input((TIME,), dtype="int32")
    embedded = keras.layers.Embedding(9, FEATURES, mask_zero=True)(words)
    model = keras.Model(words, Dense(2)(LSTM(UNITS)(embedded)))
    padded, short = np.array([[1, 2, 3, 0, 0, 0, 0]]), np.array([[1, 2, 3, 0, 0, 0, 0]])[:, :3]
    np.testing.assert_allclose(model(padded), model(np.pad(short, ((0, 0), (0, 4)))), rtol=1e-6)
    assert not np.allclose(model(padded), model(np.array([[1, 2, 3, 4, 0, 0, 0]])))


def test_a_model_that_was_trained_with_it_is_an_ordinary_model_of_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).normal(size=(BATCH, TIME, FEATURES)).astype("float32")
    model = keras.Sequential([keras.Input((TIME, FEATURES)), LSTM(UNITS), Dense(2)])
    layers = [layer["class_name"] for layer in model.get_config()["layers"]]
    assert layers == ["InputLayer", "LSTM", "Dense"]
    predicted = model(x)
    monkeypatch.setattr(backend, "lstm", fused_lstm.keras_lstm)
    loaded = keras.Sequential.from_config(model.get_config())
    loaded.set_weights(model.get_weights())
    np.testing.assert_allclose(loaded(x), predicted, rtol=1e-5, atol=1e-6)
