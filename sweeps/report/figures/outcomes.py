"""The figures of the trials' results: losses, accuracies and costs, and those of a confirmation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from sweeps.analysis import references
from sweeps.analysis.against_reference import Against
from sweeps.analysis.confirmation import Outcome
from sweeps.analysis.paired import ACCURACY
from sweeps.analysis.summary import Score, SweepSummary
from sweeps.analysis.wording import number
from sweeps.journal import TrialRecord
from sweeps.metrics import axis_label, row
from sweeps.report import csv_table
from sweeps.report.figures import style
from sweeps.report.html import Figure

LEVELS = {
    "floor": {"color": style.BLACK, "marker": "|", "markersize": 12},
    "reference": {**style.TRIAL, "color": style.GREEN, "marker": "s", "alpha": 1},
    "whole": {**style.TRIAL, "color": style.GREEN, "marker": "s", "alpha": 1, "markerfacecolor": "none"},
    "baseline": style.BASELINE,
    "best": style.BEST,
    "ceiling": {"color": style.BLACK, "marker": "|", "markersize": 12},
}
Point = tuple[TrialRecord, float, float]  # a trial and where it lies: x, y


def validation_loss(sweep: SweepSummary) -> Iterator[Figure]:
    """The held-out loss per epoch of every trial."""
    yield from _losses(sweep, "val/loss", f"{sweep.started.held_out} loss")


def train_loss(sweep: SweepSummary) -> Iterator[Figure]:
    """The train loss per epoch of every trial."""
    yield from _losses(sweep, "train/loss", "train loss")


def validation_against_test(sweep: SweepSummary) -> Iterator[Figure]:
    """The test accuracy of each trial against its validation accuracy."""
    scored = _scored(sweep)
    best = next(((x, y) for trial, x, y in scored if trial is sweep.best), None)
    if sweep.best is None or best is None:
        return
    x, y = best
    figure, axes = style.canvas()
    axes.errorbar([x.value], [y.value], xerr=x.error or None, yerr=y.error or None, color=style.VERMILION,
                  linewidth=1, capsize=2)  # fmt: skip
    _trials(axes, [(trial, x.value, y.value) for trial, x, y in scored], sweep.best)
    low, high = axes.get_xlim()
    axes.axline((low, low), slope=1, color=style.GREY, linestyle=":", label="equal")
    axes.set_xlim(low, high)
    axes.set(xlabel=axis_label("val/accuracy"), ylabel=axis_label("test/accuracy"))
    style.legend(axes)
    alt = (
        f"Test against validation accuracy of {len(scored)} trials; the best one by {sweep.objective} has {y} on the "
        f"test set and {x} on validation"
    )
    rows = [(trial.trial, x.value, x.error, y.value, y.error) for trial, x, y in scored]
    names = ("trial", "val/accuracy", "its standard error", "test/accuracy", "its standard error")
    yield Figure("validation-test", "Validation against test", alt, style.png(figure), csv_table.table(names, rows))


def cost_in_seconds(sweep: SweepSummary) -> Iterator[Figure]:
    """The validation accuracy of each trial against the time it trained, with the Pareto front."""
    yield from _cost(sweep, "seconds", "time to train (seconds)")


def cost_in_parameters(sweep: SweepSummary) -> Iterator[Figure]:
    """The validation accuracy of each trial against the size of its model, with the Pareto front."""
    yield from _cost(sweep, "parameters", "size (parameters)")


def between(sweep: SweepSummary) -> Iterator[Figure]:
    """The test accuracy of the best trial, between the floor, the linear references and the ceiling."""
    levels = list(references.levels(sweep.record))
    if not any(level.kind == "reference" for level in levels) or sweep.best is None:
        return
    figure, axes = style.canvas(height=0.7 + 0.3 * len(levels))
    for place, level in enumerate(reversed(levels)):
        axes.errorbar([level.accuracy], [place], xerr=level.error and 2 * level.error, capsize=2, **LEVELS[level.kind])
    axes.set_yticks(range(len(levels)), [level.name for level in reversed(levels)])
    axes.set_ylim(-0.6, len(levels) - 0.4)
    axes.set_xlabel(axis_label("test/accuracy"))
    alt = "Test accuracy; " + ", ".join(f"{level.name}: {level.accuracy:.4f}" for level in levels)
    csv = csv_table.table(("model", "kind", "test/accuracy", "standard error"), levels)
    yield Figure("between", "Between floor and ceiling, ± two standard errors", alt, style.png(figure), csv)


def cost_in_predictions(sweep: SweepSummary) -> Iterator[Figure]:
    """The validation accuracy of each trial against the time that its answers take, with the Pareto front."""
    if all("predict_seconds" in trial.cost for trial in sweep.ranking):  # older journals have none
        yield from _cost(sweep, "predict_seconds", "time to answer 1,000 texts (seconds)")


def confirmed(outcomes: Sequence[Outcome], against: Against | None) -> Iterator[Figure]:
    """The score of each configuration, seed by seed, with the 95 % interval of its mean, and that of a linear model."""
    tested = [outcome for outcome in outcomes if outcome.scores]
    if not tested:
        return
    metric = tested[0].metric
    figure, axes = style.canvas(height=1.2 + 0.45 * len(tested))
    for place, outcome in enumerate(reversed(tested)):
        first = place == 0
        color = style.BLACK if outcome.baseline else style.VERMILION
        scores = list(outcome.scores)
        axes.plot(scores, [place + 0.18] * len(scores), label="one seed" if first else None, **style.TRIAL)
        half_width = outcome.half_width if np.isfinite(outcome.half_width) else None
        axes.errorbar([outcome.mean], [place], xerr=half_width, color=color, marker="D", capsize=3, markersize=5,
                      label="mean, 95 %" if first else None)  # fmt: skip
    if against is not None:
        axes.axvline(against.score, color=style.GREEN, linestyle="--", linewidth=1.2, label="linear model")
    axes.set_yticks(range(len(tested)), [outcome.name for outcome in reversed(tested)])
    axes.set_ylim(-0.6, len(tested) - 0.4)
    axes.set_xlabel(axis_label(metric))
    style.legend(axes)
    means = [f"{outcome.name}: {number(outcome.mean)} ± {number(outcome.half_width)}" for outcome in tested]
    rows: list[tuple[str, int | None, float, float | None, float | None]] = [
        (each.name, seed, score, each.mean, each.half_width if np.isfinite(each.half_width) else None)
        for each in tested
        for seed, score in enumerate(each.scores, start=1)
    ]
    if against is not None:
        means.append(f"linear model ({against.title}): {number(against.score)}")
        rows.append((against.title, None, against.score, None, None))
    alt = "; ".join(means)
    csv = csv_table.table(("configuration", "seed", metric, "mean", "half width of 95 %"), rows)
    title = f"{'Test accuracy' if metric == ACCURACY else metric}, mean and 95 % interval"
    yield Figure("confirmed", title, f"{title}: {alt}", style.png(figure), csv)


def pareto(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return those (cost, score) that no other point beats in one without losing in the other, cheapest first."""
    front: list[tuple[float, float]] = []
    for cost, score in sorted(set(points), key=lambda point: (point[0], -point[1])):
        if not front or score > front[-1][1]:
            front.append((cost, score))
    return front


