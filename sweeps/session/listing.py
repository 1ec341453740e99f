"""The sweeps of a folder and of a store, each with its state and the command that goes on with it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from sweeps import invocation, journal
from sweeps.journal import JournalError, SweepRecord
from sweeps.journal.endings import INTERRUPTED, MAX_FAILURES, state
from sweeps.tracking import listing, store

UNREADABLE = "unreadable"  # besides the states of `sweeps.journal.endings`
SHOWN = {"completed": "finished"}  # state -> its word in a list


class Listed(NamedTuple):
    """A sweep in a list. Without a record there is the reason why it cannot be read."""

    name: str  # <directory>/<dataset>, as it was when the sweep began
    state: str
    place: str  # a directory, or the address of a store
    record: SweepRecord | None = None
    resume: str = ""  # a command; empty where nothing would go on
    reason: str = ""

    @property
    def directory(self) -> str:
        return self.name.rpartition("/")[0]

    @property
    def dataset(self) -> str:
        return self.record.started.dataset if self.record else self.name.rpartition("/")[2]


def here(folder: Path) -> Iterator[Listed]:
    """Yield the sweeps whose journals lie in a folder of directories."""
    for path in sorted(folder.glob(f"*/*/{journal.FILE}")):
        directory, name = path.parent.parent, f"{path.parent.parent.name}/{path.parent.name}"
        try:
            events = journal.read(path.parent)
        except (JournalError, OSError) as error:
            yield Listed(name, UNREADABLE, str(path.parent), reason=str(error))
            continue
        if events:
            record = SweepRecord.of(path.parent, events)
            found = _state(record, running=journal.in_use(directory))
            yield Listed(record.started.sweep, found, str(path.parent), record, _resume(record, found, directory))


def in_store(uri: str, known: Collection[str]) -> Iterator[Listed]:
    """Yield the sweeps of a store that are not `known`; raises `SweepError` or `ConfigError` if it cannot be read."""
    address = store.without_password(uri)
    for name, record, running, reason in listing.others(uri, known):
        found = UNREADABLE if record is None else _state(record, running=running)
        yield Listed(name, found, address, record, reason=reason)


def _state(record: SweepRecord, *, running: bool) -> str:
    found = state(record.ended.status if record.ended else None, running=running)
    return SHOWN.get(found, found)


def _resume(record: SweepRecord, found: str, directory: Path) -> str:
    stopped = record.ended is not None and record.ended.reason == MAX_FAILURES
    if found != INTERRUPTED and not stopped:
        return ""
    return invocation.resume(directory, confirms=bool(record.started.confirms))
