"""Journal -> terminal: what runs now, what came out, and the table at the end."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from sweeps.journal import (
    EpochEnded,
    Event,
    SweepEnded,
    SweepRecord,
    SweepResumed,
    SweepStarted,
    TrialEnded,
    TrialRecord,
    TrialStarted,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sweeps.estimate import Estimate
    from sweeps.plan import Plan
    from sweeps.analysis.confirmation import Outcome

SHOWN = 5  # trials in a table, besides the baseline
# Twice a second; drawing costs the processor time that trials could use.
REFRESH_PER_SECOND = 2


class Terminal:
    """A bar for each sweep and each running trial, and a line for each trial that ended."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            refresh_per_second=REFRESH_PER_SECOND,
            disable=not console.is_terminal,
        )
        self._tasks: dict[tuple[str, int | None], TaskID] = {}  # (sweep, trial or None for the sweep itself)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def show(self, record: SweepRecord, event: Event) -> None:
        started = record.started
        assert started is not None
        match event:
            case SweepStarted() | SweepResumed():
                name = f"[bold]{started.model} on {started.dataset}"
                self._add(started.sweep, None, name, total=event.trials, unit="trials", done=_count_ended(record))
            case TrialStarted():
                name = f"  {started.dataset} trial {event.trial}{' (baseline)' if event.trial == 0 else ''}"
                self._remove(started.sweep, event.trial)
                self._update(started.sweep, None, _count_ended(record), _best_note(record))
                self._add(started.sweep, event.trial, name, total=event.epochs, unit="epochs", done=event.initial_epoch)
            case EpochEnded():
                note = f"{started.objective} {event.metrics[started.objective]:.4f}"
                self._update(started.sweep, event.trial, event.epoch, note)
            case TrialEnded():
                self._remove(started.sweep, event.trial)
                self._bars.console.print(_ended_line(record, record.trials[event.trial]), soft_wrap=True)
                self._update(started.sweep, None, _count_ended(record), _best_note(record))
            case SweepEnded():
                self._remove(started.sweep, None)

    def _add(self, sweep: str, trial: int | None, text: str, *, total: int, unit: str, done: int = 0) -> None:
        self._tasks[sweep, trial] = self._bars.add_task(text, total=total, completed=done, unit=unit, note="")

    def _update(self, sweep: str, trial: int | None, done: int, note: str) -> None:
        self._bars.update(self._tasks[sweep, trial], completed=done, note=note)

    def _remove(self, sweep: str, trial: int | None) -> None:
        if (sweep, trial) in self._tasks:
            self._bars.remove_task(self._tasks.pop((sweep, trial)))


def _count_ended(record: SweepRecord) -> int:
    return sum(not trial.running for trial in record.trials.values())


def so_far(record: SweepRecord) -> str:
    """What is known of a sweep that goes on."""
    assert record.started is not None
    return f"{record.started.dataset} with {_count_ended(record)} of {record.budget} trials ended"


def ending(record: SweepRecord) -> Text | None:
    """Why a sweep ended before all of its trials."""
    assert record.started is not None
    assert record.ended is not None
    name = f"{record.started.model} on {record.started.dataset}"
    if record.ended.reason == "max_failures":
        last = max(
            (trial for trial in record.trials.values() if trial.status == "failed"), key=lambda trial: trial.last
        )
        return Text(
            f"{name}: ended, too many trials failed in a row; the last, {last.trial}: {last.reason}", style="red"
        )
    reasons = {"minutes": "minutes are up", "target": "the target is reached"}
    return Text(f"{name}: ended, {reasons[record.ended.reason]}") if record.ended.reason in reasons else None


def _best_note(record: SweepRecord) -> str:
    if record.started is not None and record.started.confirms:
        return ""
    best = record.best
    return f"best {best.objective:.4f} (trial {best.trial})" if best else "none completed yet"


