"""Bars for what is running, and a line for each trial and reference that has ended."""

from __future__ import annotations

import time
from datetime import timedelta
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

from conf import stored
from sweeps import metrics
from sweeps.analysis import pace, references
from sweeps.analysis.pace import Pace
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
from sweeps.search.space import searched_values
from sweeps.terminal.console import escaped
from sweeps.terminal.sentences import heading, progress_so_far

if TYPE_CHECKING:
    from collections.abc import Sequence

    from conf.schema import Value
    from sweeps.plan import Plan

# Drawing costs processor time that trials could use.
REFRESH_PER_SECOND = 2
WIDE = 96  # columns from which on there is room for longer bars, the time gone by, and what a trial's values are
LINES = 60  # seconds between two lines on progress where no bar can be drawn


class _Name(ProgressColumn):
    """The name of what a bar is for, in bold for a sweep."""

    def render(self, task: Task) -> Text:
        return Text(escaped(task.description), style="bold" if task.fields["unit"] == "trials" else "")


class _Left(ProgressColumn):
    """The time that is left; on a narrow terminal the time that has gone by until that is known."""

    def __init__(self, *, narrow: bool) -> None:
        super().__init__()
        self._narrow = narrow

    def render(self, task: Task) -> Text:
        left: str = task.fields["left"]
        elapsed = f"since {timedelta(seconds=int(task.elapsed or 0))}" if self._narrow else ""
        return Text(left or elapsed, style="progress.remaining" if left else "progress.elapsed")


class Terminal:
    """A listener that shows a bar for each sweep and each running trial, and a line for each trial that ended.

    With the plans of the sweeps it says how long they take, and with which values of what is searched a trial runs.
    """

    def __init__(self, console: Console, plans: Sequence[Plan] = ()) -> None:
        self._console = console
        self._plans = {plan.sweep: plan for plan in plans}
        self._width = console.width if console.is_terminal else None  # to which lines are broken
        narrow = console.width < WIDE
        self._bars = Progress(
            _Name(),
            BarColumn(bar_width=8 if narrow else 20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}", markup=False),
            *([] if narrow else [TimeElapsedColumn()]),
            _Left(narrow=narrow),
            TextColumn("{task.fields[note]}", markup=False),
            *([] if narrow else [TextColumn("{task.fields[values]}", markup=False, style="dim")]),
            console=console,
            refresh_per_second=REFRESH_PER_SECOND,
            disable=not console.is_terminal,
        )
        self._tasks: dict[tuple[str, int | None], TaskID] = {}  # (sweep, trial or None for the sweep itself)
        self._paces: dict[str, dict[int, Pace]] = {}  # sweep -> running trial -> its course
        self._workers = 0  # trials that ran at once
        self._next_line = time.monotonic() + LINES

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
        record = SweepRecord.of(directory, events)
        if plan := self._plans.get(record.started.sweep):
            record.budget = plan.config.trials  # which may be another one than before
        self._console.print(f"resumed {progress_so_far(record)}", soft_wrap=True)

    def on_event(self, record: SweepRecord, event: Event) -> None:
        started = record.started
        if not isinstance(event, SweepEnded) and (started.sweep, None) not in self._tasks:
            self._add((started.sweep, None), heading(record), total=record.budget, unit="trials", done=record.finished)
        match event:
            case SweepStarted() | SweepResumed():
                self._bars.update(self._tasks[started.sweep, None], total=record.budget)
            case TrialStarted():
                self._start(record, event)
            case EpochEnded():
                note = f"{started.objective} {event.metrics[started.objective]:.4f}"
                self._bars.update(self._tasks[started.sweep, event.trial], note=note)
                self.on_step(record, event.trial, event.epoch)
            case TrialEnded():
                self._end(record, event.trial)
            case ReferenceEnded():
                self._print(_reference_line(record, event, self._width))
            case SweepEnded():
                self._remove((started.sweep, None))

    def on_step(self, record: SweepRecord, trial: int, position: float) -> None:
        """Show how many epochs of a trial are done, with the part of the one that runs."""
        paces, plan = self._paces[record.started.sweep], self._plans.get(record.started.sweep)
        paces[trial] = paces[trial].moved(position, time.monotonic())
        words = _in_words(paces[trial].left(record.trials[trial].epochs), record, plan)
        self._bars.update(self._tasks[record.started.sweep, trial], completed=position, left=words)
        self._update_sweep(record)

    def _start(self, record: SweepRecord, event: TrialStarted) -> None:
        sweep = record.started.sweep
        self._remove((sweep, event.trial))  # a trial may start again: a later attempt, or a promotion
        values = _values(record, record.trials[event.trial], self._plans.get(sweep))
        self._add(
            (sweep, event.trial),
            _name(record, event.trial),
            total=event.epochs,
            unit="epochs",
            done=event.initial_epoch,
            values=_shortened(" ".join(values), self._console.width - WIDE),
        )
        now = time.monotonic()
        first = event.initial_epoch
        self._paces.setdefault(sweep, {})[event.trial] = Pace(began=now, first=first, position=first, at=now)
        self._workers = max(self._workers, sum(map(len, self._paces.values())))

    def _end(self, record: SweepRecord, trial: int) -> None:
        self._remove((record.started.sweep, trial))
        self._paces[record.started.sweep].pop(trial, None)
        ended = record.trials[trial]
        if ended.failed:
            self._print(Text(escaped(f"{_name(record, trial)} failed: {ended.reason}"), style="red"))
        else:
            parts = _ended(record, ended)
            if values := _values(record, ended, self._plans.get(record.started.sweep)):
                parts = [*parts[:-1], f"{parts[-1]};", *values]
            self._print(Text(_filled(parts, self._width)))
        self._update_sweep(record)

    def _print(self, line: Text) -> None:
        # Each drawing moves up by the height of the one before: drawn by Rich's thread meanwhile, it would erase lines.
        with self._bars.live._lock:
            self._bars.console.print(line, soft_wrap=True)

    def _add(
        self, bar: tuple[str, int | None], text: str, *, total: int, unit: str, done: int, values: str = ""
    ) -> None:
        self._tasks[bar] = self._bars.add_task(
            text, total=total, completed=done, unit=unit, note="", left="", values=values
        )

    def _update_sweep(self, record: SweepRecord) -> None:
        sweep, plan = record.started.sweep, self._plans.get(record.started.sweep)
        paces, words = self._paces.get(sweep, {}), ""
        if plan and record.ended is None:
            left = pace.of_sweep(record, stored.schedule(plan.yaml), paces, self._workers, time.time())
            words = _in_words(left, record, plan)
        note = _best_so_far(record)
        self._bars.update(self._tasks[sweep, None], completed=record.finished, note=note, left=words)
        if not self._console.is_terminal and words and time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + LINES
            self._print(Text(escaped(f"{progress_so_far(record)}, {len(paces)} running, {words} left")))

    def _remove(self, bar: tuple[str, int | None]) -> None:
        if bar in self._tasks:
            self._bars.remove_task(self._tasks.pop(bar))


