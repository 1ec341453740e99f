"""The figures of a search: its progress, and the effect of the hyperparameters on the objective."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from conf.schema import Value
from sweeps import metrics
from sweeps.analysis.summary import SweepSummary
from sweeps.journal import TrialRecord
from sweeps.report.figures import style
from sweeps.report.html import Figure
from sweeps.search.space import Hyperparameter

LABEL = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.8}
KINDS = {"Int": "whole number", "Float": "number", "Choice": "choice", "Boolean": "yes or no"}


def best_by_trial(sweep: SweepSummary) -> Iterator[Figure]:
    """The best objective so far after each completed trial."""
    if sweep.best is None:
        return
    png = _best_so_far(
        sweep, [float(n + 1) for n in range(len(sweep.ranking))], "completed trials (number)", whole=True
    )
    yield Figure("best-by-trial", "Best so far, trial by trial", _best_at_the_end(sweep), png)


def best_by_time(sweep: SweepSummary) -> Iterator[Figure]:
    """The best objective so far over the time that the sweep ran."""
    if sweep.best is None:
        return
    minutes = [sweep.running_seconds(trial.last_event) / 60 for trial in _in_order(sweep)]
    png = _best_so_far(sweep, minutes, "time of running (minutes)")
    alt = f"{_best_at_the_end(sweep)}, over minutes of running"
    yield Figure("best-by-time", "Best so far over time", alt, png)


def parallel(sweep: SweepSummary) -> Iterator[Figure]:
    """Parallel coordinates: a line for each completed trial, the darker the better its rank.

    The axes lie below each other, so that names can be read and the figure fits a phone.
    """
    if len(sweep.ranking) < 2 or not sweep.searched:
        return
    rows = [*(hp.label for hp in sweep.searched), sweep.objective]
    figure, axes = style.canvas(height=1.0 + 0.48 * len(rows))
    scores = [trial.objective or 0.0 for trial in sweep.ranking]
    columns: list[Sequence[float | None]] = [*(_places(hp, sweep.ranking) for hp in sweep.searched), _scaled(scores)]
    for number, trial in enumerate(sweep.ranking):
        line = _parallel_line(sweep, trial, number)
        points = [(x, row) for row, column in enumerate(columns) if (x := column[number]) is not None]
        axes.plot([x for x, _ in points], [row for _, row in points], **line)
    axes.plot([], [], color=style.BLUE, linewidth=0.8, label="trial, darker is better")
    ends = [*(_ends(hp) for hp in sweep.searched), (f"{min(scores):.4g}", f"{max(scores):.4g}")]
    for row, (low, high) in enumerate(ends):
        for x, side, end in ((-0.01, "left", low), (1.01, "right", high)):
            axes.text(x, row + 0.12, end, ha=side, va="top", fontsize=7, zorder=5, bbox=LABEL)
    axes.set_yticks(range(len(rows)), rows)
    axes.set(ylim=(len(rows) - 0.4, -0.35), xlim=(-0.02, 1.02), xticks=[])
    axes.set_xlabel("smallest to largest value, on the scale it is sampled on")
    axes.grid(visible=True, axis="y", alpha=0.8)
    style.legend(axes)
    alt = f"A line per trial through {len(sweep.searched)} hyperparameters down to its {sweep.objective}"
    yield Figure("parallel", "All hyperparameters at once", alt, style.png(figure))


def importance(sweep: SweepSummary) -> Iterator[Figure]:
    """A point and its 95 % interval for each hyperparameter, the most important on top."""
    ranked = sweep.importances.ranked
    if not ranked:
        return
    figure, axes = style.canvas(height=1.1 + 0.3 * len(ranked))
    for row, each in enumerate(reversed(ranked)):
        axes.plot([each.low, each.high], [row, row], color=style.BLUE, linewidth=2)
        axes.plot([each.mean], [row], color=style.BLUE, marker="o")
    axes.axvline(0, color=style.BLACK, linewidth=0.8, linestyle="--")
    axes.set_yticks(range(len(ranked)), [each.name for each in reversed(ranked)])
    axes.set_ylim(-0.6, len(ranked) - 0.4)
    axes.set_xlabel("error added by shuffling it\n(share of the objective's variance)")
    shares = ", ".join(f"{each.name} {each.mean:.2f} ({each.low:.2f} to {each.high:.2f})" for each in ranked)
    yield Figure("importance", "Importance of each hyperparameter", f"Importance: {shares}", style.png(figure))


def slices(sweep: SweepSummary) -> Iterator[Figure]:
    """The objective of all completed trials against each hyperparameter, a figure each."""
    if sweep.best is None:
        return
    for hp in sweep.searched:
        name = "".join(letter if letter.isalnum() else "_" for letter in hp.label)
        best = hp.value(sweep.best.values)
        alt = f"{sweep.objective} against {hp.label}; the best trial has {'another network' if best is None else best}"
        if any(hp.value(trial.values) is not None for trial in sweep.ranking):
            yield Figure(f"slice-{name}", hp.label, alt, _slice(sweep, sweep.best, hp))


def _best_at_the_end(sweep: SweepSummary) -> str:
    return f"Best {sweep.objective} so far: {sweep.best.objective:.4f} at the end" if sweep.best else ""


def _in_order(sweep: SweepSummary) -> list[TrialRecord]:
    """The completed trials in the order in which they ended."""
    return sorted(sweep.ranking, key=lambda trial: trial.last_event)


def _best_so_far(sweep: SweepSummary, steps: Sequence[float], unit: str, *, whole: bool = False) -> bytes:
    """Draw the best objective until each step; a step says when, in `unit`, a completed trial ended."""
    figure, axes = style.canvas()
    values = [trial.objective or 0.0 for trial in _in_order(sweep)]
    best = list(itertools.accumulate(values, lambda so_far, value: metrics.best(sweep.objective, (so_far, value))))
    axes.plot(steps, values, label="trial", **style.TRIAL)
    axes.plot(steps, best, drawstyle="steps-post", color=style.VERMILION, label="best so far")
    for step, trial in zip(steps, _in_order(sweep), strict=True):
        if trial.baseline and trial.objective is not None:
            axes.plot([step], [trial.objective], label="baseline", **style.BASELINE)
            axes.axhline(trial.objective, color=style.BLACK, linestyle="--", linewidth=0.8)
    if whole:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel=unit, ylabel=metrics.axis_label(sweep.objective))
    style.legend(axes)
    return style.png(figure)


def _parallel_line(sweep: SweepSummary, trial: TrialRecord, rank: int) -> dict[str, Any]:
    trials = len(sweep.ranking)
    if trial is sweep.best:
        return {"color": style.VERMILION, "linewidth": 2.0, "zorder": 4, "label": "best"}
    if trial.baseline:
        return {"color": style.BLACK, "linestyle": "--", "linewidth": 1.6, "zorder": 3, "label": "baseline"}
    shade = 0.12 + 0.6 * (1 - rank / trials)
    return {"color": style.BLUE, "alpha": shade * min(1.0, 40 / trials) ** 0.5, "linewidth": 0.8, "zorder": 2}


def _slice(sweep: SweepSummary, best: TrialRecord, hp: Hyperparameter) -> bytes:
    figure, axes = style.canvas(height=2.7)
    names = None if _numeric(hp) else _names(hp)
    others = [trial for trial in sweep.ranking if trial is not best and not trial.baseline]
    baseline = [sweep.baseline] if sweep.baseline else []
    groups = ("trial", others, style.TRIAL), ("baseline", baseline, style.BASELINE), ("best", [best], style.BEST)
    for label, trials, mark in groups:
        points = [(_x(x, names), each.objective or 0.0) for each in trials if (x := hp.value(each.values)) is not None]
        axes.plot([x for x, _ in points], [y for _, y in points], label=label if points else None, **mark)
    axes.set(xlabel=f"{hp.label} ({_scale(axes, hp, names)})", ylabel=metrics.axis_label(sweep.objective))
    style.legend(axes)
    return style.png(figure)


def _scale(axes: Axes, hp: Hyperparameter, names: list[str] | None) -> str:
    """Scale the x axis as the hyperparameter is sampled; return the words for it."""
    if hp.logarithmic:
        axes.set_xscale("log")
        style.logarithmic(axes.xaxis)
        return f"{KINDS[hp.kind]}, logarithmic"
    if names is not None:
        axes.set_xticks(range(len(names)), names)
    elif hp.kind == "Int":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return KINDS[hp.kind]


def _numeric(hp: Hyperparameter) -> bool:
    return hp.kind != "Boolean" and not isinstance(hp.bounds[0], str)


def _names(hp: Hyperparameter) -> list[str]:
    return [str(value) for value in hp.arguments.get("values", [False, True])]


def _x(value: Value, names: list[str] | None) -> float:
    return float(value) if names is None else float(names.index(str(value)))


def _places(hp: Hyperparameter, trials: Sequence[TrialRecord]) -> list[float | None]:
    """Return the places of the trials' values from 0 to 1; None for a trial of a network without the hyperparameter."""
    return [None if (value := hp.value(trial.values)) is None else _place(hp, value) for trial in trials]


def _place(hp: Hyperparameter, value: Value) -> float:
    if not _numeric(hp):
        names = _names(hp)
        return names.index(str(value)) / max(1, len(names) - 1)
    return hp.place(value)


def _ends(hp: Hyperparameter) -> tuple[str, str]:
    if not _numeric(hp):
        names = _names(hp)
        return names[0], names[-1]
    return f"{hp.bounds[0]:g}", f"{hp.bounds[1]:g}"


def _scaled(values: Sequence[float]) -> list[float]:
    low, high = min(values), max(values)
    return [(value - low) / (high - low) if high > low else 0.5 for value in values]
