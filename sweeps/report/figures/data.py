"""The figures of a dataset: how long its texts are, and how often each label occurs."""

from __future__ import annotations

from collections.abc import Iterator

from matplotlib.ticker import FuncFormatter, MaxNLocator

from sweeps.analysis.summary import SweepSummary
from sweeps.audit import QUANTILES
from sweeps.report import csv_table
from sweeps.report.figures import style
from sweeps.report.html import Figure

MOST_LABELS = 60  # that are drawn, the most frequent ones


def lengths(sweep: SweepSummary) -> Iterator[Figure]:
    """The quantiles of the texts' lengths, and where `maxlen` cuts them."""
    audit = sweep.audit
    if audit is None:
        return
    figure, axes = style.canvas()
    axes.plot(audit.lengths, QUANTILES, color=style.BLUE, marker="o", markersize=4)
    axes.axvline(audit.maxlen, color=style.VERMILION, linestyle="--", label=f"maxlen={audit.maxlen}")
    axes.set(xlabel="tokens of a text (number, logarithmic)", ylabel="texts that are not longer (%)", xscale="log")
    style.logarithmic(axes.xaxis)
    axes.xaxis.set_major_formatter(FuncFormatter(_whole))
    style.legend(axes)
    longest = dict(zip(QUANTILES, audit.lengths, strict=True))
    alt = f"Lengths of the train texts: half have at most {longest[50]} tokens, 95 % at most {longest[95]}"
    csv = csv_table.table(("texts that are not longer (%)", "tokens"), zip(QUANTILES, audit.lengths, strict=True))
    yield Figure("data-lengths", "Length of the texts", alt, style.png(figure), csv)


def labels(sweep: SweepSummary) -> Iterator[Figure]:
    """The number of train and test texts of each label."""
    audit = sweep.audit
    if audit is None:
        return
    sizes = sorted(zip(*audit.of_label.values(), audit.labels, strict=True), reverse=True)[:MOST_LABELS]
    train, test, names = zip(*sizes, strict=True)
    figure, axes = style.canvas(max(style.HEIGHT, 0.16 * len(names) + 0.8))
    axes.barh(names, train, color=style.BLUE, label="train and validation")
    axes.barh(names, test, color=style.ORANGE, height=0.4, label="test")
    axes.invert_yaxis()
    is_logarithmic = max(train) > 100 * max(1, min(train))
    axes.set(
        xlabel=f"texts (number{', logarithmic' if is_logarithmic else ''})",
        xscale="log" if is_logarithmic else "linear",
    )
    if is_logarithmic:
        style.logarithmic(axes.xaxis)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.xaxis.set_major_formatter(FuncFormatter(_whole))
    axes.tick_params(axis="y", labelsize=6 if len(names) > 20 else 9)
    style.legend(axes)
    alt = f"Texts of each label: {names[0]} has the most in train, {train[0]}, and {names[-1]} has {train[-1]}"
    csv = csv_table.table(("label", "train and validation", "test"), zip(names, train, test, strict=True))
    yield Figure("data-labels", "Size of the labels", alt, style.png(figure), csv)


def _whole(value: float, _: int) -> str:
    """Write a number on an axis; a logarithmic one would write formulas, which are not drawn."""
    return f"{value:,.0f}"
