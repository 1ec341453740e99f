"""From a spec to its data and its model, with every seed set and TensorFlow configured."""

from __future__ import annotations

import inspect
import os
import random
import warnings
from collections.abc import Callable
from functools import cache, partial
from typing import Any, cast

import keras
import numpy as np
import tensorflow as tf
from keras.src.random import seed_generator
from numpy.typing import NDArray

from conf.schema import Values
from models import fused_lstm
from sweeps.errors import TrialFailedError
from sweeps.trials import cuda_libraries, evaluation, gpus
from sweeps.trials.evaluation import PLAIN_LOSS, Confusion
from sweeps.trials.loading import load, named
from sweeps.trials.native_logs import without_native_logs
from sweeps.trials.rows import Rows, shuffled
from sweeps.trials.spec import Dataset, OnEpoch, Split, TrialSpec

# Training steps on a GPU between two returns to Python. A return takes some 0.8 ms (a network that computes almost
# nothing: 1.0 ms a step with 1, 0.2 with 32), which is little beside a processor's step of 50 ms but may be as long as
# a GPU's step. An epoch of IMDB then has 7 returns instead of 200, one of Reuters 3 instead of 72.
STEPS_PER_EXECUTION = 32


@cache
def prepare() -> int:
    """Configure TensorFlow and Keras in this process, once, before its first model; return how many GPUs it opens."""
    fused_lstm.install()
    # Whatever the user's own keras.json says, which Keras reads when it is imported.
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")
    keras.config.set_dtype_policy("float32")
    # Each trial builds a model, which is traced once; from the fifth on TensorFlow would warn of that.
    tf.get_logger().setLevel("ERROR")
    with without_native_logs():
        return _configure_gpus()


def check(spec: TrialSpec, on_epoch: OnEpoch) -> None:
    """Build and compile the model, and let it answer two texts; raises what its trial would raise."""
    data, model = compiled(spec)
    evaluation.check_probabilities(np.asarray(model(data.train.x[:2])), f"model.build={spec.build}")


def compiled(spec: TrialSpec) -> tuple[Dataset, keras.Model]:
    """Return the data and a fresh, compiled model, with every seed set."""
    prepare()
    data = load(spec)
    if spec.final:
        x = cast("NDArray[np.int32]", Rows(data.train.x, data.validation.x))
        data = data._replace(train=Split(x, np.concatenate([data.train.y, data.validation.y])))
    if spec.shuffled:
        seeds = (int(seed) for seed in np.random.SeedSequence(spec.seed).generate_state(3, np.uint64))
        train, validation, test = (_shuffled(next(seeds), split) for split in (data.train, data.validation, data.test))
        data = data._replace(train=train, validation=validation, test=test)
    # This frees the trials before, but forgets seed and dtype policy too, so it comes first.
    keras.backend.clear_session()
    keras.utils.set_random_seed(spec.seed)
    # Keras draws the seeds of weights and dropout from Python's one global generator, and so do Dask's threads while
    # they connect: now and then a worker's first trial began with other weights. A generator of Keras's own with the
    # same seed gives the same numbers without that.
    seed_generator.python_random = random.Random(spec.seed)
    model = _built(spec, data)
    builder = named(spec.optimizer)
    optimizer = builder(**_keywords(builder, {**spec.values, "total_steps": _steps_of_search(spec, data)}))
    if not isinstance(optimizer, keras.Optimizer):
        raise TrialFailedError(
            f"optimizer.build={spec.optimizer}: must return a keras.Optimizer, not {type(optimizer).__name__}"
        )
    model.compile(
        optimizer,
        **_loss(spec, data.num_classes),
        steps_per_execution=_steps_per_execution(),
    )
    # Optimizer and metrics have their variables before training: TensorFlow traces a step that makes variables twice,
    # and a trial's first step took 1.7 instead of 1.0 s of processor.
    optimizer.build(model.trainable_variables)
    return data, model


