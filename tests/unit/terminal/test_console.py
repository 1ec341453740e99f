"""Text from outside on the terminal: shown, and never obeyed."""

import io
import json
import logging
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from conf.schema import ConfigError
from pipelines.command import execute
from sweeps.errors import SweepError
from sweeps.terminal.console import Console, escaped, say

TITLE = "\x1b]0;owned\x07"  # sets the title of a terminal's window
CONTROLS = f"a{TITLE}b\x9b2Jc\u202ed\u2066e\x7ff\x00g\r\nh\ti\u2028j"
SHOWN = r"a\u001b]0;owned\u0007b\u009b2Jc\u202ed\u2066e\u007ff\u0000g\r\nh\ti\u2028j"


def printed(content: Any, **options: Any) -> str:
    console = Console(file=io.StringIO(), width=300)
    console.print(content, **options)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def in_table(text: str) -> str:
    table = Table(text, title=text, box=None)
    table.add_row(text)
    return printed(table)


@pytest.mark.parametrize("text", ["[draft]", "[/x]", "x[/red]y", "[sport]", ":smile:", "[link=http://x]y", "\\[b]"])
def test_nothing_is_markup(text: str) -> None:
    assert printed(text, soft_wrap=True) == f"{text}\n"
    assert [line.strip() for line in in_table(text).splitlines()] == [text, text, text]


def test_control_characters_are_shown_and_not_sent() -> None:
    assert escaped(CONTROLS) == SHOWN
    assert json.loads(f'"{escaped(CONTROLS)}"') == CONTROLS
    assert printed(CONTROLS, soft_wrap=True) == f"{SHOWN}\n"
    assert [line.strip() for line in in_table(CONTROLS).splitlines()] == [SHOWN, SHOWN, SHOWN]


def test_letters_of_every_script_are_no_control_characters() -> None:
    text = "영화 ñ 电影 فيلم न\u200dम 👩\u200d👩\u200d👧 é"
    assert escaped(text) == text


@given(st.text(st.characters(exclude_categories=[]), min_size=1))
def test_a_string_is_one_line_of_printable_text(text: str) -> None:
    line = printed(text, soft_wrap=True)
    assert line.count("\n") == 1
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in line[:-1])
    line.encode()


def test_on_a_terminal_nothing_is_coloured_by_its_content(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    file = io.StringIO()
    Console(file=file, width=100, terminal=True).print("/home/x 12 'y' https://z True")
    assert file.getvalue() == "/home/x 12 'y' https://z True\n"


@pytest.mark.parametrize(
    ("encoding", "shown"), [("latin-1", "é \\ud55c \\U0001f600"), ("ascii", "\\xe9 \\ud55c \\U0001f600")]
)
def test_what_a_terminal_cannot_encode_is_escaped(encoding: str, shown: str) -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    Console(file=file, width=100).print("é 한 😀")
    file.seek(0)
    assert file.read() == f"{shown}\n"


@pytest.mark.parametrize("error", [ConfigError, SweepError, OSError])
def test_an_error_is_one_line(error: Callable[[str], Exception], capsys: pytest.CaptureFixture[str]) -> None:
    def fail(_: object) -> bool:
        raise error(f"model={TITLE}[/x]\u202e: no")

    with pytest.raises(SystemExit) as ended:
        execute(fail)
    assert ended.value.code == "error: model=\\u001b]0;owned\\u0007[/x]\\u202e: no"
    assert capsys.readouterr().out == ""


def test_a_command_prints_no_password(capsys: pytest.CaptureFixture[str]) -> None:
    def act(console: Console) -> bool:
        console.print("http://bob:geheim@h")
        print("http://bob:geheim@h", file=sys.stderr)
        raise OSError("http://bob:geheim@h")

    with pytest.raises(SystemExit):
        execute(act)
    assert capsys.readouterr() == ("http://bob@h\n", "http://bob@h\n")


def test_a_command_prints_and_logs_in_any_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    streams = {name: io.TextIOWrapper(io.BytesIO(), encoding="latin-1") for name in ("stdout", "stderr")}
    for name, stream in streams.items():
        monkeypatch.setattr(sys, name, stream)

    def act(console: Console) -> bool:
        console.print("한[draft]")
        print("한")
        logger = logging.getLogger("of a server")
        logger.propagate = False  # pytest has handlers of its own
        logger.warning("%s\nsays 한", TITLE)
        return True

    with pytest.raises(SystemExit) as ended:
        execute(act)
    assert ended.value.code == 0
    for stream in streams.values():
        stream.seek(0)
    assert streams["stdout"].read() == "\\ud55c[draft]\n\\ud55c\n"
    assert streams["stderr"].read() == "\\u001b]0;owned\\u0007\\nsays \\ud55c\n"


def test_a_sentence_is_broken_between_words_in_a_terminal_and_not_at_all_elsewhere() -> None:
    sentence = "which chance can explain, " * 8
    for terminal in (True, False):
        console = Console(file=io.StringIO(), width=40, terminal=terminal)
        say(console, sentence)
        assert isinstance(console.file, io.StringIO)
        lines = console.file.getvalue().splitlines()
        assert " ".join(line.strip() for line in lines) == sentence.strip()
        assert (len(lines) == 1) != terminal
        assert all(len(line) <= 40 for line in lines) == terminal
