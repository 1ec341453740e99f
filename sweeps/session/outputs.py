"""The directories in which sweeps keep their records: `outputs/<directory>/<dataset>/journal.jsonl`."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sweeps import journal

OUTPUTS = Path("outputs")


def new_directory(model: str) -> Path:
    """Name a directory that no other sweep has."""
    return OUTPUTS / f"{model}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Hold a directory for this process, and make it if it is not there.

    A directory that was made here, and in which no sweep began, is removed again; one that was there never is.
    """
    is_new = not directory.exists()
    directory.mkdir(parents=True, exist_ok=True)
    with journal.locked(directory):
        try:
            yield
        finally:
            if is_new and not has_begun(directory):
                shutil.rmtree(directory)


def has_begun(directory: Path) -> bool:
    """Say whether a sweep of this directory has a journal."""
    return any(directory.glob(f"*/{journal.FILE}"))


def recorded_here(name: str) -> list[Path]:
    """Return the directories of the sweeps of that name: `<directory>/<dataset>`, or all of `<directory>`."""
    place = OUTPUTS / name.rstrip("/").removeprefix(f"{OUTPUTS}/")
    if (place / journal.FILE).is_file():
        return [place]
    return sorted(path.parent for path in place.glob(f"*/{journal.FILE}"))
