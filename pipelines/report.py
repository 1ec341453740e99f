"""What the sweeps in a store taught: a page for each, with its figures, and a table of all.

    python -m pipelines.report                             every sweep, and the table of models and datasets
    python -m pipelines.report sweep=<name>                one, or those of one directory: conv_lstm-…/imdb, conv_lstm-…
    python -m pipelines.report tracking.uri=http://…       from this store; else MLFLOW_TRACKING_URI, else ./mlflow.db

Needs nothing but the store. Writes reports/<sweep>/report.html, a file that can be mailed, with reports/<sweep>/*.png
beside it, and reports/index.html. Exit status: 0 when every page was written.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from rich.console import Console

from pipelines.command import read_options, show_help
from conf.schema import ConfigError
from sweeps import journal
from sweeps.tracking import store
from sweeps.errors import SweepError

if TYPE_CHECKING:
    from sweeps.journal import SweepRecord
    from sweeps.tracking.reader import Entry, Recorded

REPORTS = Path("reports")
KINDS = ("sweep", "confirm")
OPTIONS = ("sweep", "tracking.uri")


class Arguments(NamedTuple):
    sweep: str | None
    uri: str


def main() -> None:
    console = Console()
    try:
        complete = report(read_arguments(sys.argv[1:]), console)
    except (ConfigError, SweepError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0 if complete else 1)


def read_arguments(arguments: Sequence[str]) -> Arguments:
    """Raises `ConfigError`."""
    show_help(arguments, __doc__)
    given = read_options(arguments, OPTIONS)
    return Arguments(given.get("sweep"), store.uri(given.get("tracking.uri")))


def report(arguments: Arguments, console: Console) -> bool:
    """Write the pages; whether all of those asked for could be."""
    from sweeps.tracking.reader import Recorded

    recorded = Recorded(arguments.uri)
    wanted = arguments.sweep
    entries = recorded.entries(*KINDS) if wanted is None else recorded.chosen(wanted, *KINDS)
    if not entries:
        raise ConfigError(f"tracking.uri={arguments.uri}: no sweep was recorded there")
    records = [record for entry in entries if (record := _written(recorded, entry, console))]
    if arguments.sweep is None and records:
        _write_overview(records, console)
    return len(records) == len(entries)


def _written(recorded: Recorded, entry: Entry, console: Console) -> SweepRecord | None:
    """One that cannot be read is no reason to leave the others."""
    from sweeps.report import write as reports

    folder = REPORTS / entry.name
    try:
        record = recorded.record(entry)
    except SweepError as error:
        console.print(f"error: {error}", soft_wrap=True, style="red")
        return None
    made = reports.write(record, folder / reports.FILE, figures=folder)
    console.print(f"{folder / reports.FILE}, {len(made.figures)} figures", soft_wrap=True, highlight=False)
    return record


def _write_overview(records: Sequence[SweepRecord], console: Console) -> None:
    from sweeps.report import overview_page
    from sweeps.report import write as reports

    names = [record.started.sweep for record in records if record.started is not None]
    pages = {name: f"{quote(name)}/{reports.FILE}" for name in names}
    journal.write_whole(REPORTS / "index.html", overview_page.render(overview_page.of(records), pages))
    console.print(f"{REPORTS / 'index.html'}: models and datasets", soft_wrap=True, highlight=False)


if __name__ == "__main__":
    main()
