"""The sweeps that a store has, for a list of them: a SQLite file is read without MLflow, whose import takes seconds."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from sweeps import journal
from sweeps.errors import SweepError
from sweeps.journal import SweepRecord
from sweeps.tracking import driver_process, store

KINDS = ("sweep", "confirm")
LARGEST = 2**30  # bytes of a journal
RUNNING = "RUNNING"
TAGS = """
    SELECT runs.run_uuid, runs.status, runs.artifact_uri, tags.key, tags.value
    FROM runs JOIN tags ON tags.run_uuid = runs.run_uuid
    WHERE runs.lifecycle_stage = 'active' AND runs.run_uuid IN (
        SELECT run_uuid FROM tags WHERE key = 'kind' AND value IN ('sweep', 'confirm')
    )
    ORDER BY runs.start_time, runs.run_uuid
"""


class Stored(NamedTuple):
    """A sweep of a store; without a record there is the reason why it cannot be read."""

    name: str
    record: SweepRecord | None
    running: bool = False
    reason: str = ""


def others(uri: str, known: Collection[str]) -> Iterator[Stored]:
    """Yield the sweeps of a store that are not `known`; none of a file that is not there.

    Raises `SweepError` or `ConfigError` if the store cannot be read.
    """
    if not store.is_sqlite(uri):
        yield from _asked(uri, known)
    elif (database := store.database(uri)).exists():
        try:
            with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True, timeout=1)) as connection:
                rows = connection.execute(TAGS).fetchall()
        except sqlite3.Error as error:
            raise SweepError(f"tracking.uri={uri}: cannot be read ({error})") from error
        yield from _read(rows, database, known)


def _read(rows: list[tuple[str, str, str, str, str]], database: Path, known: Collection[str]) -> Iterator[Stored]:
    runs: dict[str, tuple[str, str, dict[str, str]]] = {}
    for run, status, place, key, value in rows:
        runs.setdefault(run, (status, place, {}))[2][key] = value
    seen = set(known)
    for status, place, tags in runs.values():
        name = tags.get("sweep", "")
        if name and name not in seen:  # an imported run may have the tags of an older one
            seen.add(name)
            running = status == RUNNING and not driver_process.is_known_dead(tags)
            yield _of_folder(name, _folder(place, database), running)


def _of_folder(name: str, folder: Path | None, running: bool) -> Stored:
    path = folder / journal.FILE if folder else None
    if folder is None or path is None or not path.is_file():
        return Stored(name, None, running, f"its {journal.FILE} is not on this machine")
    if path.stat().st_size > LARGEST:
        return Stored(name, None, running, f"its {journal.FILE} has more than {LARGEST:,} bytes")
    try:
        events = journal.read(folder)
    except (SweepError, OSError) as error:
        return Stored(name, None, running, str(error))
    if not events:
        return Stored(name, None, running, f"its {journal.FILE} is empty")
    return Stored(name, SweepRecord.of(folder, events), running)


def _folder(place: str, database: Path) -> Path | None:
    """Return where the files of a run lie: beside the database, if both were moved; None for those of a server."""
    parts = urlsplit(place)
    if parts.scheme not in ("", "file"):
        return None
    folder = Path(unquote(parts.path) if parts.scheme else place)
    moved = database.parent / "mlruns" / str(folder).rpartition("/mlruns/")[2].lstrip("/")
    return moved if not folder.exists() and moved.exists() else folder


def _asked(uri: str, known: Collection[str]) -> Iterator[Stored]:
    """Ask a server, or another database, by MLflow's client."""
    from sweeps.tracking.reader import StoredSweeps

    stored_sweeps = StoredSweeps(uri)
    for sweep in stored_sweeps.sweeps(*KINDS):
        if sweep.name not in known:
            try:
                yield Stored(sweep.name, stored_sweeps.record(sweep), sweep.running)
            except SweepError as error:
                yield Stored(sweep.name, None, sweep.running, str(error))
