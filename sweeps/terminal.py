"""The terminal: bars for what is running, a line for each finished trial, and tables at the end."""

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
from rich.table import Table
from rich.text import Text

from sweeps import audit, metrics
from sweeps.analysis import references
from sweeps.analysis.wording import duration, gain, number
from sweeps.console import escaped
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
from sweeps.journal.endings import IN_WORDS, MAX_FAILURES, MINUTES, TARGET

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from conf.schema import Values
    from sweeps.analysis.confirmation import Outcome
    from sweeps.estimate import Estimate
    from sweeps.plan import Plan

SHOWN = 5  # trials in a table, besides the baseline
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
                name = _heading(record)
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


def progress_so_far(record: SweepRecord) -> str:
    """Say how many trials of a sweep have ended: `imdb: 3 of 12 trials finished`."""
    return f"{record.started.dataset}: {record.finished} of {record.budget} trials finished"


def ending(record: SweepRecord) -> Text | None:
    """Say why a sweep ended before all of its trials; None if all of them ran or it has not ended."""
    if record.ended is None:
        return None
    name, reason = _heading(record), record.ended.reason
    if reason == MAX_FAILURES:
        last = max(record.failed, key=lambda trial: trial.last_event)
        message = (
            f"{name}: ended early, too many trials failed in a row; the last was trial {last.trial}: {last.reason}"
        )
        return Text(escaped(message), style="red")
    return Text(escaped(f"{name}: ended early, {IN_WORDS[reason]}")) if reason in IN_WORDS else None


def idle(record: SweepRecord, plan: Plan, reason: str) -> str:
    """Say why nothing was run of a sweep that had ended before."""
    config = plan.config
    if reason == MINUTES:
        why = f"the {config.minutes:g} minutes are used up; to go on, give more minutes="
    elif reason == TARGET:
        why = f"the target {config.target:g} is reached; to go on, give another target="
    elif record.finished >= config.trials:
        why = f"{record.finished} trials have ended; to go on, give more trials="
    else:
        why = "no other configuration is left to try"
    return f"{_heading(record)}: nothing was run, {why}"


def results(record: SweepRecord) -> Table:
    """The best trials by the objective, and the baseline, with the hyperparameters that differ between trials."""
    ranking = record.ranking()
    trials = "trial" if len(ranking) == 1 else "trials"
    title = f"{_heading(record)}: {len(ranking)} {trials} completed, {len(record.failed)} failed"
    if record.started.source == "standin":
        title += "; generated STAND-IN data, not the real corpus"
    tests = metrics.shown_in("terminal")
    table = _table(title, "trial", record.started.objective, "gain", *tests, "epoch")
    varied = {name for trial in ranking for name, value in trial.values.items() if value != ranking[0].values[name]}
    for trial in ranking[:SHOWN] + [trial for trial in ranking[SHOWN:] if trial.baseline]:
        values = {name: value for name, value in trial.values.items() if name in varied}
        table.add_row(
            "baseline" if trial.baseline else str(trial.trial),
            number(trial.objective),
            gain(trial, record.baseline, record.started.objective),
            *(number(trial.test.get(name)) for name in tests),
            f"{trial.best_epoch}/{trial.epochs_run}",
            _assignments(values),
        )
    for name, scores, text in _beside(record):
        tested = (number(scores[metric]) if metric in scores else "" for metric in tests)
        objective = scores.get(record.started.objective)
        table.add_row(name, "" if objective is None else number(objective), "", *tested, "", text)
    return table


def _beside(record: SweepRecord) -> Iterator[tuple[str, Mapping[str, float], str]]:
    """Yield the references, the floor and the ceiling: name, scores, and what each is."""
    for reference in [*references.completed(record), *references.on_whole_texts(record)]:
        text = f"{references.title(reference)}; {references.time_of(reference)}"
        yield "whole" if reference.whole else "linear", reference.scores, text
    if record.started.audit:
        facts = audit.of(record.started.audit)
        yield "floor", {references.TESTED: facts.floor}, f"always answering {facts.largest}"
        if facts.ceiling < 1:
            yield "ceiling", {references.TESTED: facts.ceiling}, "equal texts have different labels"


def verdict(record: SweepRecord) -> list[str]:
    """Compare the best trial with the references, in sentences."""
    standin = "; generated STAND-IN data" if record.started.source == "standin" else ""
    return [f"{_heading(record)}{standin}: {sentence}" for sentence in references.sentences(record)]


def confirmation_table(record: SweepRecord, outcomes: Sequence[Outcome]) -> Table:
    """The test accuracy of each configuration over its seeds, compared with the baseline's."""
    table = _titled(f"{_heading(record)}, confirmation: means ± 95 % intervals")
    for column in ("configuration", "search's\nval/accuracy", "test/accuracy", "gain (points)", "seeds"):
        table.add_column(Text(column), justify="left" if column == "configuration" else "right", no_wrap=True)
    for outcome in outcomes:
        points = f"{number(100 * outcome.gain, '+.1f')} ± {number(100 * outcome.gain_half_width, '.1f')}"
        table.add_row(
            outcome.name,
            number(outcome.search_accuracy),
            f"{number(outcome.mean)} ± {number(outcome.half_width)}",
            points if outcome.pairs else "",
            str(len(outcome.scores)),
        )
    return table


def estimate_table(plan: Plan, estimate: Estimate) -> Table:
    """The sizes and times that a dry run measured."""
    title = (
        f"{plan.config.model.name} on {plan.dataset}: {estimate.trials} trials, {estimate.epochs} epochs, "
        f"about {duration(estimate.seconds)} if no trial stops early"
    )
    table = _table(title, "model", "parameters", "seconds/epoch")
    for size, (values, timing) in estimate.sizes.items():
        table.add_row(size, f"{timing.parameters:,}", f"{timing.seconds_per_epoch:.1f}", _assignments(values))
    return table


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


def _heading(record: SweepRecord) -> str:
    return f"{record.started.model} on {record.started.dataset}"


def _table(title: str, *columns: str) -> Table:
    """Make a table with narrow columns of numbers; the hyperparameters take the rest of the terminal's width."""
    table = _titled(title)
    for column in columns:
        table.add_column(Text(column.replace("/", "/\n")), justify="right", no_wrap=True)
    table.add_column("hyperparameters", overflow="fold")
    return table


def _titled(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 1, 0, 0))


def _assignments(values: Values) -> str:
    return " ".join(f"{name}={value}" for name, value in values.items())
