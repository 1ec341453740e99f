"""A builder may return any model that can be trained on the data, and nothing else."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from sweeps.errors import TrialFailedError
from sweeps.trials import building, training
from tests.conftest import ROOT
from tests.specs import spec
from tests.tiny import CLASSES, MAXLEN, WORDS
from tests.unit.trials.eager import untraced

SHAPES = {"num_words": WORDS, "maxlen": MAXLEN, "num_classes": CLASSES}


def sequential(*, num_words: int, maxlen: int, num_classes: int) -> keras.Model:
    answer = layers.Dense(num_classes, activation="softmax")
    return keras.Sequential([layers.Embedding(num_words, 4), layers.Dropout(0.3), layers.LSTM(3), answer])


class Subclassed(keras.Model):
    """A model that has no weights before its first call."""

    def __init__(self, num_words: int, num_classes: int) -> None:
        super().__init__()
        self.embedding = layers.Embedding(num_words, 4)
        self.mean = layers.GlobalAveragePooling1D()
        self.answer = layers.Dense(num_classes, activation="softmax")

    def call(self, x: Any) -> Any:
        return self.answer(self.mean(self.embedding(x)))


def subclassed(*, num_words: int, maxlen: int, num_classes: int) -> keras.Model:
    return Subclassed(num_words, num_classes)


def ready(**sizes: int) -> keras.Model:
    model = sequential(**sizes)
    model.compile("sgd", loss="mse", metrics=["mae"])
    return model


def nothing(*, num_words: int, maxlen: int, num_classes: int) -> None:
    """Forget to return the model."""


def other_classes(*, num_words: int, maxlen: int, num_classes: int) -> keras.Model:
    return sequential(num_words=num_words, maxlen=maxlen, num_classes=num_classes + 2)


def sequences(*, num_words: int, maxlen: int, num_classes: int) -> keras.Model:
    return keras.Sequential([layers.Embedding(num_words, num_classes)])


def two(*, num_words: int, maxlen: int, num_classes: int) -> keras.Model:
    words = keras.Input((maxlen,))
    x = layers.GlobalAveragePooling1D()(layers.Embedding(num_words, num_classes)(words))
    return keras.Model(words, {"a": x, "b": x})


def frozen(**sizes: int) -> keras.Model:
    model = sequential(**sizes)
    model.trainable = False
    return model


def without_weights(*, num_words: int, maxlen: int, num_classes: int) -> keras.Model:
    words = keras.Input((maxlen,))
    return keras.Model(words, words[:, :num_classes])


def of_another_length(*, num_words: int, maxlen: int, num_classes: int) -> keras.Model:
    words = keras.Input((maxlen + 1,))
    return keras.Model(words, layers.Dense(num_classes)(layers.Flatten()(layers.Embedding(num_words, 2)(words))))


def logits(*, num_words: int, maxlen: int, num_classes: int) -> keras.Model:
    answer = layers.Dense(num_classes)
    return keras.Sequential([layers.Embedding(num_words, 4), layers.GlobalAveragePooling1D(), answer])


def sigmoids(*, num_words: int, maxlen: int, num_classes: int) -> keras.Model:
    return keras.Sequential([logits(num_words=num_words, maxlen=maxlen, num_classes=num_classes), layers.ReLU()])


def infinite(*, num_words: int, maxlen: int, num_classes: int) -> keras.Model:
    return keras.Sequential([sequential(num_words=num_words, maxlen=maxlen, num_classes=num_classes), Infinite()])


class Infinite(layers.Layer):
    """A layer whose answers are no numbers."""

    def call(self, x: Any) -> Any:
        return x / 0.0


def misspelt(*, num_words: int, maxlen: int, num_classes: int) -> keras.Model:
    shortened = layers.Lambda(lambda words: words.shortened)
    return keras.Sequential(
        [keras.Input((maxlen,)), layers.Embedding(num_words, 4), shortened, layers.LSTM(num_classes)]
    )


def optimizer_by_name() -> str:
    return "adam"


@pytest.mark.parametrize("build", [sequential, subclassed, ready])
def test_a_model_that_is_not_built_or_was_compiled_is_trained_and_rebuilt(build: Callable[..., Any]) -> None:
    trial = spec(build=f"{__name__}.{build.__name__}", epochs=1)
    with untraced():
        result = training.run(trial, lambda report: None)
    assert result.cost.parameters > 0
    assert 0 <= result.objective <= 1
    building.rebuild(trial, result.checkpoint.best_weights)
    building.check(trial, lambda report: None)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (nothing, "must return a keras.Model, not NoneType"),
        (other_classes, "a probability for each class; the model returns (batch, 5)"),
        (sequences, "a probability for each class; the model returns (batch, 12, 3)"),
        (two, "must return one output, (batch, 3): a probability for each class; the model has 2 outputs"),
        (frozen, "the model has no weights that could be trained"),
        (without_weights, "the model has no weights that could be trained"),
    ],
)
def test_a_model_that_cannot_be_trained_is_refused_in_one_line(build: Callable[..., Any], message: str) -> None:
    with pytest.raises(TrialFailedError) as error:
        building.check(spec(build=f"{__name__}.{build.__name__}"), lambda report: None)
    assert str(error.value).startswith(f"model.build={__name__}.{build.__name__}: ")
    assert str(error.value).endswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("build", [logits, sigmoids, infinite])
def test_answers_that_are_no_probabilities_are_refused_before_training_and_after(build: Callable[..., Any]) -> None:
    trial = spec(build=f"{__name__}.{build.__name__}", epochs=1)
    with pytest.raises(
        TrialFailedError, match=r"build=\S+: must return .* a probability for each class; .* sum to \S+"
    ):
        building.check(trial, lambda report: None)
    if build is not infinite:  # which diverges
        with untraced(), pytest.raises(TrialFailedError, match=r"build=\S+: must return .*; .* sum to \S+"):
            training.run(trial, lambda report: None)


def test_an_input_of_another_length_than_the_texts_is_refused() -> None:
    with pytest.raises(ValueError, match="12"):
        building.check(spec(build=f"{__name__}.of_another_length"), lambda report: None)


def test_the_cause_is_named_that_keras_hides_in_a_sequential_model() -> None:
    with pytest.raises(AttributeError, match="shortened"):
        building.check(spec(build=f"{__name__}.misspelt"), lambda report: None)


def test_an_optimizer_that_is_none_is_refused() -> None:
    with pytest.raises(TrialFailedError, match=r"optimizer_by_name: must return a keras.Optimizer, not str"):
        building.check(spec(optimizer=f"{__name__}.optimizer_by_name"), lambda report: None)


def losses_and_types() -> str:
    """The losses of a short trial, the types of its weights, and what a builder's own layers may use besides."""
    result = training.run(spec(epochs=2), lambda report: None)
    types = {array.dtype.name for array in result.checkpoint.best_weights}
    return f"{result.curves['train/loss']} {types} {keras.config.epsilon()} {keras.config.image_data_format()}"


