"""One trial on a worker: spec -> build, fit, evaluate -> result. The only place that trains.

A trial is a pure function of its spec: its seeds are set from it, nothing is kept between trials, and a trial that goes
on from a checkpoint gives, to the last bit, what it would have given without the pause.
"""

from __future__ import annotations

import importlib
import math
import os
import random
import time
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import psutil
import tensorflow as tf
from keras.src.random import seed_generator
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from models import fused_lstm
from sweeps.trials import early_stopping
from sweeps.metrics import CURVES
from sweeps.trials.spec import Checkpoint, Cost, Dataset, EpochReport, Predictions, Report, Split, Timing, TrialResult, TrialSpec
from sweeps.errors import TrialFailedError

METRICS = dict(zip(("loss", "accuracy", "val_loss", "val_accuracy"), CURVES, strict=True))  # Keras's names and ours
EVALUATION_BATCH = 500
WARM_UP, TIMED = 3, 10  # executions: steps, or on a GPU so many steps each
# Steps between two visits to Python, on a GPU: a visit takes some 0.8 ms (a network that computes next to nothing: 1.0
# ms a step with 1, 0.2 with 32), which is nothing beside a processor's step of 50 ms, but may be as long as a GPU's. An
# epoch of IMDB is then 7 visits instead of 200, one of Reuters 3 instead of 72.
STEPS_PER_EXECUTION = 32
fused_lstm.install()
# Each trial is a new model and traced once; from the fifth on TensorFlow would warn the user of that.
tf.get_logger().setLevel("ERROR")


def use_gpus() -> None:
    """Share a GPU with other workers, and have it give the same numbers to the last bit, as a processor does.

    Every operation of both models has an implementation for GPUs that TensorFlow calls deterministic; an LSTM by cuDNN
    needs one size of cuBLAS's buffers besides (its release notes). The variables are read when a GPU is first used.
    """
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if tf.config.list_physical_devices("GPU"):  # on a processor other sums come of it, and they are the same anyway
        tf.config.experimental.enable_op_determinism()


use_gpus()


def run(spec: TrialSpec, report: Report) -> TrialResult:
    """Train until epoch `epochs`, or until it is stopped early or a report is answered; then test the best epoch.

    Raises `TrialFailedError` when a loss is no longer finite or the memory does not suffice.
    """
    try:
        return _run(spec, report)
    except (MemoryError, tf.errors.ResourceExhaustedError) as error:
        raise TrialFailedError("out of memory") from error


def _run(spec: TrialSpec, report: Report) -> TrialResult:
    began = time.perf_counter()
    data, model = _prepared(spec)
    curves: dict[str, list[float]] = {name: [] for name in CURVES if not (spec.final and name.startswith("val/"))}
    best_weights: list[NDArray[Any]] = []
    if spec.checkpoint is not None:
        _restore(model, spec.checkpoint)
        curves = {name: list(curve) for name, curve in spec.checkpoint.curves.items()}
        best_weights = spec.checkpoint.best_weights
    curve, peak_rss = curves[spec.objective], 0
    before = len(curve)
    reason = early_stopping.why_end(spec.objective, curve, spec.patience, spec.bar)
    for epoch in range(before, spec.epochs):
        if reason:
            break
        metrics = _fit_epoch(model, data, spec, epoch)
        for name, value in metrics.items():
            curves[name].append(value)
        if spec.test_last_epoch or early_stopping.best_epoch(spec.objective, curve) == epoch + 1:
            best_weights = model.get_weights()
        peak_rss = max(peak_rss, psutil.Process().memory_info().rss)
        told = report(EpochReport(spec.sweep, spec.trial, spec.attempt, epoch + 1, metrics))
        reason = told or early_stopping.why_end(spec.objective, curve, spec.patience, spec.bar)
    variables, optimizer = _arrays(model.variables), _arrays(model.optimizer.variables)
    best_epoch = len(curve) if spec.test_last_epoch else early_stopping.best_epoch(spec.objective, curve)
    if best_epoch < len(curve):
        model.set_weights(best_weights)
    probabilities = predict(model, data.test)
    return TrialResult(
        curves=curves,
        objective=curve[best_epoch - 1],
        best_epoch=best_epoch,
        test=scores(probabilities, data.test.y),
        cost=Cost(
            seconds=time.perf_counter() - began,
            epochs=len(curve) - before,
            parameters=model.count_params(),
            peak_rss_mb=peak_rss / 2**20,
        ),
        reason="finished" if len(curve) == spec.epochs else reason,
        checkpoint=Checkpoint(variables, optimizer, best_weights, curves),
        predictions=_predictions(probabilities, data.test.y) if spec.final else None,
    )


def rebuild(spec: TrialSpec, weights: list[NDArray[Any]]) -> tuple[Dataset, keras.Model]:
    """The data, and the model with these weights, uncompiled: all it needs to predict, and nothing to train on."""
    data = _data(spec)
    model = _built(spec, data)
    model.set_weights(weights)
    return data, model


def measure(spec: TrialSpec, report: Report) -> Timing:
    """Build the model and time a few steps of training and validation, for an estimate of an epoch."""
    data, model = _prepared(spec)
    steps = model.steps_per_execution
    model.fit(batches(_first(data.train, WARM_UP * steps * spec.batch_size), spec.batch_size), shuffle=False, verbose=0)
    model.evaluate(batches(_first(data.validation, EVALUATION_BATCH), EVALUATION_BATCH), verbose=0)
    timed = _first(data.train, TIMED * steps * spec.batch_size)
    began = time.perf_counter()
    model.fit(batches(timed, spec.batch_size), shuffle=False, verbose=0)
    trained = time.perf_counter()
    held_out = _first(data.validation, 2 * steps * EVALUATION_BATCH)
    model.evaluate(batches(held_out, EVALUATION_BATCH), verbose=0)
    validated = time.perf_counter()
    return Timing(
        parameters=model.count_params(),
        seconds_per_epoch=(trained - began) * len(data.train.y) / len(timed.y)
        + (validated - trained) * len(data.validation.y) / len(held_out.y),
    )


