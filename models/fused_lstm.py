"""Keras's LSTM on a processor as one TensorFlow operation, instead of a loop of a dozen operations a word.

Keras asks its backend for a fused LSTM first (`backend.lstm`), and gets one for GPUs only (cuDNN). TensorFlow has one
for processors too, `BlockLSTM`, with a gradient: the same function of the same weights, up to rounding. The layers,
their weights and whatever is saved of them stay Keras's own. With one thread and batches of 100 a training step of
`lstm` on Reuters is 1.47, 1.23 and 1.10 times as fast with 20, 100 and 200 units (88 -> 72 ms with 100), one of
`conv_lstm` on IMDB 1.05 to 1.07 times (53 -> 49 ms); medians of five, in turn (2026-11-25). With two threads it would
take 1.34 and 1.20 times as long as Keras's own (`python -m tests.benchmarks.steps`), so it is for processes with one
thread, as workers are by default.
"""

from __future__ import annotations

import os
from typing import Any

import tensorflow as tf
from keras.activations import sigmoid, tanh
from keras.src import backend

keras_lstm = backend.lstm  # raises NotImplementedError where Keras has no fused LSTM


def install() -> None:
    """Make Keras use this LSTM in this process, from the next model on, if TensorFlow is configured for one thread."""
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
    **options: Any,
) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
    """Return the last output, all outputs (or only the last one) and the states, in the shapes that Keras expects."""
    activations = (options["activation"], options["recurrent_activation"])
    usual = activations == (tanh, sigmoid) and bias is not None and mask is None
    if not usual or options["go_backwards"] or options["unroll"] or tf.config.list_logical_devices("GPU"):
        options |= {"kernel": kernel, "recurrent_kernel": recurrent_kernel, "bias": bias}
        return keras_lstm(inputs, initial_state_h, initial_state_c, mask, **options)  # type: ignore[no-any-return]
    no_peephole = tf.zeros(initial_state_c.shape[-1])
    steps = tf.transpose(inputs, (1, 0, 2))
    # BlockLSTMV2 would have Keras's order of gates, but TensorFlow 2.21 registers for it the gradient of BlockLSTM.
    result = tf.raw_ops.BlockLSTM(
        seq_len_max=tf.shape(steps, out_type=tf.int64)[0],
        x=steps,
        cs_prev=initial_state_c,
        h_prev=initial_state_h,
        w=_reordered(tf.concat([kernel, recurrent_kernel], axis=0)),
        b=_reordered(tf.convert_to_tensor(bias)),
        wci=no_peephole,
        wcf=no_peephole,
        wco=no_peephole,
        forget_bias=0.0,  # Keras's bias contains it
        cell_clip=-1.0,  # off
    )
    last = result.h[-1]
    outputs = tf.transpose(result.h, (1, 0, 2)) if options["return_sequences"] else last[:, None]
    return last, outputs, [last, result.cs[-1]]


def _reordered(gates: tf.Tensor) -> tf.Tensor:
    """Put Keras's gates i, f, c, o (in the last axis) into BlockLSTM's order i, c, f, o."""
    i, f, c, o = tf.split(gates, 4, axis=-1)
    return tf.concat([i, c, f, o], axis=-1)
