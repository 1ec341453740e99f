"""Every metric of a trial, in one table: a new row is computed, logged, drawn and offered as an objective.

A metric's full name is `<part>/<name>`, e.g. `val/accuracy`; the parts of the data are `train`, `val` and `test`. The
metrics of `train` and `val` have a value for each epoch (a curve), those of `test` one value, after the chosen epoch.
Beside these, `calibrated/loss` and `calibrated/calibration_error` are those of the test when the probabilities are
scaled by `calibrated/temperature`, which validation chose.

Every command reads this table; NumPy is imported only where something is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Answers(NamedTuple):
    """The non-empty cells of a confusion matrix: how often each true label was answered with each label."""

    labels: NDArray[Any]  # (cells,) true label
    predicted: NDArray[Any]  # (cells,) the label that was answered
    counts: NDArray[Any]  # (cells,) how often

    @classmethod
    def of(cls, cells: Sequence[Sequence[int]]) -> Answers:
        """Return the answers of cells (label, answer, count), as a journal has them."""
        import numpy as np

        return cls(*np.asarray(cells, dtype=np.int64).reshape(-1, 3).T)

    def cells(self) -> list[list[int]]:
        """Return a (label, answer, count) for each cell, as a journal has them."""
        import numpy as np

        cells: list[list[int]] = np.stack(self, axis=1).tolist()
        return cells


class Metric(NamedTuple):
    """One row of the table."""

    name: str
    unit: str  # of a figure's axis
    direction: str  # max | min
    parts: tuple[str, ...]  # what it is computed on: train, val, test
    shown_in: tuple[str, ...]  # whose tables of trials have a column for its test value: terminal, report
    compute: Callable[[Answers], float] | None  # None: Keras computes it, as it needs the probabilities

    @property
    def title(self) -> str:
        """The name in words."""
        return self.name.replace("_", " ").replace("f1", "F1")


def _accuracy(answers: Answers) -> float:
    return float(answers.counts[answers.labels == answers.predicted].sum() / answers.counts.sum())


def _macro_f1(answers: Answers) -> float:
    right, true, answered = _of_labels(answers)
    return float((2 * right / (true + answered)).mean())


def _balanced_accuracy(answers: Answers) -> float:
    right, true, _ = _of_labels(answers)
    present = true > 0  # a class without a true example has no recall
    return float((right[present] / true[present]).mean())


def _of_labels(answers: Answers) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return how often each label, of those that were true or answered, was both, was true and was answered.

    Computed here, because scikit-learn takes a second to be imported, on each worker: its results to the last bit.
    """
    import numpy as np

    labels, places = np.unique(np.concatenate([answers.labels, answers.predicted]), return_inverse=True)
    true, answered = np.split(places, 2)
    right = np.where(true == answered, answers.counts, 0)
    n = len(labels)
    return np.bincount(true, right, n), np.bincount(true, answers.counts, n), np.bincount(answered, answers.counts, n)


EVERYWHERE = ("train", "val", "test")
METRICS = (
    Metric("loss", "cross-entropy, nats", "min", EVERYWHERE, (), None),
    Metric("accuracy", "share correct", "max", EVERYWHERE, ("terminal", "report"), _accuracy),
    Metric("macro_f1", "mean F1 of the classes", "max", EVERYWHERE, ("terminal", "report"), _macro_f1),
    Metric("balanced_accuracy", "mean recall of the classes", "max", ("test",), ("report",), _balanced_accuracy),
    Metric("calibration_error", "mean distance of confidence and accuracy", "min", ("test",), (), None),
)

CURVES = tuple(f"{part}/{metric.name}" for part in ("train", "val") for metric in METRICS if part in metric.parts)
OBJECTIVES = tuple(name for name in CURVES if name.startswith("val/"))


def row(metric: str) -> Metric:
    """Return the row of a metric's full name; raises `ValueError` for a name that is not in the table."""
    name = metric.rpartition("/")[2]
    for candidate in METRICS:
        if candidate.name == name:
            return candidate
    raise ValueError(f"{metric}: no such metric; there are {', '.join(m.name for m in METRICS)}")


def chosen(metric: str) -> str:
    """Return the name that the value of a curve after the chosen epoch has wherever it stands beside the curve."""
    return f"best/{metric}"


def best(metric: str, values: Iterable[float]) -> float:
    """Return the largest or the smallest of the values, whichever is better for the metric."""
    return max(values) if row(metric).direction == "max" else min(values)


def tested(objective: str) -> str:
    """Return the test metric that says what a choice by this objective is worth: the same, or accuracy for the loss."""
    own = f"test/{row(objective).name}"
    compared = shown_in("terminal")
    return own if own in compared else compared[0]


def on_validation(tested: str) -> str:
    """Return the curve of the same metric on validation."""
    return f"val/{row(tested).name}"


def is_better(metric: str, value: float, than: float) -> bool:
    return value > than if row(metric).direction == "max" else value < than


def axis_label(metric: str) -> str:
    """The metric and its unit."""
    return f"{metric} ({row(metric).unit})"


def shown_in(table: str) -> list[str]:
    """The test metrics, by their full names, that have a column in a table of trials: `terminal` or `report`."""
    return [f"test/{metric.name}" for metric in METRICS if "test" in metric.parts and table in metric.shown_in]
