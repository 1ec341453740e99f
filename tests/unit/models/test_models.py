"""Every model of the configuration, a new one included."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.layers import Dropout
from keras.src import backend
from numpy.typing import NDArray

from conf.schema import Job, Values
from models import fused_lstm
from sweeps.search import space
from sweeps.search.space import Space
from tests.conftest import ROOT, composed_job

MODELS = sorted(path.stem for path in (ROOT / "conf" / "model").glob("*.yaml"))


def space_of(job: Job) -> Space:
    return space.read(job.config.parts(next(iter(job.config.datasets))))


def built(job: Job, values: Values, **sizes: int) -> keras.Model:
    module, _, name = job.config.model.build.rpartition(".")
    sizes = sizes or {"num_words": 50, "maxlen": 30, "num_classes": 2}
    build: Callable[..., keras.Model] = getattr(import_module(module), name)
    return build(**sizes, **{name: values[name] for name in job.config.model.space})


def words(n: int) -> NDArray[np.int32]:
    """Random word ids (n, 30), none of them padding."""
    return np.random.default_rng(0).integers(1, 50, (n, 30), dtype=np.int32)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("size", "classes"), [("smallest", 46), ("defaults", 2), ("largest", 2), ("largest", 46)])
def test_word_ids_become_probabilities(model: str, size: str, classes: int) -> None:
    job = composed_job(f"model={model}")
    values = getattr(space_of(job), size)()
    probabilities = built(job, values, num_words=50, maxlen=30, num_classes=classes)(words(4)).numpy()
    assert probabilities.shape == (4, classes)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("model", MODELS)
def test_the_order_of_the_words_matters(model: str) -> None:
    job = composed_job(f"model={model}")
    keras.utils.set_random_seed(1)
    network = built(job, space_of(job).defaults())
    assert abs(network(words(1)).numpy() - network(words(1)[:, ::-1]).numpy()).max() > 1e-5


@pytest.mark.parametrize("eagerly", [True, pytest.param(False, marks=pytest.mark.long)])
@pytest.mark.parametrize("model", MODELS)
def test_a_gpu_trains_it_with_cudnns_recurrent_networks_without_a_mask(
    model: str, eagerly: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No GPU is needed: TensorFlow is made to list one, and a stand-in takes what Keras passes to cuDNN."""
    masks: list[Any] = []

    def cudnn(inputs: Any, *arguments: Any) -> tuple[Any, Any, list[Any]]:
        *states, kernel, recurrent_kernel, bias, mask, time_major, go_backwards, return_sequences = arguments
        assert (time_major, go_backwards) == (False, False)
        masks.append(mask)
        h = states[0]
        gates = inputs @ kernel + (h @ recurrent_kernel)[:, None] + tf.reshape(bias, (-1, kernel.shape[-1]))[0]
        outputs = tf.tanh(tf.cumsum(gates[:, :, : h.shape[-1]], axis=1))
        last = outputs[:, -1]
        return last, outputs if return_sequences else last[:, None], [last, *states[1:]]

    devices = {"GPU": ["GPU:0"], "CPU": ["CPU:0"]}
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind=None: devices.get(kind, []))
    for name in ("_cudnn_lstm", "_cudnn_gru"):
        monkeypatch.setattr(import_module("keras.src.backend.tensorflow.rnn"), name, cudnn)
    monkeypatch.setattr(backend, "lstm", fused_lstm.lstm)
    job = composed_job(f"model={model}")
    network = built(job, space_of(job).defaults())
    network.compile("adam", "sparse_categorical_crossentropy", run_eagerly=eagerly)
    ids = words(8)
    ids[:, :20] = 0  # texts are padded on the left, where cuDNN allows no mask
    masks.clear()
    network.fit(ids, np.zeros(8, dtype=np.int64), verbose=0)
    network.predict(ids, verbose=0)
    recurrent = [layer for layer in network.layers if isinstance(layer, keras.layers.LSTM | keras.layers.GRU)]
    assert len(masks) >= 2 * len(recurrent)  # one for training, one to predict
    assert all(mask is None for mask in masks)
    assert not any(layer.supports_jit for layer in recurrent)


@pytest.mark.parametrize("model", MODELS)
def test_dropout_is_searched(model: str) -> None:
    job = composed_job(f"model={model}")
    assert "dropout" in {hp.name for hp in space_of(job).searched}
    largest = space_of(job).largest()
    assert largest["dropout"] in [layer.rate for layer in built(job, largest).layers if type(layer) is Dropout]


@pytest.mark.parametrize(
    ("model", "data", "parameters"),
    [
        # For 1,000 words and 46 topics: words and pairs, two scales and shifts of their means and maxima, dense.
        ("bag", "reuters", (1000 + 5001) * 100 + 4 * 2 * 100 + (400 + 1) * 46),
        ("cnn", "reuters", 1000 * 100 + (1 + 2 + 3) * 100 * 100 + 3 * 100 + 2 * 300 + (300 + 1) * 46),
        ("gru", "reuters", 1000 * 100 + 3 * 100 * (100 + 100 + 2) + 2 * 100 + 101 * 46),
        ("bi_lstm", "reuters", 1000 * 100 + 2 * 4 * 60 * (100 + 60 + 1) + 2 * 120 + (120 + 1) * 46),
        # Words and positions, four projections, two dense layers, three normalisations, dense.
        (
            "attention",
            "reuters",
            (1000 + 101) * 64 + 4 * 64 * 65 + 128 * 65 + 64 * 129 + 3 * 2 * 64 + 65 * 46,
        ),
        # The article's network for 1,000 words and 46 topics: embedding + LSTM + dense.
        ("lstm", "reuters", 1000 * 100 + 4 * 100 * (100 + 100 + 1) + 101 * 46),
        # Its network for 5,000 words and two classes: embedding + convolution + LSTM + dense.
        ("conv_lstm", "imdb", 5000 * 100 + (5 * 100 + 1) * 64 + 4 * 100 * (64 + 100 + 1) + 101 * 2),
    ],
)
def test_the_defaults_have_the_parameters_of_the_layers(model: str, data: str, parameters: int) -> None:
    job = composed_job(f"model={model}", f"data={data}")
    (corpus,) = job.config.datasets.values()
    sizes = {"num_words": corpus.num_words, "maxlen": corpus.maxlen, "num_classes": corpus.num_classes}
    assert built(job, space_of(job).defaults(), **sizes).count_params() == parameters


@pytest.mark.parametrize("model", ["lstm", "conv_lstm"])
def test_the_defaults_are_the_articles_layers_with_the_weights_that_a_seed_gave_them(model: str) -> None:
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Embedding(50, 100), Dropout(0.3)]  # each draws its seed when it is made
    if model == "conv_lstm":
        layers += [keras.layers.Conv1D(64, 5, activation="relu"), keras.layers.MaxPooling1D(4)]
    layers += [keras.layers.LSTM(100), keras.layers.Dense(2, activation="softmax")]
    reference = keras.Sequential([keras.Input((30,), dtype="int32"), *layers])
    keras.utils.set_random_seed(1)
    job = composed_job(f"model={model}", "model.space.dropout=0.3")
    network = built(job, space_of(job).defaults())
    assert [type(layer) for layer in network.layers[1:]] == [type(layer) for layer in layers]
    for one, other in zip(network.variables, reference.variables, strict=True):
        np.testing.assert_array_equal(one, other)
