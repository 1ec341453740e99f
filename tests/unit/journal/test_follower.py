"""A journal that is read while it grows."""

import json
from pathlib import Path

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
