"""The creation of a store that several processes can use: none of them ever sees a part of it.

MLflow makes some thirty tables, one by one, and refuses a database that has only some of them. So a SQLite store is
made elsewhere and put into its place when it is complete.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from sweeps.tracking import database, failures, store
from sweeps.tracking.database import AbsentError, UnfinishedError

log = logging.getLogger(__name__)

PARTS = ("", "-journal", "-wal", "-shm")  # of a SQLite database, each a suffix
OTHERS = 60.0  # seconds that another process gets to finish the tables that it has begun
QUIET = 3.0  # seconds without a change, after which a file that nobody holds open is abandoned


def ensure(uri: str) -> None:
    """Create a store that is not there, and wait for one that another process is creating.

    A SQLite store that was left unfinished is moved aside. Raises `StoreRefusesError` or `StoreAwayError`.
    """
    if not store.is_sqlite(uri):
        try:
            _wait_for_others(uri)
        except AbsentError:  # MLflow makes the tables when it is first asked for anything
            return
        return
    path = store.database(uri)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path.parent):
            _ensure_file(uri, path)
    except OSError as error:
        raise failures.refused(uri, f"{path.parent}: {error.strerror}; give another file") from error


def _ensure_file(uri: str, path: Path) -> None:
    try:
        _wait_for_others(uri)
    except AbsentError:
        if any(path.with_name(path.name + suffix).exists() for suffix in PARTS):
            # SQLite would take the log of a database that was removed for the new one's.
            aside = _move_aside(path)
            log.warning("%s was removed, but not all that belongs to it; the rest is %s-… from here on", path, aside)
        _create(path)
    except UnfinishedError:
        aside = _move_aside(path)
        log.warning("%s was left unfinished and empty; it is %s from here on, and a new one is made", path, aside)
        _create(path)
    _prepare_for_writing(uri, path)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one process at a time into the block."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _wait_for_others(uri: str) -> None:
    """Check the store, and again as long as another process may be creating it."""
    until = time.monotonic() + OTHERS
    while True:
        try:
            return database.check(uri)
        except UnfinishedError:
            abandoned = store.is_sqlite(uri) and _is_abandoned(store.database(uri))
            if abandoned or time.monotonic() > until:
                raise
        time.sleep(0.2)


def _is_abandoned(path: Path) -> bool:
    """Whether no process holds a file, as far as this one may know, and nobody has changed it for a while."""
    last = max(_changed(path.with_name(path.name + suffix)) for suffix in PARTS)
    return time.time() - last > QUIET and not _holders(path)


def _changed(part: Path) -> float:
    """Return when a file was changed last; 0 for none, as SQLite removes a journal with each transaction."""
    try:
        return part.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _holders(path: Path) -> list[int]:
    """Return the ids of the processes that have a file open, where /proc tells."""
    holders = []
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if descriptor.samefile(path):
                holders.append(int(descriptor.parts[2]))
        except OSError:  # another user's, or closed by now
            continue
    return holders


def _move_aside(path: Path) -> Path:
    """Give an unfinished store a free name beside it, and return that; raises `UnfinishedError` if it is in use."""
    if holders := _holders(path):
        raise UnfinishedError(
            f"tracking.uri={store.of_file(path)}: process {holders[0]} has not finished its tables within "
            f"{OTHERS:.0f} s; wait until it has, or end it"
        )
    number = 1
    while any(_aside(path, number, suffix).exists() for suffix in PARTS):
        number += 1
    for suffix in PARTS:
        with suppress(FileNotFoundError):  # most have not every part
            path.with_name(path.name + suffix).rename(_aside(path, number, suffix))
    return _aside(path, number, "")


def _aside(path: Path, number: int, suffix: str) -> Path:
    return path.with_name(f"{path.name}.unfinished-{number}{suffix}")


def _create(path: Path) -> None:
    """Make a complete store in a temporary folder, and put it in its place; what is there already is left as it is.

    It is in WAL mode, which stays with the file: readers (MLflow's pages) do not wait for the writer.
    """
    with tempfile.TemporaryDirectory() as folder:
        complete = Path(folder, "mlflow.db")
        # The artifacts of MLflow's own experiment, Default, are where MLflow would put them.
        SqlAlchemyStore(store.of_file(complete), "./mlruns").engine.dispose()  # type: ignore[no-untyped-call]
        with closing(sqlite3.connect(complete)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        copy = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
        try:
            shutil.copyfile(complete, copy)
            _publish(copy, path)
        finally:
            copy.unlink(missing_ok=True)


def _publish(copy: Path, path: Path) -> None:
    """Give a file the name, unless that is taken; then a process that does not know this lock was quicker."""
    with copy.open("rb") as file:
        os.fsync(file.fileno())
    try:
        path.hardlink_to(copy)
    except FileExistsError:
        return
    except OSError:  # a file system without hard links
        if not path.exists():
            copy.rename(path)


def _prepare_for_writing(uri: str, path: Path) -> None:
    """Raise `StoreRefusesError` if the file cannot be written; and let MLflow's pages read while it is."""
    try:
        with closing(sqlite3.connect(path, timeout=20)) as connection:
            connection.execute(f"UPDATE {database.VERSION} SET version_num = version_num")
            connection.rollback()
            connection.execute("PRAGMA journal_mode=WAL")
    except sqlite3.Error as error:
        raise failures.of(uri, error) from error
