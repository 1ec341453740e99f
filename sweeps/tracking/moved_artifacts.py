"""The artifacts of a local store that was moved: MLflow keeps their absolute addresses in its database."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote

from sweeps.tracking import store

log = logging.getLogger(__name__)

FOLDER = "mlruns"  # beside the database
ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def follow(uri: str) -> None:
    """Correct the addresses of a SQLite store whose folder of artifacts came along and is gone where it was."""
    path = store.database(uri)
    here = path.parent / FOLDER
    if not store.is_sqlite(uri) or not path.is_file() or not here.is_dir():
        return
    with closing(sqlite3.connect(path, timeout=20)) as connection, connection:
        for old in _roots(connection):
            if not _path(old).exists() and _came_along(connection, old, here):
                _replace(connection, old, here.as_uri() if old.startswith("file:") else str(here))
                log.warning("%s was moved: the addresses of its files are corrected, from %s", path, _path(old))


def _roots(connection: sqlite3.Connection) -> set[str]:
    """Return the folders on this machine in which the experiments have theirs."""
    locations = [row[0] or "" for row in connection.execute("SELECT artifact_location FROM experiments")]
    roots = {location.rpartition("/")[0] for location in locations}
    return {root for root in roots if root.endswith(f"/{FOLDER}") and root.startswith(("/", "file:///"))}


def _path(address: str) -> Path:
    return Path(unquote(address.removeprefix("file://")) if address.startswith("file:") else address)


def _came_along(connection: sqlite3.Connection, old: str, here: Path) -> bool:
    """Whether the files of some run are here: those of others may be on a drive that is not there now."""
    addresses = [row[0] or "" for row in connection.execute("SELECT artifact_uri FROM runs")]
    inside = [_path(address).relative_to(_path(old)) for address in addresses if address.startswith(f"{old}/")]
    return any((here / place).exists() for place in inside)


def _replace(connection: sqlite3.Connection, old: str, new: str) -> None:
    for table, column in ADDRESSES:
        connection.execute(
            f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
            (f"{new}/", len(old) + 2, len(old) + 1, f"{old}/"),
        )
