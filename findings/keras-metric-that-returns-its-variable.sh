#!/usr/bin/env bash
# Keras 3.15.1 with TensorFlow 2.21.0: a metric that returns its own variable logs the validation's value as the
# training's.
#
# The metric is the usual example of a custom one: it counts in a variable and its result() is `return self.count`. One
# expects fit(validation_data=…) to log the count of the training set as `seen` and that of the validation set as
# `val_seen`. But the logs of the last training step hold the variable itself and are turned into numbers only after the
# validation, which has reset the variable and counted in it. So `seen` is the validation's count, without a warning.
# A metric that returns a tensor (here keras.ops.copy of the same variable) logs the right number, and so does the first
# one when there is no validation.
#
# Seen 2026-11-27: 70 training and 30 validation examples; with validation: variable 30, copy 70; without: 70 and 70.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check keras==3.15.1 tensorflow-cpu==2.21.0 2>"$folder/pip.log" ||
    { cat "$folder/pip.log" >&2; exit 2; }
cat >"$folder/metric.py" <<'PYTHON'
import sys

import keras
import numpy as np


class Seen(keras.metrics.Metric):
    """The number of examples."""

    def __init__(self, name, copied):
        super().__init__(name=name)
        self.copied = copied
        self.count = self.add_variable((), "zeros", name="count")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.count.assign_add(keras.ops.cast(keras.ops.shape(y_true)[0], self.dtype))

    def result(self):
        return keras.ops.copy(self.count) if self.copied else self.count


def fit(**validation):
    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=[Seen("variable", False), Seen("copy", True)])
    history = model.fit(examples[:70], examples[:70], batch_size=10, verbose=0, **validation).history
    return [history[name][0] for name in ("variable", "copy")]


examples = np.zeros((100, 1), "float32")
alone = fit()
validated = fit(validation_data=(examples[70:], examples[70:]))
print(f"keras {keras.__version__} on {keras.backend.backend()}, 70 training and 30 validation examples")
print(f"without validation: variable {alone[0]:.0f}, copy {alone[1]:.0f}")
print(f"with validation:    variable {validated[0]:.0f}, copy {validated[1]:.0f}")
sys.exit(0 if (alone, validated) == ([70, 70], [30, 70]) else "the behaviour has changed")
PYTHON
TF_CPP_MIN_LOG_LEVEL=3 KERAS_BACKEND=tensorflow "$folder/venv/bin/python" "$folder/metric.py" 2>"$folder/log" || {
    tail -n 3 "$folder/log" >&2
    exit 1
}
