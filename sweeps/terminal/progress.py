"""Bars for what is running, and a line for each trial and reference that has ended."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from sweeps import metrics
from sweeps.analysis import references
from sweeps.analysis.wording import number
from sweeps.journal import (
    EpochEnded,
    Event,
    ReferenceEnded,
    SweepEnded,
    SweepRecord,
    SweepResumed,
    SweepStarted,
    TrialEnded,
    TrialRecord,
    TrialStarted,
)
from sweeps.terminal.console import escaped
from sweeps.terminal.sentences import heading, progress_so_far

if TYPE_CHECKING:
    from collections.abc import Sequence

# Drawing costs processor time that trials could use.
REFRESH_PER_SECOND = 2


class _Name(ProgressColumn):
    """The name of what a bar is for, in bold for a sweep."""

    def render(self, task: Task) -> Text:
        return Text(escaped(task.description), style="bold" if task.fields["unit"] == "trials" else "")


class Terminal:
    """A listener that shows a bar for each sweep and each running trial, and a line for each trial that ended."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Progress(
            _Name(),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", markup=False),
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
        self.close()

    def close(self) -> None:
        """Leave the bars as they are; nothing is drawn any more."""
        self._bars.stop()

    def catch_up(self, directory: Path, events: Sequence[Event]) -> None:
        """Print that a sweep goes on. Its bar appears with its next event."""
        progress = progress_so_far(SweepRecord.of(directory, events))
        self._console.print(f"resumed {progress}", soft_wrap=True)

    def on_event(self, record: SweepRecord, event: Event) -> None:
        started = record.started
        match event:
            case SweepStarted() | SweepResumed():
                name = heading(record)
                self._add((started.sweep, None), name, total=event.trials, unit="trials", done=record.finished)
            case TrialStarted():
                name = f"  {started.dataset} trial {event.trial}{' (baseline)' if event.trial == 0 else ''}"
                bar = started.sweep, event.trial
                self._remove(bar)  # an earlier attempt's
                self._update_sweep(record)
                self._add(bar, name, total=event.epochs, unit="epochs", done=event.initial_epoch)
            case EpochEnded():
                note = f"{started.objective} {event.metrics[started.objective]:.4f}"
                self._bars.update(self._tasks[started.sweep, event.trial], completed=event.epoch, note=note)
            case TrialEnded():
                self._remove((started.sweep, event.trial))
                self._bars.console.print(_ended_line(record, record.trials[event.trial]), soft_wrap=True)
                self._update_sweep(record)
            case ReferenceEnded():
                self._bars.console.print(_reference_line(record, event), soft_wrap=True)
            case SweepEnded():
                self._remove((started.sweep, None))

    def _add(self, bar: tuple[str, int | None], text: str, *, total: int, unit: str, done: int) -> None:
        self._tasks[bar] = self._bars.add_task(text, total=total, completed=done, unit=unit, note="")

    def _update_sweep(self, record: SweepRecord) -> None:
        self._bars.update(self._tasks[record.started.sweep, None], completed=record.finished, note=_best_so_far(record))

    def _remove(self, bar: tuple[str, int | None]) -> None:
        if bar in self._tasks:
            self._bars.remove_task(self._tasks.pop(bar))


def _best_so_far(record: SweepRecord) -> str:
    if record.started.confirms:
        return ""
    best = record.best
    return f"best {number(best.objective)} (trial {best.trial})" if best else "none completed yet"


def _ended_line(record: SweepRecord, trial: TrialRecord) -> Text:
    name = f"{record.started.dataset} trial {trial.trial}"
    if trial.failed:
        return Text(escaped(f"{name} failed: {trial.reason}"), style="red")
    tested = metrics.shown_in("terminal")[0]
    return Text(
        escaped(
            f"{name}: {record.started.objective} {number(trial.objective)} "
            f"(epoch {trial.best_epoch} of {trial.epochs_run}), "
            f"{tested} {number(trial.test.get(tested))}, {trial.cost['seconds']:.0f} s"
        )
    )


def _reference_line(record: SweepRecord, reference: ReferenceEnded) -> Text:
    name = f"{record.started.dataset} reference {references.title(reference)}"
    if not reference.completed:
        return Text(escaped(f"{name} failed: {reference.reason}"), style="red")
    tested = metrics.shown_in("terminal")[0]
    cost = "known from an earlier sweep" if reference.cached else references.time_of(reference)
    return Text(escaped(f"{name}: {tested} {number(reference.scores.get(tested))}, {cost}"))
