"""The report of a sweep or of a confirmation: one HTML page with its figures, made of the journal's record."""

from __future__ import annotations

import logging
from pathlib import Path

from sweeps import files
from sweeps.journal import SweepRecord
from sweeps.report import confirmation_page, page_file, sweep_page
from sweeps.report.html import Report

log = logging.getLogger(__name__)

FILE = page_file.FILE


def build(record: SweepRecord) -> Report:
    """Build the page of a sweep, finished or not. Its last line identifies the events that it shows."""
    report = confirmation_page.build(record) if record.started.confirms else sweep_page.build(record)
    return report._replace(html=f"{report.html.rstrip()}\n{_mark(record, linked=bool(record.links.addresses))}\n")


def write(record: SweepRecord, path: Path, *, figures: Path | None = None) -> Report:
    """Write the page to `path`, and its figures with their data into the folder `figures` if one is given."""
    report = build(record)
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_text(path, report.html)
    if figures is not None:
        figures.mkdir(parents=True, exist_ok=True)
        for figure in report.figures:
            (figures / f"{figure.name}.png").write_bytes(figure.png)
            (figures / f"{figure.name}.csv").write_bytes(figure.csv)
    return report


def ensure_written(record: SweepRecord) -> Path | None:
    """Return the page in the directory of a finished sweep; write it unless it is there and shows the same events.

    None if that fails: the page can be written later, so an error is logged and holds up nothing else.
    """
    path = record.directory / FILE
    try:
        if record.ended is None:
            raise ValueError("the sweep has not ended")
        if not _shows(path, record):
            write(record, path)
    except Exception as error:
        log.warning("%s could not be written: %s", path, error)
        return None
    return path


def _shows(path: Path, record: SweepRecord) -> bool:
    """Say whether a page shows the same events, and links to the runs as far as these are known."""
    last = path.read_bytes().rstrip().rpartition(b"\n")[2].decode(errors="replace") if path.exists() else ""
    return last in (_mark(record, linked=True), _mark(record, linked=bool(record.links.addresses)))


def _mark(record: SweepRecord, *, linked: bool) -> str:
    return f"<!-- journal {record.fingerprint}{', with links' if linked else ''} -->"
