"""The figures of a search: its progress, and the effect of the hyperparameters on the objective."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from conf.schema import NETWORK
from sweeps import metrics
from sweeps.analysis import networks, references
from sweeps.analysis.summary import SweepSummary
from sweeps.journal import TrialRecord
from sweeps.report import csv_table
from sweeps.report.figures import scale, style
from sweeps.report.html import Figure
from sweeps.search.space import Hyperparameter, searched_values

LABEL = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.8}
ROOM = 44  # letters of names that have room below an axis


def best_by_trial(sweep: SweepSummary) -> Iterator[Figure]:
    """The best objective so far after each completed trial."""
    if sweep.best is None:
        return
    steps = [float(n + 1) for n in range(len(sweep.ranking))]
    yield _best_so_far(sweep, "best-by-trial", "Best so far, trial by trial", steps, "completed trials (number)")


def best_by_time(sweep: SweepSummary) -> Iterator[Figure]:
    """The best objective so far over the time that the sweep ran."""
    if sweep.best is None:
        return
    minutes = [sweep.running_seconds(trial.last_event) / 60 for trial in _in_order(sweep)]
    yield _best_so_far(sweep, "best-by-time", "Best so far over time", minutes, "time of running (minutes)")


def parallel(sweep: SweepSummary) -> Iterator[Figure]:
    """Parallel coordinates: of several networks, what all have, and then all hyperparameters of each."""
    if len(sweep.ranking) < 2 or not sweep.searched:
        return
    several = networks.outcomes(sweep.record)
    if not several:
        yield _parallel(sweep, "parallel", "All hyperparameters at once", sweep.searched, sweep.ranking)
        return
    shared = [hp for hp in sweep.searched if not hp.network]
    yield _parallel(sweep, "parallel", "What all networks have", shared, sweep.ranking)
    for name, trials in several:
        own = [hp for hp in sweep.searched if hp.network == name or (hp in shared and hp.name != NETWORK)]
        if own and trials:
            yield _parallel(sweep, f"parallel-{_file_name(name)}", f"All hyperparameters of {name}", own, trials)


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
    csv = csv_table.table(("hyperparameter", "importance", "low", "high"), ranked)
    yield Figure("importance", "Importance of each hyperparameter", f"Importance: {shares}", style.png(figure), csv)


def slices(sweep: SweepSummary) -> Iterator[Figure]:
    """The objective of all completed trials that have a hyperparameter against its value, a figure each."""
    for hp in sweep.searched:
        trials = [trial for trial in sweep.ranking if hp.value(trial.values) is not None]
        if trials:
            yield _slice(sweep, trials, hp)


def _in_order(sweep: SweepSummary) -> list[TrialRecord]:
    """The completed trials in the order in which they ended."""
    return sorted(sweep.ranking, key=lambda trial: trial.last_event)


def _best_so_far(sweep: SweepSummary, name: str, title: str, steps: Sequence[float], unit: str) -> Figure:
    """Draw the best objective until each step; a step says when, in `unit`, a completed trial ended."""
    figure, axes = style.canvas()
    trials = _in_order(sweep)
    values = [trial.objective or 0.0 for trial in trials]
    best = list(itertools.accumulate(values, lambda so_far, value: metrics.best(sweep.objective, (so_far, value))))
    axes.plot(steps, values, label="trial", **style.TRIAL)
    axes.plot(steps, best, drawstyle="steps-post", color=style.VERMILION, label="best so far")
    for step, trial in zip(steps, trials, strict=True):
        if trial.baseline and trial.objective is not None:
            axes.plot([step], [trial.objective], label="baseline", **style.BASELINE)
            axes.axhline(trial.objective, color=style.BLACK, linestyle="--", linewidth=0.8)
    if unit.endswith("(number)"):
        style.whole(axes.xaxis, len(steps))
    axes.set(xlabel=unit, ylabel=metrics.axis_label(sweep.objective))
    style.legend(axes)
    since = steps[values.index(best[-1])]
    alt = f"Best {sweep.objective} so far: {best[0]:.4f} at first, {best[-1]:.4f} from {since:.4g} {unit} on"
    rows = zip([trial.trial for trial in trials], steps, values, best, strict=True)
    csv = csv_table.table(("trial", unit, sweep.objective, "best so far"), rows)
    return Figure(name, title, alt, style.png(figure), csv)


def _parallel(
    sweep: SweepSummary, name: str, title: str, searched: Sequence[Hyperparameter], trials: Sequence[TrialRecord]
) -> Figure:
    """Draw a line for each of these trials, which are ranked, the darker the better its rank.

    The axes lie below each other, so that names can be read and the figure fits a phone.
    """
    rows = [*(f"{hp.label}{' (log)' if scale.is_logarithmic(hp) else ''}" for hp in searched), sweep.objective]
    figure, axes = style.canvas(height=1.0 + 0.48 * len(rows))
    scores = [trial.objective or 0.0 for trial in trials]
    columns: list[Sequence[float | None]] = [*(_places(hp, trials) for hp in searched), _scaled(scores)]
    for number, trial in enumerate(trials):
        points = [(x, row) for row, column in enumerate(columns) if (x := column[number]) is not None]
        axes.plot([x for x, _ in points], [row for _, row in points], **_parallel_line(trial, number, len(trials)))
    axes.plot([], [], color=style.BLUE, linewidth=0.8, label="trial, darker is better")
    marks = [*(_marks(hp) for hp in searched), [(0.0, f"{min(scores):.4g}"), (1.0, f"{max(scores):.4g}")]]
    for row, texts in enumerate(marks):
        for x, text in texts:
            side = "left" if x == 0 else "right" if x == 1 else "center"
            axes.text(x + 0.02 * x - 0.01, row + 0.12, text, ha=side, va="top", fontsize=7, zorder=5, bbox=LABEL)
    axes.set_yticks(range(len(rows)), rows)
    axes.set(ylim=(len(rows) - 0.4, -0.35), xlim=(-0.02, 1.02), xticks=[])
    axes.set_xlabel("smallest to largest value,\non the scale it is sampled on")
    axes.grid(visible=True, axis="y", alpha=0.8)
    style.legend(axes)
    best = ", ".join(f"{each}={value}" for each, value in searched_values(searched, trials[0].values).items())
    alt = (
        f"A line for each of {len(trials)} trials through {len(searched)} hyperparameters down to its "
        f"{sweep.objective}, which goes from {min(scores):.4f} to {max(scores):.4f}; the best has {best}"
    )
    values = [[trial.trial, *(hp.value(trial.values) for hp in searched), trial.objective] for trial in trials]
    csv = csv_table.table(("trial", *(hp.label for hp in searched), sweep.objective), values)
    return Figure(name, title, alt, style.png(figure), csv)


def _parallel_line(trial: TrialRecord, rank: int, trials: int) -> dict[str, Any]:
    if rank == 0:
        return {"color": style.VERMILION, "linewidth": 2.0, "zorder": 4, "label": "best", "marker": "*"}
    if trial.baseline:
        return {"color": style.BLACK, "linestyle": "--", "linewidth": 1.6, "zorder": 3, "label": "baseline"}
    shade = 0.12 + 0.6 * (1 - rank / trials)
    return {"color": style.BLUE, "alpha": shade * min(1.0, 40 / trials) ** 0.5, "linewidth": 0.8, "zorder": 2}


def _slice(sweep: SweepSummary, trials: Sequence[TrialRecord], hp: Hyperparameter) -> Figure:
    """Draw the trials, which are ranked, that have the hyperparameter."""
    figure, axes = style.canvas(height=2.7)
    scale.prepare(axes, hp)
    best = trials[0]
    others = [trial for trial in trials[1:] if not trial.baseline]
    baseline = [trial for trial in trials[1:] if trial.baseline]
    groups = ("trial", others, style.TRIAL), ("baseline", baseline, style.BASELINE), ("best", [best], style.BEST)
    for label, group, mark in groups:
        points = [(_x(hp, each, label), each.objective or 0.0) for each in group]
        axes.plot([x for x, _ in points], [y for _, y in points], label=label if points else None, **mark)
    axes.set(xlabel=f"{hp.label} ({scale.in_words(hp)})", ylabel=metrics.axis_label(sweep.objective))
    style.legend(axes)
    worst = trials[-1]
    alt = (
        f"{sweep.objective} of {len(trials)} trials against {hp.label}: the best, {references.name_of(best)}, has "
        f"{best.objective:.4f} with {hp.value(best.values)}, the worst {worst.objective:.4f} with "
        f"{hp.value(worst.values)}"
    )
    rows = [(trial.trial, hp.value(trial.values), trial.objective) for trial in trials]
    csv = csv_table.table(("trial", hp.label, sweep.objective), rows)
    return Figure(f"slice-{_file_name(hp.label)}", hp.label, alt, style.png(figure), csv)


def _x(hp: Hyperparameter, trial: TrialRecord, mark: str) -> float:
    """Return where a trial stands; the best one and the baseline stand exactly at their values."""
    value = hp.value(trial.values)
    assert value is not None
    return scale.position(hp, value, trial.trial if mark == "trial" else 0)


def _places(hp: Hyperparameter, trials: Sequence[TrialRecord]) -> list[float | None]:
    """Return the places of the trials' values from 0 to 1; None for a trial of a network without the hyperparameter."""
    return [None if (value := hp.value(trial.values)) is None else scale.place(hp, value) for trial in trials]


def _marks(hp: Hyperparameter) -> list[tuple[float, str]]:
    """Return the places and the texts below an axis: all names of a choice if they have room, otherwise the ends."""
    names = scale.names(hp)
    if not names:
        return [(0.0, f"{hp.bounds[0]:g}"), (1.0, f"{hp.bounds[1]:g}")]
    places = [place / max(1, len(names) - 1) for place in range(len(names))]
    marks = list(zip(places, names, strict=True))
    return marks if max(map(len, names)) * len(names) <= ROOM else [marks[0], marks[-1]]


def _scaled(values: Sequence[float]) -> list[float]:
    low, high = min(values), max(values)
    return [(value - low) / (high - low) if high > low else 0.5 for value in values]


def _file_name(label: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in label)