def evaluate(model: keras.Model, split: Split) -> dict[str, float]:
    """The `scores` of a model on a split."""
    return scores(predict(model, split), split.y)


def predict(model: keras.Model, split: Split) -> NDArray[np.float32]:
    """Probabilities, (n, num_classes)."""
    model.steps_per_execution = 1  # Keras would trace as many copies of the network into one graph
    probabilities: NDArray[np.float32] = model.predict(batches(split, EVALUATION_BATCH), verbose=0)
    return probabilities


def scores(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> dict[str, float]:
    """Of class probabilities (n, num_classes); macro-F1 is the mean over classes: accuracy hides the rare ones."""
    predicted = probabilities.argmax(axis=1)
    of_label = probabilities[np.arange(len(labels)), labels]
    return {
        # Clipped as Keras clips, so that it compares with `train/loss` and `val/loss`.
        "test/loss": float(-np.log(np.clip(of_label, keras.config.epsilon(), None)).mean()),
        "test/accuracy": float((predicted == labels).mean()),
        "test/macro_f1": float(f1_score(labels, predicted, average="macro", zero_division=0)),
    }


def batches(split: Split, batch_size: int) -> tf.data.Dataset:
    """The split in its order, in batches, for one pass.

    Keras makes such a dataset from arrays too, but with TensorFlow's autotuning on: its thread sleeps for 10, 20, 40 …
    ms, and an iterator cannot be freed before it wakes. An epoch of 3 s then ends after 5.1 s, one of 6 s after 10.2 s.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return tf.data.Dataset.from_tensor_slices(tuple(split)).batch(batch_size).with_options(options)


def _prepared(spec: TrialSpec) -> tuple[Dataset, keras.Model]:
    """The data and a fresh, compiled model with every seed set."""
    data = _data(spec)
    if spec.final:
        x, y = (np.concatenate([data.train[part], data.validation[part]]) for part in (0, 1))
        data = data._replace(train=Split(x, y))
    # Frees the trials before, but forgets seed and dtype policy too, so it comes first.
    keras.backend.clear_session()
    keras.utils.set_random_seed(spec.seed)
    # Keras draws the seeds of weights and dropout from Python's one global generator, and so do Dask's threads while
    # they connect: a worker's first trial then began, now and then, with other weights. Same numbers, by itself:
    seed_generator.python_random = random.Random(spec.seed)
    model = _built(spec, data)
    optimizer = _named(spec.optimizer)(**spec.optimizer_values)
    accuracy = keras.metrics.SparseCategoricalAccuracy("accuracy")
    steps = _steps_per_execution()
    model.compile(optimizer, loss="sparse_categorical_crossentropy", metrics=[accuracy], steps_per_execution=steps)
    # Optimizer and metric have their variables before training: TensorFlow traces a step that makes variables twice,
    # and a trial's first step took 1.7 instead of 1.0 s of processor.
    optimizer.build(model.trainable_variables)
    return data, model


def _steps_per_execution() -> int:
    return STEPS_PER_EXECUTION if tf.config.list_logical_devices("GPU") else 1


def _data(spec: TrialSpec) -> Dataset:
    data: Dataset = _named(spec.load)(**spec.data)
    if data.digest != spec.digest:
        raise TrialFailedError(f"the worker's data differ from the driver's: {data.digest}, not {spec.digest}")
    return data


def _built(spec: TrialSpec, data: Dataset) -> keras.Model:
    model: keras.Model = _named(spec.build)(
        num_words=data.num_words, maxlen=data.maxlen, num_classes=data.num_classes, **spec.model_values
    )
    return model


def _named(target: str) -> Any:
    module, _, name = target.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _fit_epoch(model: keras.Model, data: Dataset, spec: TrialSpec, epoch: int) -> Mapping[str, float]:
    # Shuffled by (seed, epoch), so that a trial that goes on later sees the batches it would have seen. A `fit` per
    # epoch costs no more than one for all (4.8 s against 4.8 an epoch of 50 steps, medians of three).
    order = np.random.default_rng([spec.seed, epoch]).permutation(len(data.train.y))
    history = model.fit(
        batches(Split(data.train.x[order], data.train.y[order]), spec.batch_size),
        initial_epoch=epoch,
        epochs=epoch + 1,
        shuffle=False,
        validation_data=None if spec.final else batches(data.validation, EVALUATION_BATCH),
        verbose=0,
    )
    metrics = {METRICS[name]: float(values[-1]) for name, values in history.history.items()}
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise TrialFailedError(f"diverged: {name} is {value} in epoch {epoch + 1}")
    return metrics


def _predictions(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> Predictions:
    smallest = np.min_scalar_type(probabilities.shape[1] - 1)
    return Predictions(probabilities.argmax(axis=1).astype(smallest), labels.astype(smallest))


def _restore(model: keras.Model, checkpoint: Checkpoint) -> None:
    for variable, array in zip(model.variables, checkpoint.variables, strict=True):
        variable.assign(array)
    for variable, array in zip(model.optimizer.variables, checkpoint.optimizer, strict=True):
        variable.assign(array)


def _arrays(variables: list[keras.Variable]) -> list[NDArray[Any]]:
    return [variable.numpy() for variable in variables]


def _first(split: Split, n: int) -> Split:
    return Split(split.x[:n], split.y[:n])
