"""The help of a sweep's command line: every key has its line, and the first page is one screen."""

import re
import subprocess
import sys
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_origin, get_type_hints

import pytest

from conf import help as help_
from conf.arguments import GROUPS
from conf.schema import Config
from pipelines import sweep
from pipelines.command import show_help
from sweeps import invocation
from sweeps.metrics import OBJECTIVES
from tests.conftest import ROOT, composed_job

COMMAND = "text-sweeps sweep"


def schema(node: Any = Config, prefix: str = "") -> list[str]:
    """Every key of the configuration, however deep."""
    found = []
    for spec in fields(node):
        kind = get_type_hints(node)[spec.name]
        content = get_args(kind)[1] if get_origin(kind) is dict else kind
        below = "<name>." if content is not kind else ""
        if is_dataclass(content):
            found += schema(content, f"{prefix}{spec.name}.{below}")
        elif spec.name != "tuner":  # the options of a tuner are its own
            found.append(prefix + spec.name)
    return found


def test_every_key_and_every_option_of_a_tuner_has_a_line_of_its_own() -> None:
    everything = help_.all_keys()
    assert sorted(key.name for key in everything if not key.name.startswith("tuner.")) == sorted(schema())
    assert [key.name for key in everything if len(key.text) < 5] == []
    shown = {key.name for key in everything if key.name.startswith("tuner.")}
    for tuner in help_.options("tuner"):
        options = composed_job("data=imdb", "model=lstm", f"tuner={tuner}").config.tuner
        assert {f"tuner.{name}" for name in options} - {"tuner.name", "tuner.oracle", "tuner.ends_trials"} <= shown
    text = help_.text(["all"], COMMAND)
    for key in everything:
        assert re.search(rf"^  {re.escape(key.name.rpartition('.')[2])}=", text, re.MULTILINE), key.name


def test_the_defaults_that_are_shown_are_those_of_a_sweep() -> None:
    config = composed_job().config
    for key in help_.all_keys():
        value: Any = config
        for name in key.name.replace("datasets.<name>", "").strip(".").split("."):
            value = getattr(value, name, None)
        if "<name>" not in key.name and not key.name.startswith("tuner.") and key.default not in ("…", "{}"):
            assert help_._written(value) == key.default, key.name


def test_the_first_page_is_one_screen_and_names_every_option() -> None:
    text = help_.text([], COMMAND)
    lines = text.splitlines()
    assert len(lines) <= 45
    assert max(map(len, lines)) <= 80
    assert len(help_.FIRST) == 12
    assert set(help_.CHOICES) == set(GROUPS)
    for group in GROUPS:
        for path in (ROOT / "conf" / group).glob("*.yaml"):
            assert re.search(rf"^  {path.stem} |^{group}: .*\b{path.stem}\b", text, re.MULTILINE), path
            assert len(help_.options(group)[path.stem]) > 3, path
    for objective in OBJECTIVES:
        assert objective in text


def test_every_example_of_the_first_page_is_understood() -> None:
    for example in help_.FIRST:
        if "reviews.csv" not in example and "<sweep>" not in example and "…" not in example:
            composed_job("model=conv_lstm", example) if "space" in example else composed_job(example)


def test_a_word_finds_the_keys_that_have_it_in_their_names() -> None:
    assert help_.text(["--help", "maxlen"], COMMAND).splitlines() == [
        "  datasets.<name>.maxlen=…   tokens of a text that a network reads; at least 1"
    ]
    assert help_.text(["--help", "foo"], COMMAND) == (
        "no key has foo in its name; all of them: text-sweeps sweep --help all"
    )


def test_lines_are_no_wider_than_a_terminal() -> None:
    assert max(map(len, help_.text(["all"], COMMAND).splitlines())) <= 80


def test_the_help_of_a_sweep_imports_nothing_slow() -> None:
    code = "import sys; sys.argv = ['sweep', '--help']; from pipelines import sweep; assert sweep.sweep(None)"
    slow = "('hydra', 'numpy', 'sqlalchemy', 'pyarrow', 'mlflow', 'sklearn', 'tensorflow', 'keras_tuner', 'dask')"
    program = f"{code}; assert not [name for name in {slow} if name in sys.modules]"
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout.startswith("usage: ")


def test_the_help_of_a_sweep_is_no_failure(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["sweep", "model=lstm", "--help", "seed"])
    with pytest.raises(SystemExit) as ended:
        sweep.main()
    assert not ended.value.code
    assert "  seed=1  " in capsys.readouterr().out


def test_a_help_text_has_the_command_as_it_is_called_here(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written = "python -m pipelines.ui a=1    what\n… b=2                         it is\n`python -m pipelines.ui`.\n"
    monkeypatch.setattr(invocation, "command", lambda name: f"text-sweeps {name}")
    with pytest.raises(SystemExit):
        show_help(["-h"], written)
    first, second, third, *_ = capsys.readouterr().out.splitlines()
    assert first == "text-sweeps ui a=1            what"
    assert first.index("what") == second.index("it is")
    assert third == "`text-sweeps ui`."