CODE = f"""
from sweeps import runtime
runtime.prepare()
from {__name__} import losses_and_types
print(losses_and_types())
"""


def test_the_users_own_settings_of_keras_change_nothing(tmp_path: Path) -> None:
    (tmp_path / "keras.json").write_text(
        '{"floatx": "float64", "epsilon": 0.1, "backend": "jax", "image_data_format": "channels_first"}'
    )
    settings = {
        "KERAS_BACKEND": "torch",
        "KERAS_MAX_EPOCHS": "1",
        "KERAS_MAX_STEPS_PER_EPOCH": "1",
        "TF_USE_LEGACY_KERAS": "1",
    }
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "KERAS_HOME": str(tmp_path), **settings}
    ended = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=True)
    as_usual = losses_and_types()  # in this process, whose KERAS_HOME was empty when it imported Keras
    assert "float32" in as_usual
    assert ended.stdout == f"{as_usual}\n"


def test_the_sizes_of_a_model_are_those_of_its_data() -> None:
    searched = spec(values={**spec().values, "maxlen": 7, "num_words": 9})
    _, model = building.compiled(searched)
    assert model.input_shape == (None, MAXLEN)


def test_a_trial_on_shuffled_words_has_the_same_documents_in_other_orders_and_repeats_to_the_last_bit() -> None:
    plain, _ = building.compiled(spec())
    mixed, _ = building.compiled(spec(shuffled=True))
    for part in ("train", "validation", "test"):
        ours, theirs = getattr(mixed, part), getattr(plain, part)
        assert (np.sort(ours.x[:]) == np.sort(theirs.x)).all()
        assert (ours.x[:] != theirs.x).any()
        assert (ours.y == theirs.y).all()
    first, second = (
        training.run(spec(shuffled=True, final=True, epochs=2, objective="train/accuracy"), lambda _: None)
        for _ in range(2)
    )
    assert first.curves == second.curves
    assert first.curves != training.run(spec(final=True, epochs=2, objective="train/accuracy"), lambda _: None).curves
