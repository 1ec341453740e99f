"""The immutable values that pass between driver, engine and workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from conf.schema import Values
from sweeps.audit import Audit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BEGINNING = 1  # the id with which each document begins where they are whole, one after the other; no word has it

Curves = Mapping[str, list[float]]  # one of `sweeps.metrics.CURVES` -> one value for each epoch


class Split(NamedTuple):
    """One part of a dataset."""

    x: NDArray[np.int32]  # (n, maxlen) word ids, padded with 0 on the left; of whole texts (tokens,), see `BEGINNING`
    y: NDArray[np.int64]  # (n,) labels


class Dataset(NamedTuple):
    """An encoded corpus."""

    train: Split
    validation: Split
    test: Split
    num_words: int
    maxlen: int
    num_classes: int
    digest: str  # identifies the exact content of the arrays
    source: str  # archive (real documents) | standin (generated ones)
    audit: Audit | None = None


class Serving(NamedTuple):
    """Everything that a network needs beside it to answer raw texts by name."""

    encoder: Mapping[str, Any]  # the settings of `sweeps.text_encoder.TextEncoder`
    vocabulary: bytes  # its vocabulary
    labels: Sequence[str]  # a name for each class
    test_texts: Callable[[Dataset], list[str]]  # returns texts that the encoder turns into the test split's documents


class Checkpoint(NamedTuple):
    """The state with which a trial can go on exactly where it stopped, and the weights of its best epoch."""

    variables: list[Any]  # the model's arrays after the last epoch, dropout's random state included
    optimizer: list[Any]  # the optimizer's arrays after the last epoch
    best_weights: list[Any]  # the model's weights after the best epoch
    curves: Curves  # of all epochs so far


class TrialSpec(NamedTuple):
    """Everything that a worker needs to run the epochs `initial_epoch` + 1 … `epochs` of a trial."""

    sweep: str
    trial: int
    attempt: int
    seed: int
    build: str  # the dotted name of the model's builder
    optimizer: str  # the dotted name of the optimizer's builder
    values: Values  # the hyperparameters of both
    load: str  # the dotted name of a function that returns the `Dataset`
    data: Mapping[str, Any]  # the keyword arguments of `load`
    digest: str  # of the data; a worker whose data have another digest refuses the trial
    batch_size: int
    objective: str
    patience: int | None
    test_last_epoch: bool  # instead of the best one: where val/ metrics are the test set's, they must not choose
    initial_epoch: int
    epochs: int
    bar: tuple[float | None, ...] = ()  # see `sweeps.trials.early_stopping.Bar`
    checkpoint: Checkpoint | None = None
    final: bool = False  # train on train and validation together; nothing is held out and nothing is chosen
    origin: int | None = None  # of a confirmation: the sweep's trial whose configuration this is
    shuffled: bool = False  # train and test on the same documents with the words of each in a random order
    class_weight: str = "none"  # none | balanced; metrics count every document alike in any case
    label_smoothing: float = 0.0  # share of the labels in the minimised loss that is divided among all classes
    most_epochs: int = 0  # that any trial of the search may have, along which learning rates are scheduled; 0: `epochs`
    cache: str = ""  # the dotted name of a module that keeps data by their digest, and fetches them; none if empty
    reference: bool = False  # no trial, but the data's references: `sweeps.trials.references`


class EpochReport(NamedTuple):
    """A worker's message after each epoch."""

    sweep: str
    trial: int
    attempt: int
    epoch: int  # 1, 2, …
    metrics: Mapping[str, float]


class StepReport(NamedTuple):
    """A worker's message from within an epoch."""

    sweep: str
    trial: int
    attempt: int
    epoch: int  # the one that runs: 1, 2, …
    done: int  # steps of its training
    steps: int  # that it has


# A trial calls this after every epoch. The answer is the reason why the trial should end now, or None.
OnEpoch = Callable[[EpochReport], str | None]


class Cost(NamedTuple):
    """The cost of the epochs of one spec."""

    seconds: float
    epochs: int
    parameters: int
    peak_rss_mb: float
    predict_seconds: float  # for 1,000 texts of the test, once the network is traced
    model_megabytes: float  # of its weights and, for a batch of predictions, the outputs of its layers


class Predictions(NamedTuple):
    """Predicted and true labels of the test set, both (n,), in the smallest unsigned integers that hold every label."""

    predicted: NDArray[Any]
    labels: NDArray[Any]


class TrialResult(NamedTuple):
    """The outcome of a trial: curves over all its epochs, test metrics with the best epoch's weights."""

    curves: Curves
    objective: float
    best_epoch: int
    test: Mapping[str, float]
    cost: Cost
    reason: str  # finished | patience | stopped | the answer of `OnEpoch`
    checkpoint: Checkpoint
    predictions: Predictions | None = None  # of a `final` spec
    confusion: Sequence[Sequence[int]] = ()  # of the test set: (label, answer, count), without empty cells


class Reference(NamedTuple):
    """A linear model that was trained and tested on the data of a spec; one that failed has no scores."""

    name: str  # one of `sweeps.trials.references.NAMES`, or `WHOLE` there
    penalty: float = 0.0  # C, which validation chose
    scores: Mapping[str, float] | None = None  # of validation, if it chose, and of the test
    seconds: float = 0.0  # of counting, training, choosing and testing
    documents: int = 0  # of train that it learned from
    predictions: Predictions | None = None
    final: Mapping[str, float] | None = None  # test scores when trained on train and validation; of the best one
    final_predictions: Predictions | None = None
    failure: str = ""  # the reason


class Timing(NamedTuple):
    """The measured cost of one epoch of a spec, and of what a trial does but once: build, trace and test its model."""

    parameters: int
    seconds_per_epoch: float
    seconds_besides: float