def _ended_line(record: SweepRecord, trial: TrialRecord) -> Text:
    assert record.started is not None
    name = f"{record.started.dataset} trial {trial.trial}"
    if trial.status == "failed":
        return Text(f"{name}: failed: {trial.reason}", style="red")
    return Text(
        f"{name}: {record.started.objective} {trial.objective:.4f} (epoch {trial.best_epoch} of {trial.epochs_run}), "
        f"test/accuracy {trial.test['test/accuracy']:.4f}, {trial.cost['seconds']:.0f} s"
    )


def results(record: SweepRecord) -> Table:
    """The best trials by the objective, and the baseline, with the hyperparameters that were searched."""
    assert record.started is not None
    objective, ranking = record.started.objective, record.ranking()
    failed = sum(trial.status == "failed" for trial in record.trials.values())
    title = f"{record.started.model} on {record.started.dataset}: {len(ranking)} trials completed, {failed} failed"
    if record.started.source == "standin":
        title += "; generated STAND-IN data, not the real corpus"
    table = _table(title, "trial", objective, "gain", "test/accuracy", "macro_f1", "epoch")
    baseline = next((trial for trial in ranking if trial.baseline), None)
    varied = {name for trial in ranking for name, value in trial.values.items() if value != ranking[0].values[name]}
    for trial in ranking[:SHOWN] + [trial for trial in ranking[SHOWN:] if trial.baseline]:
        values = " ".join(f"{name}={value}" for name, value in trial.values.items() if name in varied)
        table.add_row(*_row(trial, baseline), Text(values))
    return table


def confirmation_table(record: SweepRecord, found: Sequence[Outcome]) -> Table:
    """Each configuration's test accuracy over its seeds, against the baseline's."""
    assert record.started is not None
    table = Table(
        title=f"{record.started.model} on {record.started.dataset}, confirmed: means ± 95 % intervals",
        title_justify="left", title_style="bold", box=None, padding=(0, 1, 0, 0),
    )  # fmt: skip
    for column in ("configuration", "search's\nval/accuracy", "test/accuracy", "gain (points)", "seeds"):
        table.add_column(column, justify="left" if column == "configuration" else "right", no_wrap=True)
    for outcome in found:
        gain = "" if outcome.baseline else f"{100 * outcome.gain:+.1f} ± {100 * outcome.gain_half:.1f}"
        score = f"{outcome.mean:.4f} ± {outcome.half:.4f}"
        table.add_row(outcome.name, f"{outcome.search:.4f}", score, gain, str(len(outcome.scores)))
    return table


def _table(title: str, *columns: str) -> Table:
    """Narrow columns of numbers, and the hyperparameters in what the terminal leaves."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 1, 0, 0))
    for column in columns:
        table.add_column(column.replace("/", "/\n"), justify="right", no_wrap=True)
    table.add_column("hyperparameters", overflow="fold")
    return table


def _row(trial: TrialRecord, baseline: TrialRecord | None) -> list[str]:
    assert trial.objective is not None
    difference = ""
    if baseline is not None and baseline.objective is not None and not trial.baseline:
        difference = f"{trial.objective - baseline.objective:+.4f}"
    return [
        "baseline" if trial.baseline else str(trial.trial),
        f"{trial.objective:.4f}",
        difference,
        f"{trial.test['test/accuracy']:.4f}",
        f"{trial.test['test/macro_f1']:.4f}",
        f"{trial.best_epoch}/{trial.epochs_run}",
    ]


def estimate_table(plan: Plan, estimate: Estimate) -> Table:
    """What a dry run found."""
    title = (
        f"{plan.config.model.name} on {plan.dataset}: {estimate.trials} trials, {estimate.epochs} epochs, "
        f"about {_duration(estimate.seconds)} when none stops early"
    )
    table = _table(title, "model", "parameters", "seconds/epoch")
    for size, (values, timing) in estimate.sizes.items():
        cells = [size, f"{timing.parameters:,}", f"{timing.seconds_per_epoch:.1f}"]
        table.add_row(*cells, Text(" ".join(f"{name}={value}" for name, value in values.items())))
    return table


def _duration(seconds: float) -> str:
    hours, minutes = divmod(round(seconds / 60), 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min" if minutes > 1 else f"{seconds:.0f} s"
