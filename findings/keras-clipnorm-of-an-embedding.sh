#!/usr/bin/env bash
# Keras 3.15.1 with TensorFlow 2.21.0: clipping by norm lets the gradient of an embedding exceed the limit.
#
# One expects that with `global_clipnorm=0.5` (or `clipnorm=0.5`) no step has a gradient longer than 0.5. With SGD and a
# learning rate of 1 a step's change of the weights is the gradient. But the gradient of an Embedding comes as slices, one
# for each place of a text, and the norm is taken of these before the slices of a repeated word are added: a word that
# stands k times with equal slices has a norm k times theirs, measured as sqrt(k) times. So a text of one word repeated
# 16 times is changed by four times the limit, without a warning; with 16 different words the limit holds, and so does it
# after tf.convert_to_tensor of the gradients.
#
# Seen 2026-11-30, limit 0.5: repeated word 2.000 with global_clipnorm and with clipnorm; different words 0.500 and 0.500.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check keras==3.15.1 tensorflow-cpu==2.21.0 2>"$folder/pip.log" ||
    { cat "$folder/pip.log" >&2; exit 2; }
cat >"$folder/clip.py" <<'PYTHON'
import sys

import keras
import numpy as np

LIMIT, WORDS = 0.5, 16


def change(words, **limit):
    """Return the norm of the change of an embedding's vectors in one step of gradient descent."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.layers.Input((WORDS,), dtype="int32"), keras.layers.Embedding(50, 4)])
    model.compile(keras.optimizers.SGD(1.0, **limit), lambda target, x: -keras.ops.sum(x, axis=(1, 2)))
    before = model.layers[0].get_weights()[0]
    model.train_on_batch(np.array([words]), np.zeros((1, 1)))
    return float(np.linalg.norm(model.layers[0].get_weights()[0] - before))


repeated, different = [7] * WORDS, range(1, WORDS + 1)
seen = {
    (name, kind): change(words, **{name: LIMIT})
    for name in ("global_clipnorm", "clipnorm")
    for kind, words in (("repeated word", repeated), ("different words", different))
}
print(f"keras {keras.__version__} on {keras.backend.backend()}, a limit of {LIMIT}, a text of {WORDS} words")
for (name, kind), norm in seen.items():
    print(f"{name} of {kind}: the step has the norm {norm:.3f}")
as_before = [round(norm, 3) for norm in seen.values()] == [2.0, 0.5, 2.0, 0.5]
sys.exit(0 if as_before else "the behaviour has changed")
PYTHON
TF_CPP_MIN_LOG_LEVEL=3 KERAS_BACKEND=tensorflow "$folder/venv/bin/python" "$folder/clip.py" 2>"$folder/log" || {
    tail -n 3 "$folder/log" >&2
    exit 1
}
