"""The artifacts of a local store that was moved: MLflow keeps their absolute addresses in its database."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote

from sweeps.tracking import store

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
            is_uri = old.startswith("file:")
            if not Path(unquote(old.removeprefix("file://")) if is_uri else old).exists():
                _replace(connection, old, here.as_uri() if is_uri else str(here))


def _roots(connection: sqlite3.Connection) -> set[str]:
    """Return the folders on this machine in which the experiments have theirs."""
    locations = [row[0] or "" for row in connection.execute("SELECT artifact_location FROM experiments")]
    roots = {location.rpartition("/")[0] for location in locations}
    return {root for root in roots if root.endswith(f"/{FOLDER}") and root.startswith(("/", "file:///"))}


def _replace(connection: sqlite3.Connection, old: str, new: str) -> None:
    for table, column in ADDRESSES:
        connection.execute(
            f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
            (f"{new}/", len(old) + 2, len(old) + 1, f"{old}/"),
        )
