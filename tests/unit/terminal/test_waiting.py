import io
import re
import time

import pytest

from sweeps.terminal import waiting
from sweeps.terminal.console import Console
from sweeps.terminal.waiting import Waiting


def shown(console: Console, seconds: float, what: str = "starting the workers") -> str:
    with Waiting(console, what):
        time.sleep(seconds)
    assert isinstance(console.file, io.StringIO)
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", console.file.getvalue())


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "QUIET", 0.01)
    monkeypatch.setenv("TERM", "xterm")


def test_where_no_line_can_move_there_is_one() -> None:
    assert shown(Console(file=io.StringIO()), 0.2) == "starting the workers …\n"


def test_a_dumb_terminal_gets_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert shown(Console(file=io.StringIO(), terminal=True), 0.2) == "starting the workers …\n"


def test_on_a_terminal_something_moves_and_is_gone_afterwards() -> None:
    frames = shown(Console(file=io.StringIO(), width=60, terminal=True), 1.0)
    assert "starting the workers" in frames
    assert len(set(re.findall("[\u2800-\u28ff]", frames))) > 1


def test_a_short_wait_is_not_mentioned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "QUIET", 60)
    assert shown(Console(file=io.StringIO()), 0.0) == ""


def test_names_are_no_markup() -> None:
    assert shown(Console(file=io.StringIO()), 0.2, "[red]a\x1b[0m") == "[red]a\\u001b[0m …\n"
