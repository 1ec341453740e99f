#!/usr/bin/env bash
# Keras Tuner 1.4.8: of two conditional hyperparameters of one name, one loses its value and the other is drawn anew.
#
# Two hyperparameters may have one name under different conditions, `dim` of a bag and `dim` of a cnn: both are taken
# without a word, as its conditional scopes are made for the choice among models. But `ensure_active_values`, which every
# new trial goes through, removes each inactive one by its name, and so the value of the active one with it: a bag has no
# `dim` at all, and a cnn's is drawn once more, without the seed. So a search with seed=1 proposes other trials each time.
# With names that differ (`bag.dim`, `cnn.dim`) every trial has its value, and the same seed gives the same trials.
#
# Seen 2026-11-30, 40 trials of a random search with seed=1, twice: with one name 0 of 27 bags had a `dim`, and the two
# searches differed; with two names all had one, and the two were equal.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check keras-tuner==1.4.8 keras==3.15.1 tensorflow-cpu==2.21.0 \
    2>"$folder/pip.log" || { cat "$folder/pip.log" >&2; exit 2; }
cat >"$folder/names.py" <<'PYTHON'
import sys
import tempfile

import keras_tuner

TRIALS = 40


def search(names):
    """Return the values of the trials of a random search with the seed 1."""
    hps = keras_tuner.HyperParameters()
    hps.Choice("model", list(names))
    for first, (model, name) in enumerate(names.items()):
        hps.Int(name, 1000 * first, 1000 * first + 999, parent_name="model", parent_values=[model])
    oracle = keras_tuner.oracles.RandomSearchOracle(
        objective=keras_tuner.Objective("score", "max"), max_trials=TRIALS, hyperparameters=hps, seed=1,
        tune_new_entries=False, allow_new_entries=False,
    )  # fmt: skip
    oracle.verbose = 0
    oracle._set_project_dir(tempfile.mkdtemp(), "search")
    return [oracle.create_trial(str(slot)).hyperparameters.values for slot in range(TRIALS)]


outcomes = {}
print(f"keras-tuner {keras_tuner.__version__}, {TRIALS} trials with the seed 1")
for case, names in (("one name", {"bag": "dim", "cnn": "dim"}), ("two names", {"bag": "bag.dim", "cnn": "cnn.dim"})):
    once, again = search(names), search(names)
    bags = [values for values in once if values["model"] == "bag"]
    complete = sum(names["bag"] in values for values in bags)
    outcomes[case] = (complete == 0, complete == len(bags), once == again)
    print(f"{case}: {complete} of {len(bags)} bags have a dim; the search made twice is {'equal' if once == again else 'not equal'}")
as_before = outcomes == {"one name": (True, False, False), "two names": (False, True, True)}
sys.exit(0 if as_before else "the behaviour has changed")
PYTHON
TF_CPP_MIN_LOG_LEVEL=3 KERAS_BACKEND=tensorflow "$folder/venv/bin/python" "$folder/names.py" 2>"$folder/log" || {
    tail -n 3 "$folder/log" >&2
    exit 1
}
