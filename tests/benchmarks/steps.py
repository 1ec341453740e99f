"""The time of a training step, and the time that its matrix products alone would take on this processor.

    python -m tests.benchmarks.steps model=lstm data=reuters [threads=1,2] [repetitions=3] [key=value …]

The model is the baseline's, on random words of the dataset's shape. Each number of threads is a process of its own, in
turn; in each, the LSTM of `models.fused_lstm`, which is used with one thread, and Keras's own, which is used with more,
take turns. No program of these layers can be faster than the limit: the products of its dense, convolutional and
recurrent layers (forward, for the gradient of their inputs and for the gradient of their weights), at the rate that
large products reach in the same process.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conf.schema import Config
from sweeps.session.checks import check
from sweeps.trials.dask_engine.worker import THREADS
from tests.benchmarks import commands

if TYPE_CHECKING:
    import keras

STEPS, TURNS = 40, 3  # of each measurement
SIDE = 2000  # of the matrices that measure the processor's rate


def main() -> None:
    options = dict(argument.partition("=")[::2] for argument in sys.argv[1:])
    threads = options.pop("threads", "1,2").split(",")
    repetitions = int(options.pop("repetitions", "3"))
    arguments = [f"{key}={value}" for key, value in options.items()]
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
    for number, runs in measured.items():
        rate, fused, keras, limit = (statistics.median(run[name] for run in runs) for name in runs[0])
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
    measured: dict[str, float] = json.loads(ended.printed.splitlines()[-1])
    return measured


def measure(config: Config) -> dict[str, float]:
    """Return the processor's rate (GFLOP/s), then milliseconds a step: with the fused LSTM, Keras's own, the limit."""
    from keras.src import backend

    from models import fused_lstm
    from sweeps.trials import evaluation

    steps: dict[str, Callable[[], Any]] = {}
    for name, lstm in (("fused", fused_lstm.lstm), ("keras", fused_lstm.keras_lstm)):
        backend.lstm = lstm
        model, batches = _model(config), evaluation.batches(_words(config, STEPS), config.batch_size)
        model.compile(config.optimizer.name, "sparse_categorical_crossentropy", metrics=["accuracy"])
        steps[name] = lambda model=model, batches=batches: model.fit(batches, shuffle=False, verbose=0)
        steps[name]()  # traces it
    rate = _rate()
    turns = [{name: _milliseconds(fit) / STEPS for name, fit in steps.items()} for _ in range(TURNS)]
    medians = {name: statistics.median(turn[name] for turn in turns) for name in steps}
    return {"rate": rate, **medians, "limit": products(_model(config), config.batch_size) / rate / 1e6}


def products(model: keras.Model, batch_size: int) -> float:
    """Return the floating-point operations of a training step's matrix products; an embedding has none."""
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
    return commands.network(config, check(config)[next(iter(config.datasets))].defaults())


def _words(config: Config, steps: int) -> Any:
    import numpy as np

    from sweeps.trials.spec import Split

    (data,) = config.datasets.values()
    random, n = np.random.default_rng(1), steps * config.batch_size
    return Split(
        random.integers(1, data.num_words, (n, data.maxlen), dtype=np.int32), random.integers(data.num_classes, size=n)
    )


def _rate() -> float:
    """Return the GFLOP/s of a large product."""
    import tensorflow as tf

    a = tf.random.normal((SIDE, SIDE))
    return 2 * SIDE**3 / min(_milliseconds(lambda: tf.matmul(a, a).numpy()) for _ in range(5)) / 1e6


def _milliseconds(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1e3


if __name__ == "__main__":
    main()
