"""Write the trials of a sweep and their curves as tables, for spreadsheets and other programs.

    python -m pipelines.export sweep=<name>                  conv_lstm-…/imdb, or conv_lstm-… for all its datasets
    python -m pipelines.export sweep=<name> format=parquet   exact types; otherwise format=csv
    … tracking.uri=http://…                                  the store of a sweep that is not in outputs/

It writes exports/<sweep>/trials.csv, a row for each trial (hyperparameters, objective, test scores, seconds, state),
and exports/<sweep>/curves.csv, a row for each epoch. A text that a spreadsheet would take for a formula (=…, +…, -…,
@…) is not written as CSV; format=parquet keeps it as it is. Exit status: 0 if all tables were written.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console

from conf.schema import ConfigError, did_you_mean
from pipelines.command import execute, read_options, show_help
from sweeps import files, invocation
from sweeps.errors import SweepError
from sweeps.session import recorded
from sweeps.tracking import store

if TYPE_CHECKING:
    import pandas as pd

    from sweeps.journal import SweepRecord

EXPORTS = Path("exports")
OPTIONS = ("sweep", "format", "tracking.uri")
FORMATS = ("csv", "parquet")
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what the text of a cell begins with that spreadsheets calculate
SIGN = "text-sweeps"  # in the description of a Parquet file


class Arguments(NamedTuple):
    """The options of the command line."""

    sweep: str
    format: str
    uri: str | None


def main() -> None:
    execute(lambda console: export(read_arguments(sys.argv[1:]), console))


def read_arguments(arguments: Sequence[str]) -> Arguments:
    """Return the options; raises `ConfigError`."""
    show_help(arguments, __doc__)
    options = read_options(arguments, OPTIONS)
    if "sweep" not in options:
        raise ConfigError(f"sweep: has no value; give the name of a sweep, as {invocation.command('report')} prints it")
    form = options.get("format", "csv")
    if form not in FORMATS:
        raise ConfigError(f"format={form}: allowed: {', '.join(FORMATS)}{did_you_mean(form, FORMATS)}")
    if form == "parquet" and find_spec("pyarrow") is None:
        raise ConfigError("format=parquet: pyarrow, which writes it, is not installed; format=csv needs no package")
    uri = store.uri(options["tracking.uri"]) if "tracking.uri" in options else None
    return Arguments(options["sweep"], form, uri)


def export(arguments: Arguments, console: Console) -> bool:
    """Write the tables of each sweep that the name stands for, and return True."""
    from sweeps import frames

    for record in recorded.anywhere(arguments.sweep, arguments.uri):
        folder = _folder(record)
        written = []
        for name, frame, rows in (
            ("trials", frames.trials([record]), "trials"),
            ("curves", frames.curves([record]), "epochs"),
        ):
            path = folder / f"{name}.{arguments.format}"
            _write(path, frame, arguments.format)
            written.append(f"{path}, {len(frame):,} {rows}")
        console.print("; ".join(written), soft_wrap=True)
    return True


def _folder(record: SweepRecord) -> Path:
    """Return the folder of a sweep's tables; raises `SweepError` for a name that leads elsewhere."""
    folder = EXPORTS / record.started.sweep
    if ".." in folder.parts or not folder.is_relative_to(EXPORTS) or folder == EXPORTS:
        raise SweepError(f"{record.started.sweep}: no name of a sweep")
    return folder


def _write(path: Path, frame: pd.DataFrame, form: str) -> None:
    """Write a table, unless a file of others is in its place: then raises `SweepError`."""
    content = _csv(frame) if form == "csv" else _parquet(frame)
    if path.exists() and not _is_own(path.read_bytes(), frame, form):
        raise SweepError(f"{path}: not a table of this command; move it away")
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, lambda file: file.write(content))


def _csv(frame: pd.DataFrame) -> bytes:
    _refuse_formulas(frame)
    return bytes(frame.to_csv(index=False).encode("utf-8", "backslashreplace"))


def _parquet(frame: pd.DataFrame) -> bytes:
    frame.attrs[SIGN] = "table"
    return bytes(frame.to_parquet(index=False, engine="pyarrow"))


def _is_own(content: bytes, frame: pd.DataFrame, form: str) -> bool:
    """Say whether a file begins as the tables of this command do."""
    if form == "csv":
        return content.startswith(",".join(frame.columns[:4]).encode())
    return content.startswith(b"PAR1") and f'"{SIGN}"'.encode() in content


def _refuse_formulas(frame: pd.DataFrame) -> None:
    """Raise `SweepError` for a text that a spreadsheet would calculate.

    Quotes do not keep it from doing so, and any other character before the text would be read back as a part of it.
    """
    cells = [("the name of a column", str(name)) for name in frame.columns]
    for name, column in frame.items():
        if column.dtype == "string":
            cells += [(f"a value of {name}", text) for text in column.dropna().unique()]
    for place, text in cells:
        if text.startswith(FORMULA):
            raise SweepError(
                f"{text}: {place}, which a spreadsheet would take for a formula; format=parquet keeps it as it is"
            )


if __name__ == "__main__":
    main()
