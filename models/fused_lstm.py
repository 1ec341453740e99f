"""Keras's LSTM on a processor as one TensorFlow operation, instead of a loop of a dozen operations a word.

Keras asks its backend for a fused LSTM first (`backend.lstm`), and gets one for GPUs only (cuDNN). TensorFlow has one
for processors too, `BlockLSTM`, with a gradient: the same function of the same weights, to rounding. The layers,
their weights and what is saved of them stay Keras's own. With one thread and batches of 100 a training step of `lstm`
on Reuters is 1.47, 1.23 and 1.10 times as fast with 20, 100 and 200 units (88 -> 72 ms with 100), one of `conv_lstm` on
IMDB 1.05 to 1.07 times (53 -> 49 ms); medians of five, in turn. With two threads it would take 1.34 and 1.20 times as
long as Keras's own (`python -m tests.benchmarks.steps`), so it is for processes with one, as workers are by default.
"""

from __future__ import annotations

import os
from typing import Any

import tensorflow as tf
from keras.activations import sigmoid, tanh
from keras.src import backend

_keras_lstm = backend.lstm  # raises NotImplementedError where it has no fused one


def install() -> None:
    """Have Keras use it, from the next model on, in this process, if TensorFlow was told to use one thread."""
    if os.environ.get("TF_NUM_INTRAOP_THREADS") == "1":
        backend.lstm = lstm


def lstm(
    inputs: tf.Tensor,  # (batch, time, features)
    initial_state_h: tf.Tensor,  # (batch, units)
    initial_state_c: tf.Tensor,  # (batch, units)
    mask: tf.Tensor | None,
    *,
    kernel: Any,  # (features, 4 * units), gates in the order i, f, c, o
    recurrent_kernel: Any,  # (units, 4 * units)
    bias: Any,  # (4 * units,)
    **how: Any,
) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
    """The last output, the outputs (or the last one alone) and the states, in the shapes that Keras expects."""
    usual = (how["activation"], how["recurrent_activation"]) == (tanh, sigmoid) and bias is not None and mask is None
    if not usual or how["go_backwards"] or how["unroll"] or tf.config.list_logical_devices("GPU"):
        weights = {"kernel": kernel, "recurrent_kernel": recurrent_kernel, "bias": bias}
        return _keras_lstm(inputs, initial_state_h, initial_state_c, mask, **weights, **how)  # type: ignore[no-any-return]
    no_peephole = tf.zeros(initial_state_c.shape[-1])
    steps = tf.transpose(inputs, (1, 0, 2))
    # Not BlockLSTMV2, which has Keras's order of gates: TensorFlow 2.21 registers the gradient of the first for it.
    result = tf.raw_ops.BlockLSTM(
        seq_len_max=tf.shape(steps, out_type=tf.int64)[0],
        x=steps,
        cs_prev=initial_state_c,
        h_prev=initial_state_h,
        w=_in_its_order(tf.concat([kernel, recurrent_kernel], axis=0)),
        b=_in_its_order(tf.convert_to_tensor(bias)),
        wci=no_peephole,
        wcf=no_peephole,
        wco=no_peephole,
        forget_bias=0.0,  # Keras's bias holds it
        cell_clip=-1.0,  # off
    )
    last = result.h[-1]
    outputs = tf.transpose(result.h, (1, 0, 2)) if how["return_sequences"] else last[:, None]
    return last, outputs, [last, result.cs[-1]]


def _in_its_order(gates: tf.Tensor) -> tf.Tensor:
    """Keras's i, f, c, o (in the last axis) as i, c, f, o."""
    i, f, c, o = tf.split(gates, 4, axis=-1)
    return tf.concat([i, c, f, o], axis=-1)
