"""The state of a store that is a database: absent, unfinished, complete, or made by another MLflow.

MLflow itself is not imported, which would take seconds, and nothing is written.
"""

from __future__ import annotations

import importlib.util
import re
import shlex
from importlib import metadata
from pathlib import Path

import sqlalchemy
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from sweeps import invocation
from sweeps.tracking import failures, store
from sweeps.tracking.failures import StoreRefusesError

ANOTHER = "give a file that can be read, as sqlite:///path/to/mlflow.db"
VERSION = "alembic_version"  # the table that names the version of all others
FIRST_TABLES = {"experiments", "registered_models"}  # among those that MLflow makes before it has a version
FILLED_BY_MLFLOW = {VERSION, "workspaces"}  # while it makes the tables


class AbsentError(StoreRefusesError):
    """There is no store yet."""


class UnfinishedError(StoreRefusesError):
    """Some of MLflow's tables are there, and nothing is in them: their creation goes on, or was cut short."""


def check(uri: str) -> None:
    """Raise `StoreRefusesError` unless a database is a store of the installed MLflow's.

    Raises `AbsentError` if it has no tables, `UnfinishedError` for some, and `StoreAwayError` if it does not answer.
    """
    if store.is_sqlite(uri):
        _check_file(uri)
    try:
        # MLflow's own engine would be tried ten times, with a traceback for each.
        with _engine(uri).connect() as connection:
            _check_tables(uri, connection)
    except SQLAlchemyError as error:
        raise failures.of(uri, error) from error


def _engine(uri: str) -> Engine:
    try:
        address = sqlalchemy.make_url(uri)
        if not store.is_sqlite(uri) and "@" in (address.database or ""):
            raise ArgumentError("its password ends at the first of its own / or @")
        return sqlalchemy.create_engine(address, poolclass=NullPool)
    except ModuleNotFoundError as error:
        raise failures.refused(uri, f"the database's driver is not installed here: {error.name}") from error
    except NoSuchModuleError as error:
        raise failures.refused(uri, f"there is no such driver: {error}") from error
    except (ArgumentError, ValueError) as error:
        raise failures.refused(
            uri, "not an address that can be read; / and @ in a password are written as %2F and %40"
        ) from error


def revisions() -> dict[str, str]:
    """Return the versions of MLflow's database, each with the one before it, as its migration scripts name them."""
    package = importlib.util.find_spec("mlflow")
    assert package is not None
    assert package.origin is not None
    scripts = (Path(package.origin).parent / "store/db_migrations/versions").glob("*.py")
    texts = [script.read_text(encoding="utf-8") for script in scripts]
    pattern = re.compile(r'^revision = "(\w+)"\ndown_revision = (?:"(\w+)"|None)', re.MULTILINE)
    return {match[1]: match[2] or "" for text in texts if (match := pattern.search(text))}


def _check_file(uri: str) -> None:
    path = store.database(uri)
    if not path.exists():
        raise AbsentError(
            f"tracking.uri={uri}: there is no such store; a sweep creates it: {invocation.command('sweep')}"
        )
    if not path.is_file():
        raise failures.refused(uri, f"{'a folder' if path.is_dir() else 'not a regular file'}; {ANOTHER}")
    try:
        path.open("rb").close()
    except OSError as error:
        raise failures.refused(uri, f"{error.strerror}; {ANOTHER}") from error


def _check_tables(uri: str, connection: Connection) -> None:
    if store.is_sqlite(uri):
        connection.execute(text("BEGIN"))  # all of it as it is at one instant: another process may be making tables
    tables = set(sqlalchemy.inspect(connection).get_table_names())
    address = store.without_password(uri)
    if not tables:
        kind = UnfinishedError if store.is_sqlite(uri) else AbsentError  # a file without tables is in somebody's way
        raise kind(f"tracking.uri={address}: it is empty; a sweep makes the tables: {invocation.command('sweep')}")
    if tables.isdisjoint(FIRST_TABLES):
        raise failures.refused(uri, f"not a store of MLflow's, but a database with {', '.join(sorted(tables)[:3])}")
    version = connection.execute(text(f"SELECT version_num FROM {VERSION}")).scalar() if VERSION in tables else None
    before = revisions()
    if version in before.keys() - before.values():
        return
    if not any(_has_rows(connection, table) for table in tables - FILLED_BY_MLFLOW):
        raise UnfinishedError(
            f"tracking.uri={address}: MLflow's tables are not complete, and empty; a sweep makes them anew in a file, "
            "a database has to be emptied"
        )
    raise failures.refused(uri, _another_version(uri, version, known=version is None or version in before))


def _has_rows(connection: Connection, table: str) -> bool:
    name = connection.dialect.identifier_preparer.quote(table)
    return connection.execute(text(f"SELECT 1 FROM {name}")).first() is not None


def _another_version(uri: str, version: str | None, *, known: bool) -> str:
    installed = f"MLflow {metadata.version('mlflow')}"
    if not known:
        return f"made by a newer MLflow than {installed}, which is installed; install that one"
    address = shlex.quote(store.without_password(uri))
    return f"made by an older MLflow than {installed}; to upgrade it: mlflow db upgrade {address}"
