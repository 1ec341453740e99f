"""Write a page for every sweep in a store, with its figures, and an overview of all.

    python -m pipelines.report                             every sweep, and the table of models and datasets
    python -m pipelines.report sweep=<name>                one, or those of one directory: conv_lstm-…/imdb, conv_lstm-…
    python -m pipelines.report tracking.uri=http://…       from this store; else MLFLOW_TRACKING_URI, else ./mlflow.db

It needs nothing but the store. It writes reports/<sweep>/report.html, a file that can be mailed, with
reports/<sweep>/*.png beside it, and reports/index.html. Exit status: 0 if every page was written.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from rich.console import Console

from conf.schema import ConfigError
from pipelines.command import execute, read_options, show_help
from sweeps import files
from sweeps.errors import SweepError
from sweeps.terminal.waiting import Waiting
from sweeps.tracking import store

if TYPE_CHECKING:
    from sweeps.journal import SweepRecord
    from sweeps.tracking.reader import StoredSweep, StoredSweeps

REPORTS = Path("reports")
OVERVIEW = REPORTS / "index.html"
KINDS = ("sweep", "confirm")
OPTIONS = ("sweep", "tracking.uri")


class Arguments(NamedTuple):
    """The options of the command line."""

    sweep: str | None
    uri: str


def main() -> None:
    execute(lambda console: write_reports(read_arguments(sys.argv[1:]), console))


def read_arguments(arguments: Sequence[str]) -> Arguments:
    """Return the options; raises `ConfigError`."""
    show_help(arguments, __doc__)
    options = read_options(arguments, OPTIONS)
    return Arguments(options.get("sweep"), store.uri(options.get("tracking.uri")))


def write_reports(arguments: Arguments, console: Console) -> bool:
    """Write the pages; returns whether all of them could be written."""
    name = arguments.sweep
    with Waiting(console, "reading what the store has"):
        from sweeps.report import html
        from sweeps.tracking.reader import StoredSweeps

        if name is None:
            html.refuse_foreign(OVERVIEW)
        stored_sweeps = StoredSweeps(arguments.uri)
        sweeps = stored_sweeps.sweeps(*KINDS) if name is None else stored_sweeps.chosen(name, *KINDS)
        confirmations = _confirmations(stored_sweeps, {sweep.name for sweep in sweeps})
    if not sweeps:
        raise ConfigError(f"tracking.uri={arguments.uri}: no sweep was recorded there")
    records = []
    for sweep in sweeps:
        with Waiting(console, f"writing the page of {sweep.name}"):
            record = _write_page(stored_sweeps, sweep, confirmations.get(sweep.name, ()), console)
        records += [record] if record else []
    if name is None and records:
        _write_overview(records, console)
    return len(records) == len(sweeps)


def _confirmations(stored_sweeps: StoredSweeps, names: set[str]) -> dict[str, list[SweepRecord]]:
    """Return the confirmations of each of these sweeps, the oldest first, as far as they can be read."""
    found: dict[str, list[SweepRecord]] = {}
    for stored in reversed(stored_sweeps.sweeps("confirm")):
        if stored.confirms in names:
            with suppress(SweepError):  # which is said where its own page is written
                found.setdefault(stored.confirms, []).append(stored_sweeps.record(stored))
    return found


def _write_page(
    stored_sweeps: StoredSweeps, sweep: StoredSweep, confirmations: Sequence[SweepRecord], console: Console
) -> SweepRecord | None:
    """Write the page of a sweep; one that cannot be read is named, and the others still have their pages."""
    from sweeps.report import html
    from sweeps.report import write as report

    folder = REPORTS / sweep.name
    try:
        html.refuse_foreign(folder / report.FILE)
        record = stored_sweeps.record(sweep)
        page = report.write(record, folder / report.FILE, confirmations, figures=folder)
    except (SweepError, OSError) as error:
        reason = f"{folder}: {error.strerror or error}" if isinstance(error, OSError) else error
        console.print(f"error: {reason}", soft_wrap=True, style="red")
        return None
    console.print(f"{folder / report.FILE}, {len(page.figures)} figures", soft_wrap=True)
    return record


def _write_overview(records: Sequence[SweepRecord], console: Console) -> None:
    from sweeps.report import overview_page
    from sweeps.report import write as report

    pages = {record.started.sweep: f"{quote(record.started.sweep)}/{report.FILE}" for record in records}
    files.write_text(OVERVIEW, overview_page.render(overview_page.build(records), pages))
    console.print(f"{OVERVIEW}: models and datasets", soft_wrap=True)


if __name__ == "__main__":
    main()
