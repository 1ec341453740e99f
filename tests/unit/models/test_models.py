"""Every model of the configuration, a new one included."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src import backend

from conf.compose import Job
from models import fused_lstm
from sweeps.search import space

MODELS = sorted(path.stem for path in (Path(__file__).parent.parent / "conf" / "model").glob("*.yaml"))


def built(job: Job, values: dict[str, Any], **data: int) -> keras.Model:
    module, _, name = job.config.model.build.rpartition(".")
    model, _ = space.read(job.config.model, job.config.optimizer).split(values)
    return getattr(import_module(module), name)(**model, **data)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("classes", [2, 46])
@pytest.mark.parametrize("size", ["smallest", "defaults", "largest"])
def test_word_ids_become_probabilities(model: str, classes: int, size: str, composed: Callable[..., Job]) -> None:
    job = composed(f"model={model}")
    values = getattr(space.read(job.config.model, job.config.optimizer), size)()
    network = built(job, values, num_words=50, maxlen=30, num_classes=classes)
    ids = np.random.default_rng(0).integers(0, 50, (4, 30), dtype=np.int32)
    probabilities = network(ids).numpy()
    assert probabilities.shape == (4, classes)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("model", MODELS)
def test_the_order_of_the_words_matters(model: str, composed: Callable[..., Job]) -> None:
    job = composed(f"model={model}")
    keras.utils.set_random_seed(1)
    values = space.read(job.config.model, job.config.optimizer).defaults()
    network = built(job, values, num_words=50, maxlen=30, num_classes=2)
    ids = np.random.default_rng(0).integers(1, 50, (1, 30), dtype=np.int32)
    assert abs(network(ids).numpy() - network(ids[:, ::-1]).numpy()).max() > 1e-5


@pytest.mark.parametrize("model", MODELS)
def test_a_gpu_trains_it_with_cudnns_lstm_without_a_mask(
    model: str, composed: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No GPU is here: TensorFlow is made to list one, and what Keras hands to cuDNN is taken by a stand-in."""
    masks: list[Any] = []

    def cudnn(*given: Any) -> tuple[Any, Any, list[Any]]:
        inputs, h, c, kernel, recurrent_kernel, bias, mask, *how = given
        assert how == [False, False, False]  # time_major, go_backwards, return_sequences
        masks.append(mask)
        gates = tf.reduce_sum(inputs, axis=1) @ kernel + h @ recurrent_kernel + bias
        state = tf.tanh(gates[:, : h.shape[-1]])
        return state, state[:, None], [state, c]

    devices = {"GPU": ["GPU:0"], "CPU": ["CPU:0"]}
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind=None: devices.get(kind, []))
    monkeypatch.setattr(import_module("keras.src.backend.tensorflow.rnn"), "_cudnn_lstm", cudnn)
    monkeypatch.setattr(backend, "lstm", fused_lstm.lstm)
    job = composed(f"model={model}")
    values = space.read(job.config.model, job.config.optimizer).defaults()
    network = built(job, values, num_words=50, maxlen=30, num_classes=2)
    network.compile("adam", "sparse_categorical_crossentropy")
    ids = np.random.default_rng(0).integers(1, 50, (8, 30), dtype=np.int32)
    ids[:, :20] = 0  # as texts are filled up: on the left, where cuDNN allows no mask
    masks.clear()
    network.fit(ids, np.zeros(8, dtype=np.int64), verbose=0)
    network.predict(ids, verbose=0)
    assert len(masks) >= 2  # a trace to train, one to predict
    assert all(mask is None for mask in masks)
    assert not any(layer.supports_jit for layer in network.layers if isinstance(layer, keras.layers.LSTM))


@pytest.mark.parametrize("model", MODELS)
def test_dropout_is_searched(model: str, composed: Callable[..., Job]) -> None:
    job = composed(f"model={model}")
    assert "dropout" in {hp.name for hp in space.read(job.config.model, job.config.optimizer).searched}
    network = built(
        job,
        space.read(job.config.model, job.config.optimizer).largest(),
        num_words=50,
        maxlen=30,
        num_classes=2,
    )
    assert [layer.rate for layer in network.layers if isinstance(layer, keras.layers.Dropout)] == [0.7]


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        # The article's: 1,000 words, 46 topics; embedding + LSTM + dense.
        ("lstm", 1000 * 100 + 4 * 100 * (100 + 100 + 1) + 101 * 46),
        # 5,000 words, two classes; embedding + convolution + LSTM + dense.
        ("conv_lstm", 5000 * 100 + (5 * 100 + 1) * 64 + 4 * 100 * (64 + 100 + 1) + 101 * 2),
    ],
)
def test_the_defaults_are_the_articles_network(model: str, parameters: int, composed: Callable[..., Job]) -> None:
    job = composed(f"model={model}", f"data={'reuters' if model == 'lstm' else 'imdb'}")
    (data,) = job.config.datasets.values()
    values = space.read(job.config.model, job.config.optimizer).defaults()
    sizes = {"num_words": data.num_words, "maxlen": data.maxlen, "num_classes": data.num_classes}
    assert built(job, values, **sizes).count_params() == parameters
