"""The directories in which sweeps keep their records: `outputs/<directory>/<dataset>/journal.jsonl`."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from os.path import samestat
from pathlib import Path

from conf import stored
from conf.schema import ConfigError
from sweeps import files, journal
from sweeps.journal import JournalError, SweepStarted
from sweeps.tracking import store

OUTPUTS = Path("outputs")
COMMAND = "confirm.json"  # in the directory of a confirmation: the request that it was started with
WRITTEN_FIRST = (stored.FILE, COMMAND, journal.LOCK)  # before any sweep begins


def new_directory(model: str) -> Path:
    """Name a directory that no other sweep has."""
    return OUTPUTS / f"{model}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Hold a directory for this process, and make it if it is not there.

    A directory that was made here, and in which no sweep began, is removed again, unless others have put something
    into it; one that was there never is. The same holds for the folder in which it lies.
    """
    is_new, is_first = not directory.exists(), not directory.parent.exists()
    directory.mkdir(parents=True, exist_ok=True)
    made = directory.stat()
    with journal.locked(directory):
        try:
            yield
        finally:
            if is_new and directory.is_dir() and samestat(directory.stat(), made) and not has_begun(directory):
                _remove(directory)
                if is_first:
                    _remove_empty(directory.parent)


def _remove(directory: Path) -> None:
    for name in WRITTEN_FIRST:
        (directory / name).unlink(missing_ok=True)
    _remove_empty(directory)


def _remove_empty(directory: Path) -> None:
    with suppress(OSError):  # it is not empty
        directory.rmdir()


def write_config(directory: Path, yaml: str) -> None:
    """Write the configuration with which sweeps go on, unless its file says the same: comments in it are kept."""
    if not stored.agrees(directory, yaml):
        files.write_text(directory / stored.FILE, yaml)


def has_begun(directory: Path) -> bool:
    """Say whether a sweep of this directory has a journal."""
    return any(directory.glob(f"*/{journal.FILE}"))


def all_directories(others: Sequence[Path] = ()) -> set[Path]:
    """Return the directory of every sweep that has a journal, here or in other places that hold sweeps."""
    journals = [path for place in (*OUTPUTS.glob("*"), *others) for path in place.glob(f"*/{journal.FILE}")]
    return {path.parent for path in journals}


def recorded_here(name: str) -> list[Path]:
    """Return the directories of the sweeps of that name: `<directory>/<dataset>`, or all of `<directory>`.

    A directory that was renamed is found by the name that its journals have, too.
    """
    bare_name = name.rstrip("/").removeprefix(f"{OUTPUTS}/")
    place = OUTPUTS / bare_name
    if (place / journal.FILE).is_file():
        return [place]
    everything = sorted(all_directories())
    below = sorted(path.parent for path in place.glob(f"*/{journal.FILE}"))
    return below or [path for path in everything if bare_name in _names(path)]


def name_of(directory: Path) -> str:
    """Return the name that a directory had when its sweeps began: everything that was logged has it."""
    recorded = (_names(path.parent) for path in sorted(directory.glob(f"*/{journal.FILE}")))
    return next((names[1] for names in recorded if names), directory.resolve().name)


def refuse_copy(directory: Path) -> None:
    """Raise `ConfigError` for a copy of a directory that is still there: both would be logged as the same runs."""
    name = name_of(directory)
    original = directory.resolve().parent / name
    if name != directory.resolve().name and original.is_dir() and name_of(original) == name:
        raise ConfigError(f"{directory}: a copy of {original}, which has the same runs; use that one, or move one away")


def store_of(recorded: str) -> str | None:
    """Return the store that a journal names; None for a database that is gone, as after a move of the project."""
    is_gone = store.is_sqlite(recorded) and not store.database(recorded).is_file()
    return None if is_gone else recorded or None


def _names(directory: Path) -> tuple[str, ...]:
    """Return the names of the sweep whose journal lies in a directory; empty where none can be read."""
    try:
        events = journal.read(directory)
    except (JournalError, OSError):
        return ()
    return tuple(name for event in events[:1] if isinstance(event, SweepStarted) for name in event.names)
