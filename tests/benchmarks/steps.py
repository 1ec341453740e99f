"""How long a training step takes, and how long its matrix products alone would take this processor.

    python -m tests.benchmarks.steps model=lstm data=reuters [threads=1,2] [repetitions=3] [key=value …]

The model is the baseline's, on random words of the dataset's shape. Each number of threads is a process of its own, in
turn; in each the LSTM of `models.fused_lstm`, which one thread gets, and Keras's own, which more get, take turns. The limit
is what no program of these layers can be faster than: the products of its dense, convolutional and recurrent layers,
forward, for the gradient of their inputs and for that of their weights, at the rate that large products reach in the
same process.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conf.schema import Config
from pipelines.sweep import check
from sweeps.trials.dask_engine import THREADS
from tests.benchmarks import commands

if TYPE_CHECKING:
    import keras

STEPS, TURNS = 40, 3  # of each measurement
SIDE = 2000  # of the matrices that tell the processor's rate


def main() -> None:
    given = dict(argument.partition("=")[::2] for argument in sys.argv[1:])
    threads = given.pop("threads", "1,2").split(",")
    repetitions = int(given.pop("repetitions", "3"))
    arguments = [f"{key}={value}" for key, value in given.items()]
    if not set(THREADS) <= os.environ.keys():
        compare(threads, repetitions, arguments)
        return
    print(json.dumps(measure(commands.job_of(arguments).config)))


def compare(threads: list[str], repetitions: int, arguments: list[str]) -> None:
    measured: dict[str, list[dict[str, float]]] = {number: [] for number in threads}
    for _ in range(repetitions):
        for number in threads:
            measured[number].append(_in_a_process(number, arguments))
    steps = {}
    for number, found in measured.items():
        rate, fused, keras, limit = (statistics.median(one[name] for one in found) for name in found[0])
        steps[number] = fused if number == "1" else keras
        print(
            f"threads={number}: ms a step {fused:.1f} with the fused LSTM, {keras:.1f} with Keras's own; "
            f"at least {limit:.1f} at {rate:.0f} GFLOP/s: {limit / steps[number]:.0%} of the limit"
        )
    one, most = threads[0], threads[-1]
    gain = int(most) * steps[most] / int(one) / steps[one]
    print(f"the cores of threads={most} as workers of threads={one}: {gain:.2f} times the steps")


def _in_a_process(threads: str, arguments: list[str]) -> dict[str, float]:
    variables = {**dict.fromkeys(THREADS, threads), "TF_CPP_MIN_LOG_LEVEL": "3"}
    ended = commands.run(Path.cwd(), "tests.benchmarks.steps", *arguments, variables=variables)
    found: dict[str, float] = json.loads(ended.printed.splitlines()[-1])
    return found


def measure(config: Config) -> dict[str, float]:
    """The processor's rate (GFLOP/s), then milliseconds a step: with the fused LSTM, with Keras's, and the limit."""
    from keras.src import backend

    from models import fused_lstm
    from sweeps.trials import training

    steps: dict[str, Callable[[], Any]] = {}
    for name, lstm in (("fused", fused_lstm.lstm), ("keras", fused_lstm._keras_lstm)):
        backend.lstm = lstm
        model, batches = _model(config), training.batches(_words(config, STEPS), config.batch_size)
        model.compile(config.optimizer.name, "sparse_categorical_crossentropy", metrics=["accuracy"])
        steps[name] = lambda model=model, batches=batches: model.fit(batches, shuffle=False, verbose=0)
        steps[name]()  # traces it
    rate = _rate()
    turns = [{name: _milliseconds(fit) / STEPS for name, fit in steps.items()} for _ in range(TURNS)]
    taken = {name: statistics.median(turn[name] for turn in turns) for name in steps}
    return {"rate": rate, **taken, "limit": products(_model(config), config.batch_size) / rate / 1e6}


def products(model: keras.Model, batch_size: int) -> float:
    """Floating-point operations of a training step's matrix products; of an embedding there are none."""
    import keras

    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.LSTM):
            weights, times = [layer.cell.kernel, layer.cell.recurrent_kernel], layer.input.shape[1]
        elif isinstance(layer, keras.layers.Conv1D):
            weights, times = [layer.kernel], layer.output.shape[1]
        elif isinstance(layer, keras.layers.Dense):
            weights, times = [layer.kernel], 1
        else:
            continue
        total += 3 * 2 * sum(math.prod(kernel.shape) for kernel in weights) * times * batch_size
    return total


def _model(config: Config) -> keras.Model:
    (data,) = config.datasets.values()
    searched = check(config)
    values, _ = searched.split(searched.defaults())
    module, _, function = config.model.build.rpartition(".")
    shape = {"num_words": data.num_words, "maxlen": data.maxlen, "num_classes": data.num_classes}
    model: keras.Model = getattr(import_module(module), function)(**shape, **values)
    return model


def _words(config: Config, steps: int) -> Any:
    import numpy as np

    from sweeps.trials.spec import Split

    (data,) = config.datasets.values()
    random, n = np.random.default_rng(1), steps * config.batch_size
    return Split(
        random.integers(1, data.num_words, (n, data.maxlen), dtype=np.int32), random.integers(data.num_classes, size=n)
    )


def _rate() -> float:
    """GFLOP/s of a large product."""
    import tensorflow as tf

    a = tf.random.normal((SIDE, SIDE))
    return 2 * SIDE**3 / min(_milliseconds(lambda: tf.matmul(a, a).numpy()) for _ in range(5)) / 1e6


def _milliseconds(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1e3


if __name__ == "__main__":
    main()
