"""The report of a sweep or of a confirmation: one HTML page with its figures, made of the journal's record."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from sweeps import files, journal
from sweeps.journal import JournalError, SweepRecord, SweepStarted
from sweeps.report import confirmation_page, page_file, sweep_page
from sweeps.report.html import Report

log = logging.getLogger(__name__)

FILE = page_file.FILE


Confirmations = Sequence[SweepRecord]  # of the sweep whose page it is, the oldest first


def build(record: SweepRecord, confirmations: Confirmations = ()) -> Report:
    """Build the page of a sweep, finished or not. Its last line identifies the events that it shows."""
    report = confirmation_page.build(record) if record.started.confirms else sweep_page.build(record, confirmations)
    mark = _mark(record, confirmations, linked=bool(record.links.addresses))
    return report._replace(html=f"{report.html.rstrip()}\n{mark}\n")


def write(record: SweepRecord, path: Path, confirmations: Confirmations = (), *, figures: Path | None = None) -> Report:
    """Write the page to `path`, and its figures with their data into the folder `figures` if one is given."""
    report = build(record, confirmations)
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
        confirmations = beside(record)
        if not _shows(path, record, confirmations):
            write(record, path, confirmations)
    except Exception as error:
        log.warning("%s could not be written: %s", path, error)
        return None
    return path


def beside(record: SweepRecord) -> list[SweepRecord]:
    """Return the confirmations of a sweep whose directories lie beside its own, the oldest first."""
    if record.started.confirms:
        return []
    found = []
    for path in record.directory.parent.parent.glob(f"*/{record.directory.name}/{journal.FILE}"):
        try:
            events = journal.read(path.parent)
        except JournalError:
            continue  # of another sweep, which whoever reads that is told
        if isinstance(events[0] if events else None, SweepStarted):
            other = SweepRecord.of(path.parent, events)
            found += [other] if other.started.confirms == record.started.sweep else []
    return sorted(found, key=lambda other: other.started.time)


def _shows(path: Path, record: SweepRecord, confirmations: Confirmations) -> bool:
    """Say whether a page shows the same events, and links to the runs as far as these are known."""
    last = path.read_bytes().rstrip().rpartition(b"\n")[2].decode(errors="replace") if path.exists() else ""
    linked = (True, bool(record.links.addresses))
    return last in [_mark(record, confirmations, linked=each) for each in linked]


def _mark(record: SweepRecord, confirmations: Confirmations, *, linked: bool) -> str:
    fingerprints = " ".join(each.fingerprint for each in (record, *confirmations))
    return f"<!-- journal {fingerprints}{', with links' if linked else ''} -->"