def _losses(sweep: SweepSummary, metric: str, name: str) -> Iterator[Figure]:
    trials = [trial for trial in sweep.record.trials.values() if trial.curves.get(metric)]
    if not trials:
        return
    figure, axes = style.canvas()
    others = [trial for trial in trials if trial is not sweep.best and not trial.baseline]
    for trial in others:
        _curve(axes, trial, metric, color=style.GREY, alpha=max(0.25, min(0.8, 10 / len(others))), linewidth=0.8)
    if others:
        axes.plot([], [], color=style.GREY, linewidth=0.8, label="trial")
    for trial in trials:
        if trial.baseline:
            _curve(axes, trial, metric, color=style.BLACK, linestyle="--", marker="D", markersize=3, label="baseline")
    if sweep.best is not None and sweep.best.curves.get(metric):
        _curve(axes, sweep.best, metric, color=style.VERMILION, marker="*", linewidth=1.8, label="best")
    axes.set_ylim(top=_top([trial.curves[metric] for trial in trials]))
    style.whole(axes.xaxis, max(len(trial.curves[metric]) for trial in trials))
    axes.set(xlabel="epoch", ylabel=f"{name} ({row(metric).unit})")
    style.legend(axes)
    marked = [trial for trial in trials if trial is sweep.best or trial.baseline]
    alt = f"{name.capitalize()} per epoch of {len(trials)} trials{''.join(_lowest(trial, metric) for trial in marked)}"
    rows = [(trial.trial, epoch, loss) for trial in trials for epoch, loss in enumerate(trial.curves[metric], start=1)]
    title, csv = f"{name.capitalize()} of every trial", csv_table.table(("trial", "epoch", metric), rows)
    yield Figure(metric.replace("/", "-"), title, alt, style.png(figure), csv)


