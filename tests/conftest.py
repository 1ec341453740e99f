import os
from collections.abc import Callable
from pathlib import Path

import pytest

# Before anything imports TensorFlow or MLflow.
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

from conf.compose import Job, compose
from sweeps.silence import without_native_logs

with without_native_logs():
    import keras_tuner  # noqa: F401


@pytest.fixture
def composed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Job]:
    """The job that a command line asks for."""

    def compose_one(*arguments: str) -> Job:
        monkeypatch.setattr("sys.argv", ["sweep", *arguments])
        (job,) = compose()
        return job

    return compose_one


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test works in a folder and with caches of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
