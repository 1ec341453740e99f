"""Completion in a real bash, which nothing of this project takes part in."""

import shutil
import subprocess
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
    """What bash would put in the place of the part of a word behind its last = or :."""
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


def test_another_shell_is_refused_and_the_functions_of_zsh_are_well_formed() -> None:
    with pytest.raises(ConfigError, match=r"^zhs: allowed: bash, zsh; did you mean 'zsh'\?$"):
        completion.show(["zhs"])
    if zsh := shutil.which("zsh"):
        subprocess.run([zsh, "-n", "-c", completion.script("zsh")], check=True)