def _in_words(seconds: float | None, record: SweepRecord, plan: Plan | None) -> str:
    if plan is None or seconds is None:
        return ""
    return pace.in_words(seconds, stored.schedule(plan.yaml), confirms=bool(record.started.confirms))


def _name(record: SweepRecord, trial: int) -> str:
    standin = " (stand-in)" if record.started.source == "standin" else ""
    return f"{record.started.dataset} trial {trial}{standin}"


def _values(record: SweepRecord, trial: TrialRecord, plan: Plan | None) -> list[str]:
    """Return the values of what is searched, one text for each; of a confirmation, what it repeats."""
    if trial.origin is not None:
        origin = "the baseline" if trial.baseline else f"trial {trial.origin}"
        shuffled = ", words shuffled" if trial.shuffled else ""
        return [f"{origin} of the search with seed {trial.seed}{shuffled}"]
    if plan is None:
        return []
    searched = searched_values(plan.space.searched, trial.values)
    return [f"{name}={_rounded(value)}" for name, value in searched.items()]


def _rounded(value: Value) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _shortened(text: str, width: int) -> str:
    return escaped(text if len(text) <= width else f"{text[: max(0, width - 1)]}…")


def _filled(parts: Sequence[str], width: int | None) -> str:
    """Put parts behind each other, on as many lines as the terminal needs; those after the first are indented."""
    lines = [""]
    for part in map(escaped, parts):
        space = " " if lines[-1].strip() else ""
        if width is not None and lines[-1].strip() and len(lines[-1]) + len(space) + len(part) > width:
            lines.append(f"  {part}")
        else:
            lines[-1] += space + part
    return "\n".join(lines)


def _best_so_far(record: SweepRecord) -> str:
    if record.started.confirms:
        return ""
    best = record.best
    return f"best {number(best.objective)} (trial {best.trial})" if best else "none completed yet"


def _ended(record: SweepRecord, trial: TrialRecord) -> list[str]:
    """Return the parts of the line of a completed trial."""
    tested = metrics.shown_in("terminal")[0]
    return [
        f"{_name(record, trial.trial)}: {record.started.objective} {number(trial.objective)}",
        f"(epoch {trial.best_epoch} of {trial.epochs_run}),",
        f"{tested} {number(trial.test.get(tested))},",
        f"{trial.cost['seconds']:.0f} s",
    ]


def _reference_line(record: SweepRecord, reference: ReferenceEnded, width: int | None) -> Text:
    standin = " (stand-in)" if record.started.source == "standin" else ""
    name = f"{record.started.dataset} reference {references.title(reference)}{standin}"
    if not reference.completed:
        return Text(escaped(f"{name} failed: {reference.reason}"), style="red")
    tested = metrics.shown_in("terminal")[0]
    cost = "known from an earlier sweep" if reference.cached else references.time_of(reference)
    return Text(_filled([f"{name}:", f"{tested} {number(reference.scores.get(tested))},", cost], width))
