"""The answers of a model: batches of documents in, class probabilities and metrics out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from sweeps.errors import TrialFailedError
from sweeps.metrics import METRICS, Answers
from sweeps.trials import calibration
from sweeps.trials.rows import Rows
from sweeps.trials.spec import Split

BATCH = 500
IN_MEMORY, READ = 2**26, 2**23  # bytes, see `batches`
PLAIN_LOSS = "plain_loss"  # the name of a metric: the cross-entropy, where the loss that is minimised is another
EXPECTED = "must return one output, (batch, {}): a probability for each class"


def predict(model: keras.Model, split: Split) -> NDArray[np.float32]:
    """Return class probabilities, (n, num_classes)."""
    model.steps_per_execution = 1  # with more, Keras would trace as many copies of the network into one graph
    probabilities: NDArray[np.float32] = model.predict(batches(split, BATCH), verbose=0)
    return probabilities


def megabytes(model: keras.Model) -> float:
    """Return the size of the weights and of all layers' outputs for a batch of predictions, in MB.

    What a prediction adds to the memory of a worker that has just trained cannot be measured: the allocator keeps what
    training needed. Of one LSTM it was 0 to 63 MB, and 52 to 84 when that was given back before (2026-11-30).
    """
    outputs = [each.output for each in getattr(model, "operations", ())]  # a model of another kind names none
    sizes = [_bytes(each.shape, each.dtype) for each in keras.tree.flatten(outputs)]
    sizes += [_bytes(each.shape, each.dtype) for each in model.weights]
    return sum(sizes) / 1e6


def _bytes(shape: tuple[int | None, ...], dtype: str) -> int:
    size = math.prod(BATCH if length is None else length for length in shape)
    return size * int(np.dtype(keras.backend.standardize_dtype(dtype)).itemsize)


def check_probabilities(answers: NDArray[np.float32], where: str) -> None:
    """Raise `TrialFailedError` unless each row of answers, (n, num_classes), is a distribution.

    Others can be trained, as Keras scales them, but every loss and probability that is shown would be wrong.
    """
    sums = answers.sum(axis=1)
    if (answers < 0).any() or not np.allclose(sums, 1, atol=0.01):
        worst = sums[np.argmax(np.abs(sums - 1))]
        expected = EXPECTED.format(answers.shape[1])
        span = f"from {answers.min():.2g} to {answers.max():.2g}"
        raise TrialFailedError(f"{where}: {expected}; its answers go {span}, and those to a text sum to {worst:.2g}")


def answers_to(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> Answers:
    """Count how often each label was answered with each: the most probable one of (n, num_classes)."""
    confusion = np.zeros((probabilities.shape[1],) * 2, dtype=np.int64)
    np.add.at(confusion, (labels, probabilities.argmax(axis=1)), 1)
    return answers_of(confusion)


def scores(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> dict[str, float]:
    """Return every test metric of class probabilities, (n, num_classes), under its full name."""
    answers = answers_to(probabilities, labels)
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
FROM_PROBABILITIES: Mapping[str, Callable[[NDArray[np.float32], NDArray[np.int64]], float]] = {
    "loss": cross_entropy,
    "calibration_error": calibration.error,
}


def calibrated_scores(
    probabilities: NDArray[np.float32], labels: NDArray[np.int64], temperature: float
) -> dict[str, float]:
    """Return the test metrics that change when the probabilities are scaled by a temperature, and the temperature."""
    scaled = calibration.scaled(probabilities, temperature)
    scores = {f"calibrated/{name}": compute(scaled, labels) for name, compute in FROM_PROBABILITIES.items()}
    return {**scores, "calibrated/temperature": temperature}


def batches(split: Split, batch_size: int, order: NDArray[np.int64] | None = None) -> tf.data.Dataset:
    """Return the split in batches for one pass, in its own order or with the rows that `order`, (n,), names.

    Up to `IN_MEMORY` bytes are copied at once. Of more, `READ` bytes are in memory at a time, whatever the size of the
    corpus; an epoch of Reuters or IMDB would be fed in 2.2 or 1.2 times the time that way (medians of seven in turn, a
    busy machine, 2026-11-29), most of it spent on tracing.

    Keras makes such a dataset from arrays too, but with TensorFlow's autotuning on: its thread sleeps for 10, 20, 40 …
    ms, and an iterator cannot be freed before it wakes. An epoch of 3 s then ends after 5.1 s, one of 6 s after 10.2 s.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    if split.x.nbytes > IN_MEMORY:
        return _read_in_blocks(split, batch_size, order).with_options(options)
    rows = slice(None) if order is None else order
    return tf.data.Dataset.from_tensor_slices((split.x[rows], split.y[rows])).batch(batch_size).with_options(options)


def _read_in_blocks(split: Split, batch_size: int, order: NDArray[np.int64] | None) -> tf.data.Dataset:
    x, y = split.x if isinstance(split.x, Rows) else Rows(split.x), np.asarray(split.y)

    def batches_of(rows: tf.Tensor) -> tf.data.Dataset:
        block = tf.numpy_function(lambda rows: (x[rows], y[rows]), [rows], (x.dtype, y.dtype))
        for tensor, shape in zip(block, (x.shape, y.shape), strict=True):
            tensor.set_shape((None, *shape[1:]))
        return tf.data.Dataset.from_tensor_slices(tuple(block)).batch(batch_size)

    rows = tf.data.Dataset.range(len(y)) if order is None else tf.data.Dataset.from_tensor_slices(order)
    n = len(y) if order is None else len(order)
    a_block = max(1, READ * len(y) // (x.nbytes * batch_size)) * batch_size  # rows, of whole batches
    number = tf.data.experimental.assert_cardinality(-(-n // batch_size))
    return rows.batch(a_block).flat_map(batches_of).apply(number)


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


def answers_of(confusion: NDArray[Any]) -> Answers:
    """Return the non-empty cells of a confusion matrix, (label, answer)."""
    labels, predicted = np.nonzero(confusion)
    return Answers(labels, predicted, confusion[labels, predicted].astype(np.int64))
