"""The list of sweeps, and which of them a page is shown."""

import fcntl
import json
import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from sweeps import journal
from sweeps.journal import Event
from sweeps.journal.events import to_entry
from sweeps.live import feed
from sweeps.live.feed import Feed
from sweeps.report import page_file
from tests import records

OUTPUTS = Path("outputs")
HELD: list[IO[str]] = []


def all_of_them() -> list[Path]:
    return [path.parent for path in OUTPUTS.glob(f"*/*/{journal.FILE}")]


def sweep(name: str, events: Sequence[Event], *, held: bool = False) -> Path:
    directory = OUTPUTS / name / "imdb"
    directory.mkdir(parents=True)
    (directory / journal.FILE).write_text("".join(json.dumps(to_entry(event)) + "\n" for event in events))
    if held:
        hold(directory.parent)
    else:
        (directory.parent / journal.LOCK).write_text(f"process {2**22 + 1} on {socket.gethostname()}")
    return directory


def hold(directory: Path) -> None:
    """Hold a directory to the end of the tests."""
    lock = (directory / journal.LOCK).open("w")
    lock.write(f"process {os.getpid()} on {socket.gethostname()}")
    lock.flush()
    fcntl.flock(lock, fcntl.LOCK_EX)
    HELD.append(lock)


def begun(name: str, hours: float, *, end: bool = True) -> list[Event]:
    return records.events(trials=1, end=end, sweep=f"{name}/imdb", time=records.BEGAN + 3600 * hours)


def test_sweeps_are_listed_newest_first_with_their_states() -> None:
    sweep("a", begun("a", 0))
    sweep("b", begun("b", 1, end=False), held=True)
    sweep("c", begun("c", 2, end=False))
    listed = Feed(all_of_them).answer({})["sweeps"]
    assert [(each["name"], each["state"]) for each in listed] == [
        ("c/imdb", "interrupted"),
        ("b/imdb", "running"),
        ("a/imdb", "completed"),
    ]


def test_the_newest_that_runs_is_shown_or_else_the_newest() -> None:
    shown = Feed(all_of_them)
    assert shown.answer({})["sweep"] is None
    sweep("a", begun("a", 0))
    sweep("c", begun("c", 2))
    assert shown.answer({})["sweep"]["name"] == "c/imdb"
    sweep("b", begun("b", 1, end=False), held=True)
    assert shown.answer({})["sweep"]["name"] == "b/imdb"
    (key,) = (each["key"] for each in shown.answer({})["sweeps"] if each["name"] == "a/imdb")
    assert shown.answer({"sweep": key})["sweep"]["name"] == "a/imdb"
    assert shown.answer({"sweep": "../../etc/passwd"})["sweep"] is None


def test_the_page_of_a_command_is_not_shown_what_ended_before_it() -> None:
    directory = sweep("a", begun("a", 0))
    os.utime(directory / journal.FILE, (1.0, 1.0))
    shown = Feed(all_of_them, since=time.time() - 60)
    assert shown.answer({})["sweep"] is None
    assert len(shown.answer({})["sweeps"]) == 1
    sweep("b", begun("b", 1, end=False), held=True)
    assert shown.answer({})["sweep"]["name"] == "b/imdb"


def test_a_sweep_that_is_resumed_runs_again_and_has_then_ended() -> None:
    directory, events = sweep("a", begun("a", 0)), begun("a", 0)
    shown = Feed(all_of_them)
    assert shown.answer({})["sweep"]["state"] == "completed"
    hold(directory.parent)
    with (directory / journal.FILE).open("a") as file:
        file.write(json.dumps(to_entry(journal.SweepResumed(records.configuration(), 2))) + "\n")
        file.flush()
        assert shown.answer({})["sweep"]["state"] == "running"
        file.write(json.dumps(to_entry(events[-1])) + "\n")
    assert shown.answer({})["sweep"]["state"] == "completed"


def test_a_journal_that_was_replaced_is_read_anew() -> None:
    directory = sweep("a", begun("a", 0))
    shown = Feed(all_of_them)
    before = shown.answer({})["sweep"]
    again = directory / "again"
    again.write_text("".join(json.dumps(to_entry(event)) + "\n" for event in begun("z", 0)))
    again.replace(directory / journal.FILE)
    after = shown.answer({"view": before["view"], "events": str(before["events"])})["sweep"]
    assert (after["name"], len(after["trials"])) == ("z/imdb", 1)


def test_what_is_no_journal_is_not_listed() -> None:
    for name, content in (("a", b""), ("b", b"\xff\xfe"), ("c", b"[]\n"), ("d", b'{"event": "sweep_ended"}\n')):
        (OUTPUTS / name / "imdb").mkdir(parents=True)
        (OUTPUTS / name / "imdb" / journal.FILE).write_bytes(content)
    (OUTPUTS / "e" / "imdb" / journal.FILE).mkdir(parents=True)
    assert Feed(all_of_them).answer({}) == {"sweeps": [], "older": 0, "sweep": None}


def test_a_damaged_journal_is_named_and_the_others_are_shown() -> None:
    directory = sweep("a", begun("a", 0))
    with (directory / journal.FILE).open("a") as file:
        file.write("{broken\n")
    answer = Feed(all_of_them).answer({})
    assert "damaged" in answer["sweep"]["fault"]
    assert answer["sweep"]["state"] == "interrupted"


def test_only_the_newest_are_listed_and_few_are_kept_in_memory() -> None:
    for number in range(feed.LISTED + 2):
        sweep(f"s{number}", begun(f"s{number}", number))
    shown = Feed(all_of_them)
    answer = shown.answer({})
    assert (len(answer["sweeps"]), answer["older"]) == (feed.LISTED, 2)
    for each in answer["sweeps"][: feed.VIEWS + 2]:
        shown.answer({"sweep": each["key"]})
    assert len(shown._views) == feed.VIEWS


def test_a_report_is_served_only_if_it_is_this_projects() -> None:
    directory = sweep("a", begun("a", 0))
    shown = Feed(all_of_them)
    (entry,) = shown.answer({})["sweeps"]
    assert (entry["report"], shown.report(entry["key"])) == (False, None)
    (directory / page_file.FILE).write_bytes(b"<style>" + page_file.SIGN + b"</style>")
    (entry,) = shown.answer({})["sweeps"]
    assert entry["report"]
    assert shown.report(entry["key"]) == b"<style>" + page_file.SIGN + b"</style>"
    (directory / page_file.FILE).unlink()
    (directory / page_file.FILE).symlink_to("/etc/passwd")
    assert not shown.answer({})["sweeps"][0]["report"]  # nor is it offered
    assert shown.report(entry["key"]) is None
    assert shown.report("../a") is None
