"""Specs of tiny trials, and functions that a worker can run in place of a trial. Imports no TensorFlow."""

import gc
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from conf.schema import ConfigError
from pipelines.data import dataset
from sweeps.errors import TrialFailedError
from sweeps.metrics import CURVES
from sweeps.trials.spec import EpochReport, OnEpoch, TrialResult, TrialSpec
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
    "bag": {"embedding_dim": 4, "pairs": 30, "word_dropout": 0.2, "dropout": 0.3},
    "cnn": {
        "embedding_dim": 4,
        "filters": 6,
        "kernel_size": 2,
        "widths": 2,
        "spatial_dropout": 0.2,
        "dropout": 0.3,
    },
    "gru": {"embedding_dim": 4, "gru_units": 5, "spatial_dropout": 0.2, "dropout": 0.3, "pooling": "mean"},
    "bi_lstm": {"embedding_dim": 4, "lstm_units": 5, "spatial_dropout": 0.2, "dropout": 0.3, "pooling": "last"},
    "attention": {
        "embedding_dim": 4,
        "blocks": 2,
        "heads": 2,
        "feed_forward": 8,
        "dropout": 0.3,
        "pooling": "maximum",
    },
}


def spec(model: str = "lstm", *, learning_rate: float = 0.02, **changes: Any) -> TrialSpec:
    base = TrialSpec(
        sweep="s/tiny",
        trial=1,
        attempt=1,
        seed=7,
        build=f"models.{model}.build",
        optimizer="models.optimizers.adam",
        values={**MODELS[model], "learning_rate": learning_rate},
        load="tests.tiny.load",
        data={},
        digest="tiny",
        batch_size=16,
        objective="val/accuracy",
        patience=None,
        test_last_epoch=False,
        initial_epoch=0,
        epochs=3,
    )
    return base._replace(**changes)


def report(spec: TrialSpec, epoch: int = 1) -> EpochReport:
    return EpochReport(spec.sweep, spec.trial, spec.attempt, epoch, dict.fromkeys(CURVES, 0.5))


def environment(spec: TrialSpec, on_epoch: OnEpoch) -> dict[str, str]:
    """The worker's environment, its process, its imported modules and how often its garbage collector runs."""
    on_epoch(report(spec))
    process = {"pid": str(os.getpid()), "loaded": " ".join(sys.modules), "collect after": str(gc.get_threshold()[0])}
    return dict(os.environ) | process


def streams(spec: TrialSpec, on_epoch: OnEpoch) -> tuple[str, int]:
    """Return the place to which native code writes a worker's standard error, and the descriptor of Python's own."""
    return os.readlink("/proc/self/fd/2"), sys.stderr.fileno()


def loading(spec: TrialSpec, on_epoch: OnEpoch) -> tuple[int, str, list[int], str]:
    """The worker's process, and the digest, the test labels and the cache of the data that it loads."""
    time.sleep(0.5)  # so that no worker gets two
    data = dataset.load(**spec.data)
    return os.getpid(), data.digest, data.test.y.tolist(), os.environ["XDG_CACHE_HOME"]


def worker() -> int:
    return os.getpid()


def refuse(message: str) -> None:
    raise ConfigError(message)


def die_on_a_worker(driver: int) -> int:
    if os.getpid() != driver:
        os.kill(os.getpid(), signal.SIGKILL)
    return driver


def slow(spec: TrialSpec, on_epoch: OnEpoch) -> str:
    time.sleep(0.5)
    return str(os.getpid())


def meeting(spec: TrialSpec, on_epoch: OnEpoch) -> str:
    """Wait at most a minute until another process is in the folder, too."""
    folder = Path(str(spec.values["folder"]))
    (folder / f"{os.getpid()}.here").touch()
    until = time.monotonic() + 60
    while len(list(folder.glob("*.here"))) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    return str(os.getpid())


def failing(spec: TrialSpec, on_epoch: OnEpoch) -> None:
    raise TrialFailedError("diverged: train/loss is nan in epoch 1")


def broken(spec: TrialSpec, on_epoch: OnEpoch) -> None:
    raise ZeroDivisionError("a\nb")


class UnsendableError(Exception):
    """An error that pickle cannot make again, as it takes two arguments and keeps one."""

    def __init__(self, words: str, _: object) -> None:
        super().__init__(words)


def endless(spec: TrialSpec, on_epoch: OnEpoch) -> None:
    endless(spec, on_epoch)


def unsendable(spec: TrialSpec, on_epoch: OnEpoch) -> None:
    try:
        raise ValueError("17 words")
    except ValueError as error:
        raise UnsendableError("the pool is too large", threading.Lock()) from error


def dying(spec: TrialSpec, on_epoch: OnEpoch) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def sleeping(spec: TrialSpec, on_epoch: OnEpoch) -> None:
    time.sleep(3600)


def greedy(spec: TrialSpec, on_epoch: OnEpoch) -> None:
    """Take 50 MB more every 50 ms."""
    blocks = []
    while True:
        blocks.append(bytearray(b"x" * 50_000_000))
        time.sleep(0.05)


def until_stopped(spec: TrialSpec, on_epoch: OnEpoch) -> tuple[int, str]:
    """Run epochs of 50 ms; return the last one and the reason to end."""
    epoch = 0
    while True:
        epoch += 1
        time.sleep(0.05)
        if reason := on_epoch(report(spec, epoch)):
            return epoch, reason


def one_of_each(spec: TrialSpec, on_epoch: OnEpoch) -> TrialResult:
    """Fail in a different way in each of the first trials, and succeed in the others."""
    ways = {1: diverging, 2: broken, 3: dying, 4: greedy, 5: sleeping}
    if spec.trial in ways:
        ways[spec.trial](spec, on_epoch)
    return learn(spec, on_epoch)


def diverging(spec: TrialSpec, on_epoch: OnEpoch) -> None:
    on_epoch(report(spec))
    raise TrialFailedError("diverged: train/loss is nan in epoch 2")


def frozen(spec: TrialSpec, on_epoch: OnEpoch) -> tuple[int, int]:
    """The worker's process, and the number of objects that its garbage collector leaves alone."""
    return os.getpid(), gc.get_freeze_count()


def warm_up() -> None:
    """Mark the worker's process as warmed up."""
    os.environ["WARMED_UP"] = str(os.getpid())


def set_environment(variables: dict[str, str]) -> None:
    """Change the environment of a worker's process."""
    os.environ.update(variables)
