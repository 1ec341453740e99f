"""A journal that is read while it grows, and who writes it."""

import json
import os
import socket
import time
from pathlib import Path

import psutil
import pytest

from sweeps import journal
from sweeps.journal import Follower, Journal, JournalError, SweepRecord
from sweeps.journal.events import to_entry
from tests import records

EVENTS = records.events(trials=2, epochs=2)


def test_each_event_is_yielded_once_and_added_up(tmp_path: Path) -> None:
    follower, written, seen = Follower(tmp_path), Journal(tmp_path), []
    for event in EVENTS:
        written.append(event)
        seen += follower.events()
    written.close()
    assert seen == EVENTS == journal.read(tmp_path)
    assert follower.record is not None
    assert follower.record.fingerprint == SweepRecord.of(tmp_path, EVENTS).fingerprint
    assert list(follower.events()) == []


def test_a_reader_that_stops_in_between_goes_on_there(tmp_path: Path) -> None:
    lines = [json.dumps(to_entry(event)) + "\n" for event in EVENTS]
    (tmp_path / journal.FILE).write_text("".join(lines[:-1]) + lines[-1][:5])
    follower = Follower(tmp_path)
    first = next(iter(follower.events()))
    assert [first, *follower.events()] == EVENTS[:-1]
    (tmp_path / journal.FILE).write_text("".join(lines))
    assert list(follower.events()) == EVENTS[-1:]


def test_a_damaged_line_is_named_each_time_with_its_number(tmp_path: Path) -> None:
    lines = [json.dumps(to_entry(event)) for event in EVENTS[:2]]
    (tmp_path / journal.FILE).write_text("\n".join([*lines, "{", ""]))
    follower = Follower(tmp_path)
    assert list(zip(range(2), follower.events(), strict=False)) != []
    for _ in range(2):
        with pytest.raises(JournalError, match="line 3 is damaged"):
            list(follower.events())


def test_a_directory_is_held_while_the_process_in_its_lock_lives(tmp_path: Path) -> None:
    assert not journal.is_held(tmp_path)
    with journal.locked(tmp_path):
        assert journal.is_held(tmp_path)


@pytest.mark.parametrize(
    ("content", "held"),
    [
        ("", False),
        ("a file of mine", False),
        (f"process {2**22 + 1} on {socket.gethostname()}", False),
        (f"process {10**30} on {socket.gethostname()}", False),
        (f"process {os.getpid()} on {socket.gethostname()}\n", True),
        ("process 1 on another-machine", True),
    ],
)
def test_a_lock_names_a_process(content: str, held: bool, tmp_path: Path) -> None:
    (tmp_path / journal.LOCK).write_text(content)
    assert journal.is_held(tmp_path) is held


def test_a_later_process_with_the_same_number_holds_nothing(tmp_path: Path) -> None:
    lock = tmp_path / journal.LOCK
    lock.write_text(f"process {os.getpid()} on {socket.gethostname()}")
    before = psutil.Process().create_time() - 60
    os.utime(lock, (before, before))
    assert before < time.time()
    assert not journal.is_held(tmp_path)
