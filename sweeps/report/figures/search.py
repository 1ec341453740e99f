"""Figures of a search: how it got better, and what its hyperparameters did to the objective."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from sweeps.report.figures import style
from sweeps.analysis.importance import Importances
from sweeps.journal import TrialRecord
from sweeps.search.space import Hyperparameter
from conf.schema import Value

LABEL = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.8}
KINDS = {"Int": "whole number", "Float": "number", "Choice": "choice", "Boolean": "yes or no"}


def best_so_far(
    steps: Sequence[tuple[float, TrialRecord]], unit: str, objective: str, *, maximised: bool, whole: bool = False
) -> bytes:
    """The best objective until each step; `steps` are when (in `unit`) completed trials ended, in order."""
    figure, axes = style.canvas()
    values = [trial.objective or 0.0 for _, trial in steps]
    best = [(max if maximised else min)(values[: n + 1]) for n in range(len(values))]
    x = [step for step, _ in steps]
    axes.plot(x, values, label="trial", **style.TRIAL)
    axes.plot(x, best, drawstyle="steps-post", color=style.VERMILION, label="best so far")
    for step, trial in steps:
        if trial.baseline and trial.objective is not None:
            axes.plot([step], [trial.objective or 0.0], label="baseline", **style.BASELINE)
            axes.axhline(trial.objective, color=style.BLACK, linestyle="--", linewidth=0.8)
    if whole:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel=unit, ylabel=objective)
    style.legend(axes)
    return style.png(figure)


def slice_of(hp: Hyperparameter, trials: Sequence[TrialRecord], best: TrialRecord, objective: str) -> bytes:
    """One hyperparameter against the objective, of completed trials."""
    figure, axes = style.canvas(height=2.7)
    names = None if _numeric(hp) else _names(hp)
    others = [trial for trial in trials if trial is not best and not trial.baseline]
    x = [_x(trial.values[hp.name], names) for trial in others]
    axes.plot(x, [trial.objective or 0.0 for trial in others], label="trial", **style.TRIAL)
    _mark(axes, hp, trials, best, names)
    unit = KINDS[hp.kind]
    if hp.logarithmic:
        axes.set_xscale("log")
        style.logarithmic(axes.xaxis)
        unit += ", logarithmic"
    elif names is not None:
        axes.set_xticks(range(len(names)), names)
    elif hp.kind == "Int":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel=f"{hp.name} ({unit})", ylabel=objective)
    style.legend(axes)
    return style.png(figure)


def _mark(
    axes: Axes, hp: Hyperparameter, trials: Sequence[TrialRecord], best: TrialRecord, names: list[str] | None
) -> None:
    for trial in trials:
        if trial.baseline:
            axes.plot([_x(trial.values[hp.name], names)], [trial.objective or 0.0], label="baseline", **style.BASELINE)
    axes.plot([_x(best.values[hp.name], names)], [best.objective or 0.0], label="best", **style.BEST)


def _numeric(hp: Hyperparameter) -> bool:
    return hp.kind != "Boolean" and not isinstance(hp.bounds[0], str)


def _names(hp: Hyperparameter) -> list[str]:
    return [str(value) for value in hp.arguments.get("values", [False, True])]


def _x(value: Value, names: list[str] | None) -> float:
    return float(value) if names is None else float(names.index(str(value)))


def parallel(
    searched: Sequence[Hyperparameter], trials: Sequence[TrialRecord], best: TrialRecord, objective: str
) -> bytes:
    """Parallel coordinates, an axis below the other so that names are read and a phone is wide enough.

    A line per completed trial, the darker the better its rank.
    """
    rows = [*(hp.name for hp in searched), objective]
    figure, axes = style.canvas(height=1.0 + 0.48 * len(rows))
    scores = [trial.objective or 0.0 for trial in trials]
    columns = [_places(hp, trials) for hp in searched] + [_scaled(scores)]
    for number, trial in enumerate(trials):  # `trials` are in the order of their rank
        shade = 0.12 + 0.6 * (1 - number / max(1, len(trials)))
        line: dict[str, Any] = {
            "color": style.BLUE,
            "alpha": shade * min(1.0, 40 / len(trials)) ** 0.5,
            "linewidth": 0.8,
            "zorder": 2,
        }
        if trial.baseline:
            line = {"color": style.BLACK, "linestyle": "--", "linewidth": 1.6, "zorder": 3, "label": "baseline"}
        if trial is best:
            line = {"color": style.VERMILION, "linewidth": 2.0, "zorder": 4, "label": "best"}
        axes.plot([column[number] for column in columns], range(len(rows)), **line)
    axes.plot([], [], color=style.BLUE, linewidth=0.8, label="trial, darker is better")
    for row, (low, high) in enumerate([*(_ends(hp) for hp in searched), (f"{min(scores):.4g}", f"{max(scores):.4g}")]):
        for x, side, end in ((-0.01, "left", low), (1.01, "right", high)):
            axes.text(x, row + 0.12, end, ha=side, va="top", fontsize=7, zorder=5, bbox=LABEL)
    axes.set_yticks(range(len(rows)), rows)
    axes.set(ylim=(len(rows) - 0.4, -0.35), xlim=(-0.02, 1.02), xticks=[])
    axes.set_xlabel("smallest to largest value, on the scale it is sampled on")
    axes.grid(visible=True, axis="y", alpha=0.8)
    style.legend(axes)
    return style.png(figure)


def _places(hp: Hyperparameter, trials: Sequence[TrialRecord]) -> list[float]:
    if not _numeric(hp):
        names = _names(hp)
        return [names.index(str(trial.values[hp.name])) / max(1, len(names) - 1) for trial in trials]
    return [hp.place(trial.values[hp.name]) for trial in trials]


def _ends(hp: Hyperparameter) -> tuple[str, str]:
    if not _numeric(hp):
        names = _names(hp)
        return names[0], names[-1]
    return f"{hp.bounds[0]:g}", f"{hp.bounds[1]:g}"


def _scaled(values: Sequence[float]) -> list[float]:
    low, high = min(values), max(values)
    return [(value - low) / (high - low) if high > low else 0.5 for value in values]


def importance(importances: Importances) -> bytes:
    """A point and its 95 % interval for each hyperparameter, the most important on top."""
    ranked = importances.ranked[::-1]
    figure, axes = style.canvas(height=1.1 + 0.3 * len(ranked))
    for row, found in enumerate(ranked):
        axes.plot([found.low, found.high], [row, row], color=style.BLUE, linewidth=2)
        axes.plot([found.mean], [row], color=style.BLUE, marker="o")
    axes.axvline(0, color=style.BLACK, linewidth=0.8, linestyle="--")
    axes.set_yticks(range(len(ranked)), [found.name for found in ranked])
    axes.set_ylim(-0.6, len(ranked) - 0.4)
    axes.set_xlabel("error added by shuffling it\n(share of the objective's variance)")
    return style.png(figure)
