"""One trial on a worker: build, fit and test what its spec says. This is the only place that trains.

A trial is a pure function of its spec: its seeds are set from it, nothing is kept between trials, and a trial that goes
on from a checkpoint gives, to the last bit, the numbers that it would have given without the pause.
"""

from __future__ import annotations

import importlib
import inspect
import math
import os
import random
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple

import keras
import numpy as np
import psutil
import tensorflow as tf
from keras.src.random import seed_generator
from numpy.typing import NDArray

from conf.schema import Values
from models import fused_lstm
from sweeps import metrics
from sweeps.errors import TrialFailedError
from sweeps.metrics import CURVES, METRICS, Answers
from sweeps.trials import early_stopping
from sweeps.trials.native_logs import without_native_logs
from sweeps.trials.spec import (
    Checkpoint,
    Cost,
    Dataset,
    EpochReport,
    OnEpoch,
    Predictions,
    Split,
    Timing,
    TrialResult,
    TrialSpec,
)

EVALUATION_BATCH = 500
WARM_UP, TIMED = 3, 10  # executions: steps on a processor, `STEPS_PER_EXECUTION` steps each on a GPU
# Training steps on a GPU between two returns to Python. A return takes some 0.8 ms (a network that computes almost
# nothing: 1.0 ms a step with 1, 0.2 with 32), which is little beside a processor's step of 50 ms but may be as long as
# a GPU's step. An epoch of IMDB then has 7 returns instead of 200, one of Reuters 3 instead of 72.
STEPS_PER_EXECUTION = 32


@cache
def prepare() -> None:
    """Configure TensorFlow and Keras in this process, once, before its first model."""
    fused_lstm.install()
    # Each trial builds a model, which is traced once; from the fifth on TensorFlow would warn of that.
    tf.get_logger().setLevel("ERROR")
    with without_native_logs():
        _configure_gpus()


def run(spec: TrialSpec, on_epoch: OnEpoch) -> TrialResult:
    """Train until epoch `epochs`, or until early stopping or an answer of `on_epoch`; then test the best epoch.

    Raises `TrialFailedError` when a loss is no longer finite or the memory does not suffice.
    """
    try:
        return _run(spec, on_epoch)
    except (MemoryError, tf.errors.ResourceExhaustedError) as error:
        raise TrialFailedError("out of memory") from error


def measure(spec: TrialSpec, on_epoch: OnEpoch) -> Timing:
    """Build the model and time a few steps of training and validation, for an estimate of an epoch."""
    data, model = _prepared(spec)
    steps = model.steps_per_execution
    _seconds_to_fit(model, _first(data.train, WARM_UP * steps * spec.batch_size), spec.batch_size)
    _seconds_to_evaluate(model, _first(data.validation, EVALUATION_BATCH))
    train = _first(data.train, TIMED * steps * spec.batch_size)
    validation = _first(data.validation, 2 * steps * EVALUATION_BATCH)
    return Timing(
        parameters=model.count_params(),
        seconds_per_epoch=_seconds_to_fit(model, train, spec.batch_size) * len(data.train.y) / len(train.y)
        + _seconds_to_evaluate(model, validation) * len(data.validation.y) / len(validation.y),
    )


def rebuild(spec: TrialSpec, weights: list[NDArray[Any]]) -> tuple[Dataset, keras.Model]:
    """Return the data, and the model with these weights; it is not compiled, so it can predict but not train."""
    prepare()
    data = _data(spec)
    model = _built(spec, data)
    model.set_weights(weights)
    return data, model


def predict(model: keras.Model, split: Split) -> NDArray[np.float32]:
    """Return class probabilities, (n, num_classes)."""
    model.steps_per_execution = 1  # with more, Keras would trace as many copies of the network into one graph
    probabilities: NDArray[np.float32] = model.predict(batches(split, EVALUATION_BATCH), verbose=0)
    return probabilities


