"""The sweeps here and in the store: how far each has come, and the command that goes on with it.

    python -m pipelines.list                             those in outputs/, then those that only the store has
    python -m pipelines.list sweep=<name>                more of one: its best trials, and why trials failed
    python -m pipelines.list directory=../outputs        another folder of sweeps
    python -m pipelines.list tracking.uri=http://…       another store; else MLFLOW_TRACKING_URI, else ./mlflow.db
    python -m pipelines.list format=json                 a line of JSON for each sweep

A journal that cannot be read is a row with its reason. Exit status: 0 unless the store could not be read.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from rich.console import Console
from rich.table import Table
from rich.text import Text

from conf.schema import ConfigError, did_you_mean
from pipelines.command import execute, read_options, show_help
from sweeps.analysis.wording import number
from sweeps.errors import SweepError
from sweeps.session import listing
from sweeps.session.listing import Listed
from sweeps.session.outputs import OUTPUTS
from sweeps.terminal.console import escaped
from sweeps.tracking import store

OPTIONS = ("sweep", "directory", "tracking.uri", "format")
FORMATS = ("table", "json")
STYLES = {"running": "cyan", "interrupted": "yellow", "failed": "red", "unreadable": "red"}
AGES = ((86_400, "d"), (3_600, "h"), (60, "min"))  # seconds of a unit


class Arguments(NamedTuple):
    directory: Path
    uri: str
    sweep: str | None = None
    format: str = "table"


def main() -> NoReturn:
    execute(lambda console: show(read_arguments(sys.argv[1:]), console))


def read_arguments(arguments: Sequence[str]) -> Arguments:
    """Return the options; raises `ConfigError`."""
    show_help(arguments, __doc__)
    options = read_options(arguments, OPTIONS)
    form, directory = options.get("format", "table"), Path(options.get("directory", OUTPUTS))
    if form not in FORMATS:
        raise ConfigError(f"format={form}: allowed: {', '.join(FORMATS)}")
    if "directory" in options and not directory.is_dir():
        raise ConfigError(f"directory={directory}: no such directory")
    return Arguments(directory, store.uri(options.get("tracking.uri")), options.get("sweep"), form)


def show(arguments: Arguments, console: Console) -> bool:
    """Print the sweeps; returns whether the store could be read."""
    sweeps, failure = list(listing.here(arguments.directory)), ""
    try:
        sweeps += listing.in_store(arguments.uri, {sweep.name for sweep in sweeps})
    except (SweepError, ConfigError, OSError) as error:
        failure = str(error)
    sweeps.sort(key=lambda sweep: sweep.record.started.time if sweep.record else 0, reverse=True)
    if arguments.sweep is not None:
        sweeps = _chosen(sweeps, arguments.sweep)
    if arguments.format == "json":
        for sweep in sweeps:
            print(escaped(json.dumps(_facts(sweep), ensure_ascii=False)))
    else:
        _print(sweeps, arguments, console)
    if failure:
        print(f"error: the store was not read: {escaped(failure)}", file=sys.stderr)
    return not failure


def _chosen(sweeps: Sequence[Listed], name: str) -> list[Listed]:
    bare = name.rstrip("/").removeprefix(f"{OUTPUTS}/")
    found = [sweep for sweep in sweeps if bare in (sweep.name, sweep.directory, sweep.place)]
    if not found:
        raise ConfigError(f"sweep={name}: no such sweep{did_you_mean(bare, [sweep.name for sweep in sweeps])}")
    return found


def _print(sweeps: Sequence[Listed], arguments: Arguments, console: Console) -> None:
    if not sweeps:
        where = f"{arguments.directory.absolute()} and {store.without_password(arguments.uri)}"
        console.print(f"no sweeps in {where}", soft_wrap=True)
        return
    console.print(_table(sweeps))
    for sweep in sweeps:
        if sweep.reason:
            console.print(f"{sweep.name}: {sweep.reason}", style="red", soft_wrap=True)
    if arguments.sweep is not None:
        for sweep in sweeps:
            _print_more(sweep, console)
    if commands := dict.fromkeys(sweep.resume for sweep in sweeps if sweep.resume):
        console.print("To resume:")
        for command in commands:
            console.print(f"  {command}", soft_wrap=True)


def _table(sweeps: Sequence[Listed]) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 1, 0, 0))
    table.add_column("sweep", overflow="fold")
    table.add_column("dataset", overflow="fold")
    objectives = {sweep.record.started.objective for sweep in sweeps if sweep.record and sweep.record.best}
    shared = objectives.pop() if len(objectives) == 1 else ""
    for column in ("state", "trials", f"best\n{escaped(shared)}" if shared else "best", "age"):
        table.add_column(Text(column), no_wrap=True, justify="left" if column == "state" else "right")
    for sweep in sweeps:
        facts = _facts(sweep)
        trials = "" if facts["trials"] is None else f"{facts['finished']}/{facts['trials']}"
        metric = "" if shared or facts["objective"] is None else f"{facts['objective'].removeprefix('val/')} "
        best = "" if facts["best"] is None else f"{metric}{number(facts['best'])}"
        age = "" if facts["started"] is None else _age(time.time() - facts["started"])
        state = Text(escaped(sweep.state), style=STYLES.get(sweep.state, ""))
        table.add_row(sweep.directory, sweep.dataset, state, trials, best, age)
    return table


def _facts(sweep: Listed) -> dict[str, Any]:
    record = sweep.record
    best = None if record is None else record.best
    return {
        "sweep": sweep.name,
        "dataset": sweep.dataset,
        "kind": None if record is None else record.started.kind,
        "state": sweep.state,
        "finished": None if record is None else record.finished,
        "trials": None if record is None else record.budget,
        "objective": None if record is None else record.started.objective,
        "best": None if best is None else best.objective,
        "started": None if record is None else record.started.time,
        "place": sweep.place,
        "resume": sweep.resume,
        "reason": sweep.reason,
    }


def _age(seconds: float) -> str:
    for size, unit in AGES:
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def _print_more(sweep: Listed, console: Console) -> None:
    from sweeps.report import write as report
    from sweeps.terminal import outcome

    record = sweep.record
    if record is None:
        return
    if record.trials:
        outcome.show(record, console)
    for trial in record.failed:
        console.print(f"trial {trial.trial} of {sweep.name} failed: {trial.reason}", soft_wrap=True)
    page = record.directory / report.FILE
    console.print(f"report: {page}" if page.is_file() else f"journal in {sweep.place}", soft_wrap=True)


if __name__ == "__main__":
    main()
