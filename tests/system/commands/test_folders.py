"""Commands in a folder whose own packages have the names of those that they need."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

HIDING = ("conf", "models", "sweeps", "hydra", "omegaconf", "mlflow", "keras", "rich")
SMALL = ("experiment=smoke", "data=imdb", "model=lstm", "trials=1", "epochs=1", "engine.workers=1")


@pytest.fixture(params=["packages", "modules", "folders"])
def crowded(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    for name in HIDING:
        if request.param == "modules":
            (tmp_path / f"{name}.py").write_text("raise ImportError('not the one that is meant')\n")
        else:
            (tmp_path / name).mkdir()
        if request.param == "packages":
            (tmp_path / name / "__init__.py").write_text("raise ImportError('not the one that is meant')\n")
    return tmp_path


def command(name: str, *arguments: str, script: bool = False) -> tuple[int, str]:
    prefix = [str(Path(sys.executable).with_name("text-sweeps")), name]
    finished = subprocess.run(
        [*(prefix if script else [sys.executable, "-m", f"pipelines.{name}"]), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return finished.returncode, finished.stdout


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("sweep trials=0", "error: trials=0: must be at least 1\n"),
        ("sweep --cfg job -p trials", "12\n"),
    ],
)
@pytest.mark.parametrize("script", [True, False])
@pytest.mark.usefixtures("crowded")
def test_a_sweep_reads_its_own_configuration(line: str, message: str, script: bool) -> None:
    assert command(*line.split(), script=script)[1] == message


@pytest.mark.parametrize("script", [True, False])
def test_a_builder_of_the_working_folder_is_found(script: bool) -> None:
    builder = "from models.lstm import build as lstm\ndef build(*, size: int):\n    return lstm\n"
    Path("mine.py").write_text(builder)
    status, output = command("sweep", "model.build=mine.build", script=script)
    assert status == 1
    assert ": mine.build takes size; given " in output


@pytest.mark.long
@pytest.mark.usefixtures("crowded")
def test_every_command_works() -> None:
    builder = (ROOT / "models" / "lstm.py").read_text()  # which imports from `models`
    Path("mine.py").write_text(builder)  # a builder of the user's own is still found
    status, output = command("sweep", *SMALL, "model.build=mine.build")
    assert status == 0, output
    for name in ("report", "sync"):
        status, output = command(name)
        assert status == 0, output
    assert "no champion and no candidate" in command("predict", "a text")[1]
    assert "sweep: has no value" in command("confirm")[1]
    assert "one trial is needed, sweep=<name> trial=<number> or its run's id" in command("reproduce")[1]
    assert "port=0: must be at least 1" in command("ui", "port=0")[1]
