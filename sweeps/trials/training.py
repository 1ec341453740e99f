"""One trial on a worker: build, fit and test what its spec says. This is the only place that trains.

A trial is a pure function of its spec: its seeds are set from it, nothing is kept between trials, and a trial that goes
on from a checkpoint gives, to the last bit, the numbers that it would have given without the pause.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
import psutil
import tensorflow as tf
from numpy.typing import NDArray

from sweeps import metrics
from sweeps.errors import HostFailedError, TrialFailedError
from sweeps.metrics import CURVES
from sweeps.trials import calibration, class_weights, early_stopping, evaluation, predictions
from sweeps.trials.building import compiled
from sweeps.trials.engine import OUT_OF_MEMORY
from sweeps.trials.evaluation import PLAIN_LOSS, answers_of, batches
from sweeps.trials.spec import (
    Checkpoint,
    Cost,
    Dataset,
    EpochReport,
    OnEpoch,
    Split,
    StepReport,
    Timing,
    TrialResult,
    TrialSpec,
)
from sweeps.trials.steps import Steps

TEXTS = 1000  # for which the time of a prediction is given
WARM_UP, TIMED = 3, 10  # executions: steps on a processor, `building.STEPS_PER_EXECUTION` steps each on a GPU


def run(spec: TrialSpec, on_epoch: OnEpoch) -> TrialResult:
    """Train until epoch `epochs`, or until early stopping or an answer of `on_epoch`; then test the best epoch.

    Raises `TrialFailedError` when a loss is no longer finite or the memory does not suffice.
    """
    try:
        return _run(spec, on_epoch)
    except (MemoryError, tf.errors.ResourceExhaustedError) as error:
        raise HostFailedError(OUT_OF_MEMORY) from error


def measure(spec: TrialSpec, on_epoch: OnEpoch) -> Timing:
    """Build the model and time a few steps of training and validation, for an estimate of a trial."""
    began = time.perf_counter()
    data, model = compiled(spec)
    steps = model.steps_per_execution
    _seconds_to_fit(model, _first(data.train, WARM_UP * steps * spec.batch_size), spec.batch_size)
    _seconds_to_evaluate(model, _first(data.validation, evaluation.BATCH))
    besides = time.perf_counter() - began
    train = _first(data.train, TIMED * steps * spec.batch_size)
    validation = _first(data.validation, 2 * steps * evaluation.BATCH)
    to_fit = _seconds_to_fit(model, train, spec.batch_size) / len(train.y)  # a text
    to_evaluate = _seconds_to_evaluate(model, validation) / len(validation.y)
    began = time.perf_counter()
    evaluation.predict(model, _first(data.validation, evaluation.BATCH))  # last: it changes the steps of an execution
    besides += time.perf_counter() - began
    return Timing(
        parameters=model.count_params(),
        seconds_per_epoch=to_fit * len(data.train.y) + to_evaluate * len(data.validation.y),
        seconds_besides=besides + to_evaluate * len(data.test.y),
    )


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
    data, model = compiled(spec)
    progress = _resumed(model, spec.checkpoint) if spec.checkpoint else _Progress(_empty_curves(spec), [])
    curve = progress.curves[spec.objective]
    before = len(curve)
    ending = _train(spec, data, model, progress, on_epoch)
    variables, optimizer = _arrays(model.variables), _arrays(model.optimizer.variables)
    best_epoch = _best_epoch(spec, curve)
    if best_epoch < len(curve):
        model.set_weights(ending.best_weights)
    probabilities, scores, predict_seconds = _test(spec, data, model)
    answers = predictions.compact(probabilities.argmax(axis=1), data.test.y, data.num_classes)
    return TrialResult(
        curves=progress.curves,
        objective=curve[best_epoch - 1],
        best_epoch=best_epoch,
        test=scores,
        cost=Cost(
            seconds=time.perf_counter() - began,
            epochs=len(curve) - before,
            parameters=model.count_params(),
            peak_rss_mb=ending.peak_rss / 2**20,
            predict_seconds=predict_seconds,
            model_megabytes=evaluation.megabytes(model),
        ),
        reason="finished" if len(curve) == spec.epochs else ending.reason,
        checkpoint=Checkpoint(variables, optimizer, ending.best_weights, progress.curves),
        predictions=answers if spec.final else None,
        confusion=evaluation.answers_to(probabilities, data.test.y).cells(),
    )


def _test(spec: TrialSpec, data: Dataset, model: keras.Model) -> tuple[NDArray[np.float32], dict[str, float], float]:
    """Return the class probabilities of the test set, (n, num_classes), its metrics, and the seconds for 1,000 texts.

    Where a part of the data is held out, its answers choose the temperature of the calibrated metrics.
    """
    held_out = None if spec.final or spec.test_last_epoch else data.validation
    first = evaluation.predict(model, held_out or _first(data.train, evaluation.BATCH))  # traces the network
    began = time.perf_counter()
    probabilities = evaluation.predict(model, data.test)
    seconds = _seconds_for_1000(model, data.test, time.perf_counter() - began)
    evaluation.check_probabilities(probabilities, f"model.build={spec.build}")
    scores = evaluation.scores(probabilities, data.test.y)
    if held_out:
        temperature = calibration.temperature(first, held_out.y)
        scores |= evaluation.calibrated_scores(probabilities, data.test.y, temperature)
    return probabilities, scores, seconds


def _seconds_for_1000(model: keras.Model, test: Split, took: float) -> float:
    """Return the seconds that the answers to 1,000 texts take, from those that all of the test took.

    Fewer texts are answered again and again: every call takes some tenths of a second, however few they are.
    """
    n = len(test.y)
    if n < TEXTS:
        rows = np.resize(np.arange(n), TEXTS)
        again = Split(test.x[rows], test.y[rows])
        began = time.perf_counter()
        evaluation.predict(model, again)
        n, took = TEXTS, time.perf_counter() - began
    return TEXTS * took / n


def _train(spec: TrialSpec, data: Dataset, model: keras.Model, progress: _Progress, on_epoch: OnEpoch) -> _Ending:
    """Run the epochs that are left and extend the curves; the reason is empty after the last epoch."""
    (curves, best_weights), peak_rss = progress, 0
    curve = curves[spec.objective]
    reason = early_stopping.reason_to_end(spec.objective, curve, spec.patience, spec.bar)
    for epoch in range(len(curve), spec.epochs):
        if reason:
            break
        values = fit_epoch(model, data, spec, epoch, curves)
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


def fit_epoch(
    model: keras.Model, data: Dataset, spec: TrialSpec, epoch: int, curves: Iterable[str]
) -> dict[str, float]:
    """Train one epoch, the first of which is 0, validate, and return the values of the curves."""
    # Shuffled by (seed, epoch), so that a trial that goes on later sees the batches it would have seen. A `fit` for
    # each epoch costs no more than one for all (4.8 s against 4.8 an epoch of 50 steps, medians of three).
    order = np.random.default_rng([spec.seed, epoch]).permutation(len(data.train.y))
    steps = -(-len(data.train.y) // spec.batch_size)
    counter = Steps(StepReport(spec.sweep, spec.trial, spec.attempt, epoch + 1, 0, steps))
    counting = keras.callbacks.LambdaCallback(on_train_batch_end=lambda step, logs: counter.done(step + 1))
    counting.async_safe = True  # Keras calls it in a thread that it has for its own callbacks, beside the training
    history = model.fit(
        batches(data.train, spec.batch_size, order),
        initial_epoch=epoch,
        epochs=epoch + 1,
        shuffle=False,
        validation_data=None if spec.final else batches(data.validation, evaluation.BATCH),
        class_weight=class_weights.of(spec.class_weight, data.train.y),
        callbacks=[counting],
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
    if curve == "val/loss" and f"val_{PLAIN_LOSS}" in results:
        return float(results[f"val_{PLAIN_LOSS}"])
    if prefix + metric in results:
        return float(results[prefix + metric])
    compute = metrics.row(curve).compute
    if compute is None:
        raise ValueError(f"{curve}: neither Keras nor the table of metrics computes it")
    return compute(answers_of(results[f"{prefix}confusion"]))


def _seconds_to_fit(model: keras.Model, split: Split, batch_size: int) -> float:
    began = time.perf_counter()
    model.fit(batches(split, batch_size), shuffle=False, verbose=0)
    return time.perf_counter() - began


def _seconds_to_evaluate(model: keras.Model, split: Split) -> float:
    began = time.perf_counter()
    model.evaluate(batches(split, evaluation.BATCH), verbose=0)
    return time.perf_counter() - began


def _arrays(variables: list[keras.Variable]) -> list[NDArray[Any]]:
    return [variable.numpy() for variable in variables]


def _first(split: Split, n: int) -> Split:
    return Split(split.x[:n], split.y[:n])
