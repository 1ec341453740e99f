"""Completion in a real bash, which nothing of this project takes part in."""

import os
import pty
import select
import shutil
import subprocess
import time
from importlib import import_module
from pathlib import Path

import pytest

from conf.schema import ConfigError
from pipelines import completion
from pipelines.command import COMMANDS

ASK = """
COMP_LINE=$1 COMP_POINT=${#1}
_text_sweeps
printf '%s|' "${COMPREPLY[@]}"
"""


def completed(line: str) -> list[str]:
    """Return the words that bash would put in the place of the part of a word behind its last = or :."""
    program = completion.script("bash") + ASK
    ended = subprocess.run(["bash", "-c", program, "bash", line], capture_output=True, text=True, check=True)
    assert ended.stderr == ""
    return sorted({*ended.stdout.split("|")} - {""})  # readline shows each once, too


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("text-sweeps re", ["report ", "reproduce "]),
        ("text-sweeps sweep tri", ["trial_minutes=", "trials="]),
        ("text-sweeps sweep model=l", ["lstm "]),
        ("text-sweeps sweep model=[bag,c", ["[bag,cnn ", "[bag,conv_lstm "]),
        ("text-sweeps sweep -m tuner=grid,ra", ["grid,random "]),
        ("text-sweeps sweep trials=3 data=i", ["imdb "]),
        ("text-sweeps data data=rev", ["reviews.csv "]),
        ("text-sweeps sweep datasets.", ["datasets.imdb.", "datasets.reuters."]),
        ("text-sweeps sweep datasets.imdb.te", ["datasets.imdb.test=", "datasets.imdb.text."]),
        ("text-sweeps sweep datasets.imdb.keep=", ["both ", "first ", "last "]),
        ("text-sweeps sweep model.space.gru", ["model.space.gru_units="]),
        ("text-sweeps sweep model=bag model.space.p", ["model.space.pairs="]),
        ("text-sweeps sweep model=bag model.space.gru", []),
        ("text-sweeps sweep model=[bag,gru] networks.gru.space.gru", ["networks.gru.space.gru_units="]),
        ("text-sweeps sweep data=../reviews.csv datasets.rev", ["datasets.reviews."]),
        ("text-sweeps data data=reviews/ datasets.reviews.gr", ["datasets.reviews.group="]),
        ("text-sweeps sweep 'data=it is.csv' datasets.", ["datasets.imdb.", "datasets.reuters."]),
        ("text-sweeps sweep dry_run=", ["false ", "true "]),
        ("text-sweeps sweep resume=", ["outputs/lstm-1 ", "outputs/lstm-2 "]),
        ("text-sweeps confirm sweep=", ["lstm-1 ", "lstm-2 "]),
        ("text-sweeps sync o", ["outputs/lstm-1 ", "outputs/lstm-2 "]),
        ("text-sweeps list format=j", ["json "]),
        ("text-sweeps predict model=", []),
        ("text-sweeps nonsense ", []),
    ],
)
def test_what_a_line_can_go_on_with(line: str, expected: list[str]) -> None:
    for name in ("lstm-1", "lstm-2"):
        Path("outputs", name).mkdir(parents=True)
    Path("reviews.csv").touch()
    Path("with blanks.csv").touch()
    assert completed(line) == expected


def test_every_command_completes_its_own_keys() -> None:
    assert {*completion.OPTIONS, *completion.CONFIGURED, "completion"} == set(COMMANDS)
    for name in ("list", "confirm", "report", "predict"):
        assert completion.OPTIONS[name] == import_module(f"pipelines.{name}").OPTIONS
    assert completion.OPTIONS["ui"] == import_module("pipelines.ui").KEYS


def test_another_shell_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^zhs: allowed: bash, zsh; did you mean 'zsh'\?$"):
        completion.show(["zhs"])


def read_until(terminal: int, word: str) -> str:
    text, until = "", time.monotonic() + 30
    while word not in text:
        assert select.select([terminal], [], [], max(0.0, until - time.monotonic()))[0], text
        text += os.read(terminal, 4096).decode()
    return text


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not here (Debian: zsh)")
def test_a_real_zsh_completes_what_is_typed_and_leaves_brackets_alone() -> None:
    Path("outputs", "lstm-1").mkdir(parents=True)
    Path("reviews.csv").touch()
    Path("completion.zsh").write_text(completion.script("zsh"))
    terminal, its_end = pty.openpty()
    zsh = subprocess.Popen(
        ["zsh", "-f", "-i"], stdin=its_end, stdout=its_end, stderr=its_end, start_new_session=True,
        env={**os.environ, "TERM": "dumb"},
    )  # fmt: skip
    os.close(its_end)
    try:
        prints = """text-sweeps() { print -r -- "<$*>" }"""
        start = f"{prints}; autoload -Uz compinit; compinit -u -D; source ./completion.zsh; print rea''dy\n"
        os.write(terminal, start.encode())
        read_until(terminal, "ready\r")
        for typed, expected in (
            ("list format=j", "<list format=json>"),
            ("data data=rev", "<data data=reviews.csv>"),
            ("sweep resume=o", "<sweep resume=outputs/lstm-1>"),
            ('sweep "model=[bag,ls', "<sweep model=[bag,lstm>"),
            ("sweep model=[bag,cnn] data=im", "<sweep model=[bag,cnn] data=imdb>"),
            ("sweep datasets.imdb.num_c", "<sweep datasets.imdb.num_classes=>"),
            ("sweep data=reviews.csv datasets.reviews.gr", "<sweep data=reviews.csv datasets.reviews.group=>"),
            ("sweep model=gru model.space.gru", "<sweep model=gru model.space.gru_units=>"),
        ):
            os.write(terminal, f"text-sweeps {typed}\t\n".encode())
            assert expected in read_until(terminal, ">\r")
    finally:
        zsh.kill()
        zsh.wait()
        os.close(terminal)
