"""Tables of a sweep's results, a confirmation and a dry run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from sweeps import audit, metrics
from sweeps.analysis import networks, references
from sweeps.analysis.wording import duration, gain, number
from sweeps.terminal.sentences import heading

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.console import JustifyMethod

    from conf.schema import Values
    from sweeps.analysis.confirmation import Outcome
    from sweeps.analysis.paired import Difference
    from sweeps.estimate import Estimate
    from sweeps.journal import SweepRecord
    from sweeps.plan import Plan

SHOWN = 5  # trials in a table, besides the baseline


def results(record: SweepRecord) -> Table:
    """The best trials by the objective, and the baseline, with the hyperparameters that differ between trials."""
    ranking = record.ranking()
    trials = "trial" if len(ranking) == 1 else "trials"
    best = f"; the {SHOWN} best" if any(not trial.baseline for trial in ranking[SHOWN:]) else ""
    title = f"{heading(record)}: {len(ranking)} {trials} completed, {len(record.failed)} failed{best}"
    if record.started.source == "standin":
        title += "; generated STAND-IN data, not the real corpus"
    tests = metrics.shown_in("terminal")
    table = _table(title, "trial", record.started.objective, "gain", *tests, "epoch")
    varied = {name for trial in ranking for name, value in trial.values.items() if value != ranking[0].values.get(name)}
    if several := networks.searched(record):  # a name that one of them lacks varies, but another may have fixed it
        varied = several
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


def overview(records: Sequence[SweepRecord]) -> Table:
    """Show the choice of each sweep of a command in one row."""
    tests = metrics.shown_in("terminal")
    objectives = sorted({record.started.objective for record in records})
    table = _titled(f"{len(records)} sweeps")
    for column in ("sweep", "trials", *objectives, "gain", *tests, "epoch"):
        justify: JustifyMethod = "left" if column == "sweep" else "right"
        table.add_column(Text(column.replace("/", "/\n")), justify=justify, no_wrap=column != "sweep")
    for record in records:
        best, objective = record.best, record.started.objective
        standin = " (stand-in data)" if record.started.source == "standin" else ""
        table.add_row(
            heading(record) + standin,
            f"{len(record.completed)}/{record.budget}",
            *(number(best.objective) if best and each == objective else "" for each in objectives),
            gain(best, record.baseline, objective) if best else "",
            *(number(best.test.get(name)) if best else "" for name in tests),
            f"{best.best_epoch}/{best.epochs_run}" if best else "",
        )
    return table


def _beside(record: SweepRecord) -> Iterator[tuple[str, Mapping[str, float], str]]:
    """Yield the references, the floor and the ceiling: name, scores, and what each is."""
    for reference in references.shown(record):
        text = f"{references.title(reference)}; {references.time_of(reference)}"
        yield "whole" if reference.whole else "linear", reference.scores, text
    if record.started.audit:
        facts = audit.of(record.started.audit)
        yield "floor", {references.TESTED: facts.floor}, f"always answering {facts.largest}"
        if facts.ceiling < 1:
            yield "ceiling", {references.TESTED: facts.ceiling}, "equal texts have different labels"


def confirmation_table(record: SweepRecord, outcomes: Sequence[Outcome], leads: Mapping[int, Difference]) -> Table:
    """The score of each configuration over its seeds, compared with the baseline's and a linear model's."""
    table = _titled(f"{heading(record)}, confirmation: means ± 95 % intervals")
    table.add_column("configuration", overflow="fold")
    over_linear = ["over linear\n(points)"] if leads else []
    tested = record.started.compared_by
    for column in (f"search's\n{metrics.on_validation(tested)}", tested, "gain\n(points)", *over_linear, "seeds"):
        table.add_column(Text(column), justify="right", no_wrap=True)
    for outcome in outcomes:
        lead = None if outcome.order else leads.get(outcome.origin)
        table.add_row(
            outcome.name,
            number(outcome.search_score),
            f"{number(outcome.mean)} ± {number(outcome.half_width)}",
            _in_points(outcome.gain),
            *([_in_points(lead)] if leads else []),
            str(len(outcome.scores)),
        )
    return table


def _in_points(difference: Difference | None) -> str:
    if difference is None or not difference.pairs:
        return ""
    return f"{number(100 * difference.mean, '+z.1f')} ± {number(100 * difference.half_width, '.1f')}"


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
