"""`mlflow run .`, as a user types it: in a checkout with an environment, and nothing else on the machine."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from pipelines import project
from sweeps.tracking import store
from tests.conftest import ROOT
from tests.servers import Start

SMALL = ("experiment=smoke", "trials=2", "epochs=1", "engine.workers=1", "model.space.embedding_dim=8")
LONG = ("experiment=smoke", "trials=60", "stopping=none", "engine.workers=1")

pytestmark = pytest.mark.usefixtures("fresh_store")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what is run, with the environment that runs the tests as its `.venv`."""
    for folder in ("conf", "models", "pipelines", "sweeps"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "MLproject", tmp_path)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    return tmp_path


@pytest.fixture
def mlflow_run(checkout: Path, start: Start) -> Start:
    """Starts `.venv/bin/mlflow run .` with these parameters, where there is neither pyenv nor conda nor uv."""

    def start_run(*arguments: str, options: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        parameters = [part for argument in arguments for part in ("-P", argument)]
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "PYENV"))}
        environment |= {"PATH": os.defpath, "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONPATH": str(checkout)}
        assert [tool for tool in ("pyenv", "conda", "uv") if shutil.which(tool, path=os.defpath)] == []
        return start([".venv/bin/mlflow", "run", ".", *options, *parameters], cwd=checkout, env=environment)

    return start_run


def runs() -> list[Run]:
    """The project's, the sweep's, the trials'. Not by their times: a machine's clock may step back."""
    client = MlflowClient(store.uri(None))
    everywhere = [experiment.experiment_id for experiment in client.search_experiments()]
    kinds = ("project", "sweep", "trial")
    found = [run for run in client.search_runs(everywhere) if run.data.tags.get("kind") != "reference"]
    return sorted(found, key=lambda run: kinds.index(run.data.tags.get("kind", "project")))


def until(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdout is not None
    output = ""
    for line in process.stdout:
        output += line
        if text in line:
            return
    pytest.fail(f"it ended without {text!r}: {output}")


def until_ended() -> list[Run]:
    """The runs, once none is running."""
    deadline = time.monotonic() + 240
    while any(run.info.status == "RUNNING" for run in runs()):
        assert time.monotonic() < deadline, [(run.data.tags.get("kind"), run.info.status) for run in runs()]
        time.sleep(0.5)
    return runs()


def test_it_is_the_sweep_below_the_projects_run(mlflow_run: Start) -> None:
    space = "model.space.lstm_units={kind: Choice, values: [4, 8], default: 4}"  # blanks, braces and commas arrive
    process = mlflow_run(*SMALL, space)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    parent, sweep, *trials = runs()
    parameters = {key: shlex.split(value)[0] for key, value in parent.data.params.items()}  # MLflow logs them quoted
    assert parameters == dict(argument.split("=", 1) for argument in (*SMALL, space))
    assert sweep.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert [trial.data.tags["mlflow.parentRunId"] for trial in trials] == [sweep.info.run_id] * 2
    assert {trial.data.params["lstm_units"] for trial in trials} <= {"4", "8"}
    assert {run.info.experiment_id for run in (parent, sweep, *trials)} == {parent.info.experiment_id}
    assert {run.info.status for run in (parent, sweep, *trials)} == {"FINISHED"}


@pytest.mark.long
def test_a_mistake_is_told_in_its_line_and_the_run_has_failed(mlflow_run: Start) -> None:
    process = mlflow_run("trails=3", options=("--env-manager", "local"))  # which means the same here
    output, _ = process.communicate()
    assert process.returncode != 0
    assert "error: trails: no such key" in output
    (run,) = runs()
    assert run.info.status == "FAILED"


@pytest.mark.long
def test_ctrl_c_ends_all_of_it(mlflow_run: Start) -> None:
    process = mlflow_run(*LONG)
    until(process, "imdb trial")
    os.killpg(process.pid, signal.SIGINT)
    process.communicate()
    assert process.returncode != 0
    parent, sweep, *trials = until_ended()
    assert parent.info.status in ("KILLED", "FAILED")
    assert sweep.info.status == "KILLED"
    assert {trial.info.status for trial in trials} <= {"FINISHED", "KILLED"}


@pytest.mark.long
def test_without_mlflow_run_the_sweep_ends_too(mlflow_run: Start) -> None:
    process = mlflow_run(*LONG)
    until(process, "imdb trial")
    process.kill()
    process.communicate()
    states = {run.data.tags["kind"]: run.info.status for run in until_ended()[:2]}
    assert states == {"project": "KILLED", "sweep": "KILLED"}


def test_mlflows_parameters_are_hydras() -> None:
    given = ["--model", "lstm", "--engine.workers", "1", "--model.space.dropout", "{kind: Float}", "--target", "-1"]
    expected = ["model=lstm", "engine.workers=1", "model.space.dropout={kind: Float}", "target=-1"]
    assert project.arguments(given) == expected


def test_a_password_that_mlflow_has_recorded_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["project", "sweep", "--tracking.uri", "http://me:geheim@127.0.0.1:9"])
    monkeypatch.setenv("MLFLOW_RUN_ID", "0a1b")
    with pytest.raises(SystemExit) as exited:
        project.main()
    message = str(exited.value)
    assert message.startswith("error: tracking.uri=http://me@127.0.0.1:9: MLflow has recorded its password, as a ")
    assert "parameter of the run 0a1b; delete that run" in message
    assert "without -P: the password can be given in MLFLOW_TRACKING_URI=http://me:…@127.0.0.1:9" in message
    assert "geheim" not in message


def test_what_is_no_pipeline_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["project", "os"])
    with pytest.raises(SystemExit, match=r"^error: os: allowed: sweep, report, confirm$"):
        project.main()