def scores(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> dict[str, float]:
    """Return every test metric of class probabilities, (n, num_classes), under its full name."""
    confusion = np.zeros((probabilities.shape[1],) * 2, dtype=np.int64)
    np.add.at(confusion, (labels, probabilities.argmax(axis=1)), 1)
    answers = _answers(confusion)
    return {
        f"test/{metric.name}": metric.compute(answers)
        if metric.compute
        else FROM_PROBABILITIES[metric.name](probabilities, labels)
        for metric in METRICS
        if "test" in metric.parts
    }


def cross_entropy(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Return the mean loss in nats, clipped as Keras clips so that it compares with `train/loss` and `val/loss`."""
    of_label = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.clip(of_label, keras.config.epsilon(), None)).mean())


# The test metrics for which it does not suffice to know each document's most probable class.
FROM_PROBABILITIES: Mapping[str, Callable[[NDArray[np.float32], NDArray[np.int64]], float]] = {"loss": cross_entropy}


def batches(split: Split, batch_size: int) -> tf.data.Dataset:
    """Return the split in its order, in batches, for one pass.

    Keras makes such a dataset from arrays too, but with TensorFlow's autotuning on: its thread sleeps for 10, 20, 40 …
    ms, and an iterator cannot be freed before it wakes. An epoch of 3 s then ends after 5.1 s, one of 6 s after 10.2 s.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return tf.data.Dataset.from_tensor_slices(tuple(split)).batch(batch_size).with_options(options)


class Confusion(keras.metrics.Metric):
    """Counts how often each true label was answered with each label; its result is a matrix (label, answer).

    The counts are float32, which are exact up to 2**24 in a cell. They are a product of matrices and not a histogram,
    as TensorFlow has no deterministic histogram for GPUs. A training step takes 0.06 to 0.08 ms more with it, of 36 ms
    (`conv_lstm` on IMDB) or 66 ms (`lstm` on Reuters): the least of 21 and 40 runs in turn, one thread, 2026-11-27.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__(dtype="float32", name="confusion")
        self._num_classes = num_classes
        self._counts = self.add_variable((num_classes, num_classes), "zeros", name="counts")

    def update_state(self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: None = None) -> None:
        labels = tf.one_hot(tf.reshape(y_true, [-1]), self._num_classes)
        answers = tf.one_hot(tf.argmax(y_pred, axis=-1), self._num_classes)
        self._counts.assign_add(tf.matmul(labels, answers, transpose_a=True))

    def result(self) -> tf.Tensor:
        return tf.convert_to_tensor(self._counts.value)  # the variable itself would go on counting, in validation


class _Progress(NamedTuple):
    """The state of a trial beside its model."""

    curves: dict[str, list[float]]
    best_weights: list[NDArray[Any]]  # empty before the first epoch


class _Ending(NamedTuple):
    reason: str
    best_weights: list[NDArray[Any]]
    peak_rss: int  # bytes


def _run(spec: TrialSpec, on_epoch: OnEpoch) -> TrialResult:
    began = time.perf_counter()
    data, model = _prepared(spec)
    progress = _resumed(model, spec.checkpoint) if spec.checkpoint else _Progress(_empty_curves(spec), [])
    curve = progress.curves[spec.objective]
    before = len(curve)
    ending = _train(spec, data, model, progress, on_epoch)
    variables, optimizer = _arrays(model.variables), _arrays(model.optimizer.variables)
    best_epoch = _best_epoch(spec, curve)
    if best_epoch < len(curve):
        model.set_weights(ending.best_weights)
    probabilities = predict(model, data.test)
    return TrialResult(
        curves=progress.curves,
        objective=curve[best_epoch - 1],
        best_epoch=best_epoch,
        test=scores(probabilities, data.test.y),
        cost=Cost(
            seconds=time.perf_counter() - began,
            epochs=len(curve) - before,
            parameters=model.count_params(),
            peak_rss_mb=ending.peak_rss / 2**20,
        ),
        reason="finished" if len(curve) == spec.epochs else ending.reason,
        checkpoint=Checkpoint(variables, optimizer, ending.best_weights, progress.curves),
        predictions=_predictions(probabilities, data.test.y) if spec.final else None,
    )


def _train(spec: TrialSpec, data: Dataset, model: keras.Model, progress: _Progress, on_epoch: OnEpoch) -> _Ending:
    """Run the epochs that are left and extend the curves; the reason is empty after the last epoch."""
    (curves, best_weights), peak_rss = progress, 0
    curve = curves[spec.objective]
    reason = early_stopping.reason_to_end(spec.objective, curve, spec.patience, spec.bar)
    for epoch in range(len(curve), spec.epochs):
        if reason:
            break
        values = _fit_epoch(model, data, spec, epoch, curves)
        for name, value in values.items():
            curves[name].append(value)
        if _best_epoch(spec, curve) == epoch + 1:
            best_weights = model.get_weights()
        peak_rss = max(peak_rss, psutil.Process().memory_info().rss)
        answer = on_epoch(EpochReport(spec.sweep, spec.trial, spec.attempt, epoch + 1, values))
        reason = answer or early_stopping.reason_to_end(spec.objective, curve, spec.patience, spec.bar)
    return _Ending(reason, best_weights, peak_rss)


def _best_epoch(spec: TrialSpec, curve: list[float]) -> int:
    return len(curve) if spec.test_last_epoch else early_stopping.best_epoch(spec.objective, curve)


def _empty_curves(spec: TrialSpec) -> dict[str, list[float]]:
    return {name: [] for name in CURVES if not (spec.final and name.startswith("val/"))}


def _resumed(model: keras.Model, checkpoint: Checkpoint) -> _Progress:
    """Put the checkpoint's state into the model.

    The trial keeps to the checkpoint's curves: one of an earlier version of this project may lack newer metrics, whose
    values for its epochs nobody knows.
    """
    for variable, array in zip(model.variables, checkpoint.variables, strict=True):
        variable.assign(array)
    for variable, array in zip(model.optimizer.variables, checkpoint.optimizer, strict=True):
        variable.assign(array)
    return _Progress({name: list(curve) for name, curve in checkpoint.curves.items()}, checkpoint.best_weights)


def _fit_epoch(
    model: keras.Model, data: Dataset, spec: TrialSpec, epoch: int, curves: Iterable[str]
) -> dict[str, float]:
    """Train one epoch, validate, and return the values of the curves."""
    # Shuffled by (seed, epoch), so that a trial that goes on later sees the batches it would have seen. A `fit` for
    # each epoch costs no more than one for all (4.8 s against 4.8 an epoch of 50 steps, medians of three).
    order = np.random.default_rng([spec.seed, epoch]).permutation(len(data.train.y))
    history = model.fit(
        batches(Split(data.train.x[order], data.train.y[order]), spec.batch_size),
        initial_epoch=epoch,
        epochs=epoch + 1,
        shuffle=False,
        validation_data=None if spec.final else batches(data.validation, EVALUATION_BATCH),
        verbose=0,
    )
    results = {name: values[-1] for name, values in history.history.items()}
    values = {curve: _value(curve, results) for curve in curves}
    for name, value in values.items():
        if not math.isfinite(value):
            raise TrialFailedError(f"diverged: {name} is {value} in epoch {epoch + 1}")
    return values


def _value(curve: str, results: Mapping[str, Any]) -> float:
    """Return a curve's value after an epoch: Keras's own if it has one, otherwise from the confusion matrix."""
    part, _, metric = curve.rpartition("/")
    prefix = "val_" if part == "val" else ""
    if prefix + metric in results:
        return float(results[prefix + metric])
    compute = metrics.row(curve).compute
    if compute is None:
        raise ValueError(f"{curve}: neither Keras nor the table of metrics computes it")
    return compute(_answers(results[f"{prefix}confusion"]))


def _answers(confusion: NDArray[Any]) -> Answers:
    labels, predicted = np.nonzero(confusion)
    return Answers(labels, predicted, confusion[labels, predicted].astype(np.int64))


def _prepared(spec: TrialSpec) -> tuple[Dataset, keras.Model]:
    """Return the data and a fresh, compiled model, with every seed set."""
    prepare()
    data = _data(spec)
    if spec.final:
        x, y = (np.concatenate([data.train[part], data.validation[part]]) for part in (0, 1))
        data = data._replace(train=Split(x, y))
    # This frees the trials before, but forgets seed and dtype policy too, so it comes first.
    keras.backend.clear_session()
    keras.utils.set_random_seed(spec.seed)
    # Keras draws the seeds of weights and dropout from Python's one global generator, and so do Dask's threads while
    # they connect: now and then a worker's first trial began with other weights. A generator of Keras's own with the
    # same seed gives the same numbers without that.
    seed_generator.python_random = random.Random(spec.seed)
    model = _built(spec, data)
    builder = _named(spec.optimizer)
    optimizer = builder(**_keywords(builder, spec.values))
    model.compile(
        optimizer,
        loss="sparse_categorical_crossentropy",
        metrics=[keras.metrics.SparseCategoricalAccuracy("accuracy"), Confusion(data.num_classes)],
        steps_per_execution=_steps_per_execution(),
    )
    # Optimizer and metrics have their variables before training: TensorFlow traces a step that makes variables twice,
    # and a trial's first step took 1.7 instead of 1.0 s of processor.
    optimizer.build(model.trainable_variables)
    return data, model


def _data(spec: TrialSpec) -> Dataset:
    data: Dataset = _named(spec.load)(**spec.data)
    if data.digest != spec.digest:
        raise TrialFailedError(f"the worker's data differ from the driver's: {data.digest}, not {spec.digest}")
    return data


def _built(spec: TrialSpec, data: Dataset) -> keras.Model:
    builder = _named(spec.build)
    sizes = {"num_words": data.num_words, "maxlen": data.maxlen, "num_classes": data.num_classes}
    model: keras.Model = builder(**sizes, **_keywords(builder, spec.values))
    return model


def _keywords(builder: Callable[..., Any], values: Values) -> Values:
    """Return those of the values that the builder takes."""
    return {name: values[name] for name in inspect.signature(builder).parameters if name in values}


def _named(target: str) -> Any:
    module, _, name = target.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _configure_gpus() -> None:
    """Let workers share a GPU, and make it give the same numbers to the last bit, as a processor does.

    Every operation of both models has an implementation for GPUs that TensorFlow calls deterministic; cuDNN's LSTM
    needs one size of cuBLAS's buffers besides (its release notes). The variables are read when a GPU is first used.
    """
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # A processor is deterministic anyway, and with this would give other sums than it gave before.
    if tf.config.list_physical_devices("GPU"):
        tf.config.experimental.enable_op_determinism()


def _steps_per_execution() -> int:
    return STEPS_PER_EXECUTION if tf.config.list_logical_devices("GPU") else 1


def _seconds_to_fit(model: keras.Model, split: Split, batch_size: int) -> float:
    began = time.perf_counter()
    model.fit(batches(split, batch_size), shuffle=False, verbose=0)
    return time.perf_counter() - began


def _seconds_to_evaluate(model: keras.Model, split: Split) -> float:
    began = time.perf_counter()
    model.evaluate(batches(split, EVALUATION_BATCH), verbose=0)
    return time.perf_counter() - began


def _predictions(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> Predictions:
    smallest = np.min_scalar_type(probabilities.shape[1] - 1)
    return Predictions(probabilities.argmax(axis=1).astype(smallest), labels.astype(smallest))


def _arrays(variables: list[keras.Variable]) -> list[NDArray[Any]]:
    return [variable.numpy() for variable in variables]


def _first(split: Split, n: int) -> Split:
    return Split(split.x[:n], split.y[:n])
