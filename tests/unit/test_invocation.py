"""Printed commands can be pasted into the shell that started the process."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.__main__ import COMMANDS, main
from sweeps import invocation
from text_sweeps import process

BIN = Path(sys.executable).parent


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder with a Python for this process, and the script beside it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (tmp_path / "elsewhere").mkdir()
    for name in ("python", "text-sweeps"):
        (folder / name).touch(0o755)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.chdir(tmp_path / "elsewhere")
    return folder


@pytest.mark.parametrize(
    ("started", "by_name", "by_path"),
    [
        (["-m", "pipelines.sweep"], "python -m pipelines.sync", "{}/python -m pipelines.sync"),
        (["{}/text-sweeps", "sweep"], "text-sweeps sync", "{}/text-sweeps sync"),
        ([], "text-sweeps sync", "{}/text-sweeps sync"),  # an interactive Python
        (["-m", "ipykernel_launcher"], "text-sweeps sync", "{}/text-sweeps sync"),
    ],
)
def test_a_command_is_called_as_the_process_was(
    started: list[str], by_name: str, by_path: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "orig_argv", ["python", *(word.format(folder) for word in started)])
    monkeypatch.setenv("PATH", str(folder))
    assert invocation.command("sync") == by_name
    monkeypatch.setenv("PATH", "/nowhere")
    assert invocation.command("sync") == by_path.format(folder)
    monkeypatch.chdir(folder.parent)  # what lies below is shown by its relative path
    assert invocation.command("sync") == by_path.format("bin")


def test_a_path_is_quoted_for_the_shell(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = folder.rename(folder.with_name("it is here"))
    monkeypatch.setattr(sys, "executable", str(moved / "python"))
    monkeypatch.setattr(sys, "orig_argv", ["python"])
    monkeypatch.setenv("PATH", "/nowhere")
    assert shlex.split(invocation.command("sync")) == [f"{moved}/text-sweeps", "sync"]
    (moved / "text-sweeps").unlink()
    assert shlex.split(invocation.command("sync")) == [f"{moved}/python", "-m", "pipelines.sync"]


def test_a_caller_in_python_resumes_with_a_call(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "orig_argv", ["python", "-P", "-c", process.START])
    monkeypatch.setenv("PATH", str(folder))
    directory = Path("outputs/it's")
    assert invocation.resume(directory, confirms=False) == 'sweep(resume="outputs/it\'s")'
    assert invocation.resume(directory, confirms=True) == """text-sweeps confirm 'resume=outputs/it'"'"'s'"""


def test_another_python_that_the_shell_would_find_is_not_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "python").touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "pipelines.sweep"])
    assert invocation.command("sync") == f"{sys.executable} -m pipelines.sync"


@pytest.mark.parametrize("name", sorted({*COMMANDS} - {"sweep"}))
def test_one_name_leads_to_every_command(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["text-sweeps", name, "--help"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert f"python -m pipelines.{name}" in capsys.readouterr().out


def test_words_behind_the_help_of_all_commands_find_keys(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["text-sweeps", "--help", "maxlen"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert "datasets.<name>.maxlen=" in capsys.readouterr().out


def test_the_script_lists_the_commands_and_names_the_one_that_was_meant() -> None:
    script = str(BIN / invocation.SCRIPT)
    listed = subprocess.run([script], capture_output=True, text=True, check=True)
    assert [line.split()[0] for line in listed.stdout.splitlines()[2:-2]] == list(COMMANDS)
    mistaken = subprocess.run([script, "swep"], capture_output=True, text=True, check=False)
    assert mistaken.returncode == 1
    assert mistaken.stderr.startswith("error: swep: allowed: sweep, ")
    assert mistaken.stderr.endswith("; did you mean 'sweep'?\n")
