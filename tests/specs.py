"""Specs of tiny trials, and functions that a worker can run in a trial's place. Imports no TensorFlow."""

import gc
import os
import signal
import sys
import time
from typing import Any

from sweeps.errors import TrialFailedError
from sweeps.metrics import CURVES
from sweeps.trials.spec import EpochReport, Report, TrialResult, TrialSpec
from tests.fakes import learn

MODELS = {
    "lstm": {"embedding_dim": 4, "lstm_units": 5, "dropout": 0.3},
    "conv_lstm": {
        "embedding_dim": 4,
        "conv_filters": 6,
        "kernel_size": 3,
        "pool_size": 2,
        "lstm_units": 5,
        "dropout": 0.3,
    },
}


def spec(model: str = "lstm", **changes: Any) -> TrialSpec:
    base = TrialSpec(
        sweep="s/tiny",
        trial=1,
        attempt=1,
        seed=7,
        build=f"models.{model}.build",
        model_values=MODELS[model],
        optimizer="models.optimizers.adam",
        optimizer_values={"learning_rate": 0.02},
        load="tests.unit.trials.test_training.tiny",
        data={"validation": 0.2},
        digest="tiny",
        batch_size=16,
        objective="val/accuracy",
        patience=None,
        test_last_epoch=False,
        initial_epoch=0,
        epochs=3,
    )
    return base._replace(**changes)


def environment(spec: TrialSpec, report: Report) -> dict[str, str]:
    report(EpochReport(spec.sweep, spec.trial, spec.attempt, 1, {"val/accuracy": 0.5}))
    return dict(os.environ) | {"pid": str(os.getpid()), "loaded": " ".join(sys.modules)}


def slow(spec: TrialSpec, report: Report) -> str:
    time.sleep(0.5)
    return str(os.getpid())


def failing(spec: TrialSpec, report: Report) -> None:
    raise TrialFailedError("diverged: train/loss is nan in epoch 1")


def broken(spec: TrialSpec, report: Report) -> None:
    raise ZeroDivisionError("a\nb")


def dying(spec: TrialSpec, report: Report) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def sleeping(spec: TrialSpec, report: Report) -> None:
    time.sleep(3600)


def greedy(spec: TrialSpec, report: Report) -> None:
    """Takes 50 MB more every 50 ms."""
    taken = []
    while True:
        taken.append(bytearray(b"x" * 50_000_000))
        time.sleep(0.05)


def until_stopped(spec: TrialSpec, report: Report) -> tuple[int, str]:
    """Epochs of 50 ms; which one was the last, and why."""
    epoch = 0
    while True:
        epoch += 1
        time.sleep(0.05)
        if reason := report(EpochReport(spec.sweep, spec.trial, spec.attempt, epoch, {"val/accuracy": 0.5})):
            return epoch, reason


def one_of_each(spec: TrialSpec, report: Report) -> TrialResult:
    """A trial for each way to fail, and others that do not."""
    ways = {1: diverging, 2: broken, 3: dying, 4: greedy, 5: sleeping}
    if spec.trial in ways:
        ways[spec.trial](spec, report)
    return learn(spec, report)


def diverging(spec: TrialSpec, report: Report) -> None:
    report(EpochReport(spec.sweep, spec.trial, spec.attempt, 1, dict.fromkeys(CURVES, 0.5)))
    raise TrialFailedError("diverged: train/loss is nan in epoch 2")


def frozen(spec: TrialSpec, report: Report) -> tuple[int, int]:
    """The worker, and how many objects its garbage collector leaves alone."""
    return os.getpid(), gc.get_freeze_count()
