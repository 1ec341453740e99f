"""A command imports nothing slow before it says anything."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT

# Each takes a noticeable part of a second; with the configuration's own libraries that is all that a mistake may take.
SLOW = "{'numpy', 'pyarrow', 'fsspec', 'sqlalchemy', 'mlflow', 'scipy', 'sklearn', 'tensorflow', 'keras_tuner', 'dask'}"

HELP = f"""
import contextlib, io, runpy, sys
from pipelines.command import COMMANDS

for command in COMMANDS:
    sys.argv = [command, "--help"]
    with contextlib.redirect_stdout(io.StringIO()) as help, contextlib.suppress(SystemExit):
        runpy.run_module(f"pipelines.{{command}}", run_name="__main__")
    assert help.getvalue().strip(), command
    print(command, sorted({SLOW} & {{*sys.modules}}))
"""
MISTAKES = """
import contextlib, io, sys
from pipelines.command import execute
from pipelines.sweep import sweep

for mistake in sys.argv[1:]:
    sys.argv = ["sweep", "experiment=smoke", *mistake.split()]
    with contextlib.suppress(SystemExit):
        execute(sweep)
    print(mistake, sorted({SLOW} & {*sys.modules}))
""".replace("{SLOW}", SLOW)

FIRST = """
import sys
from pipelines.sweep import sweep

class First:
    def print(self, line, **_):
        print(line, sorted({SLOW} & {*sys.modules}))
        sys.exit()

sys.argv = ["sweep", *sys.argv[1:]]
sweep(First())
""".replace("{SLOW}", SLOW)


def lines(program: str, *arguments: str) -> list[str]:
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()


def test_the_help_of_each_command_imports_nothing_slow() -> None:
    asked = lines(HELP)
    assert len(asked) > 10
    assert [line for line in asked if not line.endswith(" []")] == []


def test_a_mistake_in_a_space_an_optimizer_or_a_tuner_is_answered_before_anything_slow_is_imported() -> None:
    mistakes = (
        "model.space.lstm_units=x",
        "model.space.foo=3",
        "model.build=foo.bar",
        "optimizer.space.learning_rate=-1",
        "tuner.alpha=1",
        "tuner=hyperband tuner.factor=0",
        "tuner.oracle=foo.bar",
        "objective=test/accuracy",
        "tracking.uri=mlruns",
    )
    assert lines(MISTAKES, *mistakes) == [f"{mistake} []" for mistake in mistakes]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["trials=3"], "searching conv_lstm on reuters and imdb: 3 trials each, by val/accuracy"),
        (["data=imdb", "model=[bag,cnn]", "dry_run=true"], "dry run of bag-cnn on imdb: 12 trials, by"),
        (
            ["data=imdb", "-m", "objective=val/loss,val/macro_f1"],
            "job 1 of 2, searching conv_lstm on imdb: 12",
        ),
    ],
)
def test_the_first_line_says_what_is_searched_before_anything_slow_is_imported(arguments: list[str], line: str) -> None:
    (first,) = lines(FIRST, *arguments)
    assert first.startswith(line)
    assert first.endswith(" []")
