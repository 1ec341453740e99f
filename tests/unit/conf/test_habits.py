"""Settings and flags of Hydra's that would do nothing here are refused, with what to use instead."""

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conf.compose import compose
from conf.schema import ConfigError


def refusal(*arguments: str) -> str:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "argv", ["sweep", *arguments])
        with pytest.raises(ConfigError) as error:
            compose()
    return str(error.value)


@pytest.mark.parametrize(
    ("argument", "instead"),
    [
        ("hydra.run.dir=x", "a sweep makes its own directory in outputs/"),
        ("hydra.sweep.dir=x", "a sweep makes its own directory in outputs/"),
        ("hydra.sweep.subdir=x", "a sweep makes its own directory in outputs/"),
        ("hydra.output_subdir=x", "a sweep makes its own directory in outputs/"),
        ("hydra.job.chdir=true", "a sweep makes its own directory in outputs/"),
        ("hydra.job.name=x", "a sweep is named after its model and the time"),
        ("+hydra.job.env_set.A=1", "variables are set before the command"),
        ("hydra/launcher=joblib", "engine.workers="),
        ("hydra.launcher.n_jobs=2", "engine=cluster"),
        ("hydra/sweeper=optuna", "tuner=… chooses the trials"),
        ("hydra.sweeper.max_batch_size=2", "tuner=… chooses the trials"),
        ("hydra.mode=MULTIRUN", "-m key=a,b makes a sweep for each value"),
        ("hydra.verbose=true", "the terminal shows what happens"),
        ("hydra/job_logging=colorlog", "the terminal shows what happens"),
        ("++hydra.callbacks.x=1", "nothing calls them"),
        ("~hydra.run", "a sweep makes its own directory in outputs/"),
        ("hydra.nope=1", "nothing reads it"),
        ("hydra=x", "nothing reads it"),
    ],
)
def test_a_setting_without_effect_is_refused(argument: str, instead: str) -> None:
    for beside in ((), ("-m", "model=lstm,cnn")):
        assert refusal(argument, *beside).startswith(f"{argument}: has no effect here; ")
        assert instead in refusal(argument, *beside)


@pytest.mark.parametrize(
    ("arguments", "instead"),
    [
        (["--shell-completion", "install=bash"], 'eval "$(text-sweeps completion bash)"'),
        (["-sc", "install=bash"], 'eval "$(text-sweeps completion bash)"'),
        (["--hydra-help"], "--help all"),
        (["--version"], "text-sweeps --version"),
        (["--experimental-rerun", "x"], "resume=outputs/<sweep>"),
        (["--package", "model"], "--cfg job --package model"),
        (["-p", "model"], "--cfg job --package model"),
    ],
)
def test_a_flag_without_effect_is_refused(arguments: list[str], instead: str) -> None:
    assert instead in refusal(*arguments)


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["--trials=3"], "trials=3"),
        (["--trials", "3"], "trials=3"),
        (["model=lstm", "--batch-size", "3", "epochs=1"], "batch_size=3"),
        (["--model", "lstm"], "model=lstm"),
        (["--engine.workers=2"], "engine.workers=2"),
        (["--dry-run"], "dry_run=…"),
        (["--trials", "epochs=3"], "trials=…"),
    ],
)
def test_a_key_is_written_without_dashes(arguments: list[str], meant: str) -> None:
    assert refusal(*arguments).endswith(f": a key is written without dashes: {meant}")


@pytest.fixture
def _logging_as_before() -> Iterator[None]:
    """Take back what Hydra sets for its `--info`: it would show the messages of all tests that follow."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.usefixtures("_logging_as_before")
def test_what_has_an_effect_while_hydra_composes_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\ntrials: 3\n")
    monkeypatch.setattr(sys, "argv", ["sweep", f"hydra.searchpath=[file://{tmp_path}]", "experiment=mine"])
    (job,) = compose()
    assert job.config.trials == 3
    for arguments in (["--cfg", "hydra"], ["--cfg", "job", "-p", "model"], ["--info"]):
        monkeypatch.setattr(sys, "argv", ["sweep", *arguments])
        assert compose() == []
        assert capsys.readouterr().out