def _steps_of_search(spec: TrialSpec, data: Dataset) -> int:
    """Return the steps of as many epochs as any trial may have, so that a longer trial goes on as a shorter one began.

    A confirmation trains on more documents; its epochs have more steps, but each has the learning rate that it had.
    """
    return (spec.most_epochs or spec.epochs) * -(-len(data.train.y) // spec.batch_size)


def _loss(spec: TrialSpec, num_classes: int) -> dict[str, Any]:
    """Return the loss that is minimised, and the metrics; a smoothed loss leaves the plain one among the metrics."""
    metrics = [keras.metrics.SparseCategoricalAccuracy("accuracy"), Confusion(num_classes)]
    if not spec.label_smoothing:
        return {"loss": "sparse_categorical_crossentropy", "metrics": metrics}
    smoothed = partial(_smoothed, share=spec.label_smoothing, num_classes=num_classes)
    return {"loss": smoothed, "metrics": [*metrics, keras.metrics.SparseCategoricalCrossentropy(PLAIN_LOSS)]}


def _smoothed(labels: tf.Tensor, probabilities: tf.Tensor, *, share: float, num_classes: int) -> tf.Tensor:
    targets = tf.one_hot(tf.cast(tf.reshape(labels, [-1]), tf.int32), num_classes)
    return keras.losses.categorical_crossentropy(targets, probabilities, label_smoothing=share)


def rebuild(spec: TrialSpec, weights: list[NDArray[Any]]) -> tuple[Dataset, keras.Model]:
    """Return the data, and the model with these weights; it is not compiled, so it can predict but not train."""
    prepare()
    data = load(spec)
    model = _built(spec, data)
    model.set_weights(weights)
    return data, model


def _shuffled(seed: int, split: Split) -> Split:
    return Split(cast("NDArray[np.int32]", shuffled(seed, split.x)), split.y)


def _built(spec: TrialSpec, data: Dataset) -> keras.Model:
    builder = named(spec.build)
    sizes = {"num_words": data.num_words, "maxlen": data.maxlen, "num_classes": data.num_classes}
    # The data have the sizes, also those that are hyperparameters.
    return _checked(builder(**{**_keywords(builder, spec.values), **sizes}), f"model.build={spec.build}", data)


def _checked(model: Any, where: str, data: Dataset) -> keras.Model:
    """Return the model, built on the data's shape; raises `TrialFailedError` if it does not return what is trained."""
    if not isinstance(model, keras.Model):
        raise TrialFailedError(f"{where}: must return a keras.Model, not {type(model).__name__}")
    with warnings.catch_warnings(category=UserWarning, action="ignore"):  # of layers that are not built, in many lines
        answers = keras.tree.flatten(_answers(model, data.maxlen))
    expected = evaluation.EXPECTED.format(data.num_classes)
    if len(answers) != 1:
        raise TrialFailedError(f"{where}: {expected}; the model has {len(answers)} outputs")
    if tuple(answers[0].shape[1:]) != (data.num_classes,):
        shape = ", ".join(["batch", *map(str, answers[0].shape[1:])])
        raise TrialFailedError(f"{where}: {expected}; the model returns ({shape})")
    if not model.trainable_variables:
        raise TrialFailedError(f"{where}: the model has no weights that could be trained")
    return model


def _answers(model: keras.Model, maxlen: int) -> Any:
    try:
        return model(keras.KerasTensor((None, maxlen), dtype="int32"))
    except Exception:
        # Where a layer's call fails, Keras may say that another layer takes no `training`; real words show the cause.
        return model(np.zeros((1, maxlen), np.int32))


def _keywords(builder: Callable[..., Any], values: Values) -> Values:
    """Return those of the values that the builder takes."""
    return {name: values[name] for name in inspect.signature(builder).parameters if name in values}


def _configure_gpus() -> int:
    """Let TensorFlow find the GPU that this process sees, and make it give the same numbers, as a processor does.

    Returns the number of GPUs that can be used.

    Every operation of both models has an implementation for GPUs that TensorFlow calls deterministic; cuDNN's LSTM
    needs one size of cuBLAS's buffers besides (its release notes). The variable is read when a GPU is first used.
    """
    if gpus.visible():
        cuda_libraries.open_all()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # A processor is deterministic anyway, and with this would give other sums than it gave before.
    if not tf.config.list_physical_devices("GPU"):
        return 0
    tf.config.experimental.enable_op_determinism()
    try:
        return len(tf.config.list_logical_devices("GPU"))
    except (RuntimeError, tf.errors.OpError):  # the driver refuses it
        return 0


def _steps_per_execution() -> int:
    return STEPS_PER_EXECUTION if tf.config.list_logical_devices("GPU") else 1