def _lowest(trial: TrialRecord, metric: str) -> str:
    curve = trial.curves[metric]
    lowest = min(curve)
    return f"; that of {references.name_of(trial)} is lowest in epoch {curve.index(lowest) + 1}, {lowest:.4f}"


def _curve(axes: Axes, trial: TrialRecord, metric: str, **line: Any) -> None:
    curve = trial.curves[metric]
    if len(curve) == 1:
        line = {"marker": "o", "markersize": 3, **line}  # a line of one point would be invisible
    axes.plot(range(1, len(curve) + 1), curve, **line)


def _top(curves: Sequence[Sequence[float]]) -> float | None:
    """The upper end of the axis, if it must be cut: a single loss that exploded must not flatten all the others."""
    values = np.concatenate([np.asarray(curve) for curve in curves])
    usual = float(np.quantile(values, 0.95))
    return None if values.max() < 2 * usual else 1.3 * usual


def _scored(sweep: SweepSummary) -> list[tuple[TrialRecord, Score, Score]]:
    """The completed trials with their accuracies on validation and on the test set, as far as both are recorded."""
    return [
        (trial, validation, test)
        for trial in sweep.ranking
        if (validation := sweep.score(trial, "val/accuracy")) and (test := sweep.score(trial, "test/accuracy"))
    ]


def _cost(sweep: SweepSummary, name: str, unit: str) -> Iterator[Figure]:
    points = [(trial, trial.cost.get(name, 0.0), validation.value) for trial, validation, _ in _scored(sweep)]
    if sweep.best is None or not any(trial is sweep.best for trial, _, _ in points):
        return
    front = pareto([(x, y) for _, x, y in points])
    figure, axes = style.canvas()
    axes.plot([x for x, _ in front], [y for _, y in front], drawstyle="steps-post", color=style.GREEN, linewidth=1.5,
              marker="s", markersize=7, markerfacecolor="none", label="Pareto front")  # fmt: skip
    _trials(axes, points, sweep.best)
    costs, label = [x for _, x, _ in points], unit
    if min(costs) > 0 and max(costs) > 4 * min(costs):
        axes.set_xscale("log")
        style.logarithmic(axes.xaxis)
        label = f"{unit}, logarithmic"
    elif max(costs) >= 1000:
        axes.xaxis.set_major_locator(MaxNLocator(5))
        style.plain(axes.xaxis)
    axes.set(xlabel=label, ylabel=axis_label("val/accuracy"))
    style.legend(axes)
    (cheapest, low), (dearest, high) = front[0], front[-1]
    alt = (
        f"Validation accuracy against {unit} of {len(points)} trials, {len(front)} of them on the Pareto front: from "
        f"{low:.4f} for {cheapest:,.4g} to {high:.4f} for {dearest:,.4g}"
    )
    rows = [(trial.trial, x, y, (x, y) in front) for trial, x, y in points]
    csv = csv_table.table(("trial", unit, "val/accuracy", "on the Pareto front"), rows)
    yield Figure(f"cost-{name}", f"Accuracy against {unit}", alt, style.png(figure), csv)


def _trials(axes: Axes, points: Sequence[Point], best: TrialRecord) -> None:
    """Draw a mark for each trial; the baseline's and the best one's lie on top."""
    others = [(x, y) for trial, x, y in points if trial is not best and not trial.baseline]
    if others:
        axes.plot([x for x, _ in others], [y for _, y in others], label="trial", **style.TRIAL)
    for trial, x, y in points:
        if trial.baseline:
            axes.plot([x], [y], label="baseline", **style.BASELINE)
    for trial, x, y in points:
        if trial is best:
            axes.plot([x], [y], label="best", **style.BEST)
