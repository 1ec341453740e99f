"""The immutable values that pass between driver, engine and workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Value = int | float | str | bool
Values = Mapping[str, Value]  # hyperparameter -> value
Curves = Mapping[str, list[float]]  # one of CURVES -> one value per epoch


CURVES = ("train/loss", "train/accuracy", "val/loss", "val/accuracy")


class Split(NamedTuple):
    x: NDArray[np.int32]  # (n, maxlen) word ids, padded with 0 on the left
    y: NDArray[np.int64]  # (n,) labels


class Dataset(NamedTuple):
    """An encoded corpus. `digest` names its exact content; `source` is `archive` or `standin`."""

    train: Split
    validation: Split
    test: Split
    num_words: int
    maxlen: int
    num_classes: int
    digest: str
    source: str


class Proposal(NamedTuple):
    """A trial to run until `epochs`; from `initial_epoch` on if it ran before and was promoted."""

    trial: int
    values: dict[str, Value]
    initial_epoch: int
    epochs: int


class Checkpoint(NamedTuple):
    """What a trial needs to go on exactly where it stopped, and what its best epoch left."""

    variables: list[Any]  # the model's arrays after the last epoch, dropout's random state included
    optimizer: list[Any]  # the optimizer's arrays after the last epoch
    best_weights: list[Any]  # the model's weights after the best epoch
    curves: Curves  # of all epochs so far


class TrialSpec(NamedTuple):
    """Everything a worker needs to run epochs `initial_epoch` + 1 … `epochs` of a trial."""

    sweep: str
    trial: int
    attempt: int
    seed: int
    build: str
    model_values: Values
    optimizer: str
    optimizer_values: Values
    load: str
    data: Mapping[str, Any]
    digest: str
    batch_size: int
    objective: str
    patience: int | None
    test_last_epoch: bool  # instead of the best one: where the val/ metrics are the test set's, they must not choose
    initial_epoch: int
    epochs: int
    bar: tuple[float | None, ...] = ()  # see `sweeps.stopping.Bar`
    checkpoint: Checkpoint | None = None
    final: bool = False  # train on train and validation together: nothing is held out, nothing chosen
    origin: int | None = None  # of a confirmation: the sweep's trial whose configuration this is


class EpochReport(NamedTuple):
    """A worker's message after each epoch."""

    sweep: str
    trial: int
    attempt: int
    epoch: int  # 1, 2, …
    metrics: Mapping[str, float]


# What a trial calls after every epoch; the answer is why it should end now, or None.
Report = Callable[[EpochReport], str | None]


class Cost(NamedTuple):
    """Of the epochs of this spec alone."""

    seconds: float
    epochs: int
    parameters: int
    peak_rss_mb: float


class Predictions(NamedTuple):
    """On the test set: both (n,), of the smallest unsigned integers that hold every label."""

    predicted: NDArray[Any]
    labels: NDArray[Any]


class TrialResult(NamedTuple):
    """What a trial came to: curves over all its epochs, test metrics with the best epoch's weights."""

    curves: Curves
    objective: float
    best_epoch: int
    test: Mapping[str, float]
    cost: Cost
    reason: str  # finished | patience | stopped | what a report was answered
    checkpoint: Checkpoint
    predictions: Predictions | None = None  # of a `final` spec


class SweepError(Exception):
    """What ends a sweep though nobody asked for anything wrong; the message is one line."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class TrialFailedError(Exception):
    """The trial itself is at fault and would fail again; the message is its `reason`."""


class Timing(NamedTuple):
    """What an epoch of a spec would cost here."""

    parameters: int
    seconds_per_epoch: float
