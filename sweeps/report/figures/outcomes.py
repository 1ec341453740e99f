"""Figures of what the trials of a search, or of a confirmation, came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from sweeps.report.figures import style
from sweeps.journal import TrialRecord


def losses(trials: Sequence[TrialRecord], best: TrialRecord | None, metric: str, label: str) -> bytes:
    """A loss per epoch, of every trial that ran one."""
    figure, axes = style.canvas()
    ran = [trial for trial in trials if trial.curves.get(metric)]
    others = [trial for trial in ran if trial is not best and not trial.baseline]
    for trial in others:
        _curve(axes, trial, metric, color=style.GREY, alpha=max(0.25, min(0.8, 10 / len(others))), linewidth=0.8)
    if others:
        axes.plot([], [], color=style.GREY, linewidth=0.8, label="trial")
    for trial in ran:
        if trial.baseline:
            _curve(axes, trial, metric, color=style.BLACK, linestyle="--", marker="D", markersize=3, label="baseline")
    if best is not None and best.curves.get(metric):
        _curve(axes, best, metric, color=style.VERMILION, marker="*", linewidth=1.8, label="best")
    axes.set_ylim(top=_top([trial.curves[metric] for trial in ran]))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="epoch", ylabel=f"{label} (cross-entropy, nats)")
    style.legend(axes)
    return style.png(figure)


def _curve(axes: Axes, trial: TrialRecord, metric: str, **line: Any) -> None:
    curve = trial.curves[metric]
    if len(curve) == 1:
        line = {"marker": "o", "markersize": 3, **line}  # a line of one point would not be seen
    axes.plot(range(1, len(curve) + 1), curve, **line)


def _top(curves: Sequence[Sequence[float]]) -> float | None:
    """Where to cut the axis: a single loss that exploded must not flatten all the others."""
    values = np.concatenate([np.asarray(curve) for curve in curves])
    usual = float(np.quantile(values, 0.95))
    return None if values.max() < 2 * usual else 1.3 * usual


def validation_against_test(
    points: Sequence[tuple[TrialRecord, float, float]], best: TrialRecord, errors: tuple[float, float]
) -> bytes:
    """(trial, val/accuracy, test/accuracy); `errors` are the standard errors of the best one's, 0 if unknown."""
    figure, axes = style.canvas()
    for trial, validation, test in points:
        if trial is best:
            axes.errorbar([validation], [test], xerr=errors[0] or None, yerr=errors[1] or None,
                          color=style.VERMILION, linewidth=1, capsize=2)  # fmt: skip
    _trials(axes, points, best)
    low, high = axes.get_xlim()
    axes.axline((low, low), slope=1, color=style.GREY, linestyle=":", label="equal")
    axes.set_xlim(low, high)
    axes.set(xlabel="val/accuracy (share correct)", ylabel="test/accuracy (share correct)")
    style.legend(axes)
    return style.png(figure)


def cost(
    points: Sequence[tuple[TrialRecord, float, float]],
    front: Sequence[tuple[float, float]],
    best: TrialRecord,
    unit: str,
) -> bytes:
    """(trial, cost in `unit`, val/accuracy), and of those the front that no trial betters in both."""
    figure, axes = style.canvas()
    axes.plot([x for x, _ in front], [y for _, y in front], drawstyle="steps-post", color=style.GREEN, linewidth=1.5,
              marker="s", markersize=7, markerfacecolor="none", label="Pareto front")  # fmt: skip
    _trials(axes, points, best)
    costs = [x for _, x, _ in points]
    if min(costs) > 0 and max(costs) > 4 * min(costs):
        axes.set_xscale("log")
        style.logarithmic(axes.xaxis)
    elif max(costs) >= 1000:
        axes.xaxis.set_major_locator(MaxNLocator(5))
        style.plain(axes.xaxis)
    axes.set(xlabel=unit, ylabel="val/accuracy (share correct)")
    style.legend(axes)
    return style.png(figure)


def _trials(axes: Axes, points: Sequence[tuple[TrialRecord, float, float]], best: TrialRecord) -> None:
    others = [(x, y) for trial, x, y in points if trial is not best and not trial.baseline]
    if others:
        axes.plot([x for x, _ in others], [y for _, y in others], label="trial", **style.TRIAL)
    for trial, x, y in points:
        if trial.baseline:
            axes.plot([x], [y], label="baseline", **style.BASELINE)
    for trial, x, y in points:
        if trial is best:
            axes.plot([x], [y], label="best", **style.BEST)


def confirmed(scores: Mapping[str, Sequence[float]], intervals: Mapping[str, tuple[float, float]]) -> bytes:
    """The test accuracy of each configuration, seed by seed, with the 95 % interval of its mean (mean, half width)."""
    figure, axes = style.canvas(height=1.2 + 0.45 * len(scores))
    for row, (name, values) in enumerate(reversed(list(scores.items()))):
        color = style.BLACK if name == "baseline" else style.VERMILION
        axes.plot(values, [row + 0.18] * len(values), label=None if row else "one seed", **style.TRIAL)
        mean, half = intervals[name]
        axes.errorbar([mean], [row], xerr=half if np.isfinite(half) else None, color=color, marker="D", capsize=3,
                      label=None if row else "mean and its 95 % interval", markersize=5)  # fmt: skip
    axes.set_yticks(range(len(scores)), list(scores)[::-1])
    axes.set_ylim(-0.6, len(scores) - 0.4)
    axes.set_xlabel("test/accuracy (share correct)")
    style.legend(axes)
    return style.png(figure)
