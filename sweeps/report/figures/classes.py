"""The confusion matrix: which labels of the test set were answered with which."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from sweeps.analysis.against_reference import Against
from sweeps.analysis.classes import PerClass
from sweeps.analysis.confirmation import Outcome
from sweeps.analysis.summary import SweepSummary
from sweeps.analysis.wording import count
from sweeps.report import csv_table
from sweeps.report.figures import style
from sweeps.report.html import Figure

FEW = 4  # labels that need little room
NUMBERED = 10  # labels up to which the cells have numbers
DRAWN = 30  # labels at most, the most frequent ones
LONGEST_NAME = 18  # letters of a name on an axis


def of_sweep(sweep: SweepSummary) -> Iterator[Figure]:
    """The confusion matrix of the best trial."""
    if sweep.classes is not None:
        yield matrix(sweep.classes)


def of_confirmation(outcomes: Sequence[Outcome], _: Against | None) -> Iterator[Figure]:
    """The mean confusion matrix of validation's first choice over its seeds."""
    if outcomes[0].classes is not None:
        yield matrix(outcomes[0].classes)


def matrix(classes: PerClass) -> Figure:
    """Draw the shares of each label's texts that got each answer."""
    size = min(len(classes.labels), DRAWN)
    counts = classes.matrix(size)
    shares = counts / np.maximum([[each.support] for each in classes.labels[:size]], 1)
    figure, axes = style.canvas(0.9 * style.WIDTH if size > FEW else style.HEIGHT)
    axes.grid(visible=False)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    names = [_short(each.name) for each in classes.labels[:size]]
    size_of_names = 5.5 if size > NUMBERED else 8
    axes.set_xticks(range(size), names, rotation=90 if size > 2 else 0, fontsize=size_of_names)
    axes.set_yticks(range(size), names, fontsize=size_of_names)
    axes.set(xlabel="answer", ylabel="label")
    figure.colorbar(image, label="share of the label’s texts", shrink=0.65)
    if size <= NUMBERED:
        _write_numbers(axes, counts, shares)
    else:
        axes.axline((0, 0), slope=1, color=style.GREY, linestyle=":", linewidth=0.6)  # the right answers
    part = f", the {size} most frequent of {len(classes.labels)} labels" if size < len(classes.labels) else ""
    most = "; ".join(map(str, classes.mistakes()[:1])) or "none"
    alt = f"Confusion matrix{part}; the most frequent confusion: {most}"
    cells = [
        (classes.labels[label].name, classes.labels[answer].name, times) for label, answer, times in _cells(classes)
    ]
    csv = csv_table.table(("label", "answer", "test texts"), cells)
    return Figure("confusion", f"Labels and answers{part}", alt, style.png(figure), csv)


def _cells(classes: PerClass) -> Iterator[tuple[int, int, float]]:
    """Yield the cells of the whole matrix that are not empty."""
    labels, predicted, counts = classes.answers
    return zip(labels.tolist(), predicted.tolist(), counts.tolist(), strict=True)


def _write_numbers(axes: Axes, counts: NDArray[np.float64], shares: NDArray[np.float64]) -> None:
    size_of_numbers = 6.5 if len(counts) > FEW else 8
    for (label, answer), times in np.ndenumerate(counts):
        color = "white" if shares[label, answer] > 0.5 else style.BLACK
        axes.text(answer, label, count(times), ha="center", va="center", color=color, fontsize=size_of_numbers)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
