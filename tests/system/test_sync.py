"""A store that goes away, comes back, or was never there: in the end it holds the whole journal, once."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from conf import stored
from conf.schema import ConfigError, Job
from pipelines import sync
from sweeps import driver, files, journal
from sweeps.driver import Search
from sweeps.journal import SweepRecord
from sweeps.metrics import CURVES
from sweeps.search.oracle import Oracle
from sweeps.session import extras
from sweeps.tracking import store
from sweeps.tracking.tracker import Tracker
from sweeps.trials.spec import OnEpoch, TrialResult, TrialSpec
from tests.fakes import FakeEngine, Trial, learn, plan

TRIALS, EPOCHS = 9, 4
DIRECTORY = Path("outputs/sweep")
OPTIONS = ("--workers", "1", "--backend-store-uri", "sqlite:///mlflow.db", "--artifacts-destination", "artifacts")


class Server:
    """A real MLflow server on loopback, which can be killed and started again on the same store."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self._port), *OPTIONS],
            cwd=self._folder,
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        until(self._answers, "the server answers")

    def kill(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    started = Server(tmp_path)
    yield started
    started.kill()


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.1)


def search(job: Job, tracker: Tracker, trial: Trial = learn) -> Search:
    """A sweep that has ended, as the product leaves it."""
    searched = Search(plan(job, DIRECTORY / "imdb"), Oracle(job.config, plan(job).space), [tracker])
    files.write_text(DIRECTORY / stored.FILE, job.yaml)
    driver.run([searched], FakeEngine(trial))
    searched.close()
    assert searched.record.ended is not None
    assert len(searched.record.trials) == TRIALS
    return searched


def job_at(uri: str, composed: Callable[..., Job]) -> Job:
    return composed("data=imdb", f"trials={TRIALS}", f"epochs={EPOCHS}", f"tracking.uri={uri}")


def assert_all_is_there_once(uri: str, record: SweepRecord) -> None:
    client = MlflowClient(uri)
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert sorted(run.data.tags.get("trial", "") for run in runs) == sorted(["", *map(str, range(TRIALS))])
    assert {run.info.status for run in runs} == {"FINISHED"}
    for run in (run for run in runs if run.data.tags["kind"] == "trial"):
        trial = record.trials[int(run.data.tags["trial"])]
        for name in CURVES:
            points = [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, name)]
            assert points == list(enumerate(trial.curves[name], start=1))
            assert len(points) == EPOCHS
        assert run.data.metrics["test/accuracy"] == trial.test["test/accuracy"]
        assert "loss_curves.png" in [artifact.path for artifact in client.list_artifacts(run.info.run_id)]


def count_trials(uri: str) -> int:
    client = MlflowClient(uri)
    return len(client.search_runs([e.experiment_id for e in client.search_experiments()], "tags.kind = 'trial'"))


def test_a_server_that_is_killed_and_comes_back_is_caught_up_with_during_the_sweep(
    server: Server, composed: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sweeps.tracking.tracker.RETRY_AFTER", 0.2)

    def trial(spec: TrialSpec, on_epoch: OnEpoch) -> TrialResult:
        if spec.trial == 2:
            until(lambda: count_trials(server.uri) > 0, "it logs")
            server.kill()
        elif spec.trial == 5:  # three trials came to their end without it
            until(lambda: "does not answer" in caplog.text, "the user is told")
            server.start()
        elif spec.trial == TRIALS - 1:
            until(lambda: count_trials(server.uri) > 5, "what it missed is logged while trials run")
        return learn(spec, on_epoch)

    server.start()
    tracker = Tracker(server.uri, extras=extras.from_reports())
    searched = search(job_at(server.uri, composed), tracker, trial)
    assert tracker.close()
    assert_all_is_there_once(server.uri, searched.record)
    assert caplog.text.count("does not answer") == 1


def test_a_server_that_never_came_up_gets_everything_from_sync_once(
    server: Server, composed: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = Tracker(server.uri, extras=extras.from_reports())
    searched = search(job_at(server.uri, composed), tracker)
    assert not tracker.close()
    assert caplog.text.count("does not answer") == 1
    assert synced(monkeypatch) == 1
    server.start()
    for _ in range(2):
        assert synced(monkeypatch) == 0
        assert_all_is_there_once(server.uri, searched.record)


def test_a_locked_database_is_written_when_it_is_free_again(
    tmp_path: Path, composed: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = store.uri(f"sqlite:///{tmp_path}/mlflow.db")
    tracker = Tracker(uri, extras=extras.from_reports())
    tracker.wait_until_opened()
    blocker = sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    searched = search(job_at(uri, composed), tracker)
    assert not tracker.close(limit=0.1)
    blocker.close()
    assert tracker.close()
    assert_all_is_there_once(uri, searched.record)
    assert synced(monkeypatch) == 0
    assert_all_is_there_once(uri, searched.record)


def synced(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str:
    """The exit status of `python -m pipelines.sync`, or the line with which it ends."""
    monkeypatch.setattr("sys.argv", ["sync", *arguments])
    with pytest.raises(SystemExit) as exit_:
        sync.main()
    assert exit_.value.code is not None
    return exit_.value.code


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "error: .*/outputs: no sweep was started there"),
        (("nowhere",), "error: nowhere: no sweep was started there, config.yaml is missing"),
        (("trials=3",), "error: trials=3: allowed: directories, and tracking.uri=…"),
        (("--force",), "error: --force: allowed: directories, and tracking.uri=…"),
        (("tracking.uri=mlruns",), "error: tracking.uri=mlruns: must be sqlite:///"),
    ],
)
def test_a_mistake_ends_in_one_line(arguments: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    line = synced(monkeypatch, *arguments)
    assert isinstance(line, str)
    assert "\n" not in line
    with pytest.raises(ConfigError, match=message.removeprefix("error: ")):
        sync.read_arguments(arguments)


def test_a_sweep_in_use_is_left_alone_and_the_others_are_synced(
    composed: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    uri = store.uri(f"sqlite:///{tmp_path}/mlflow.db")
    tracker = Tracker(uri, extras=extras.from_reports())
    searched = search(job_at(uri, composed), tracker)
    assert tracker.close()
    Path("outputs/another").mkdir()
    Path("outputs/another", stored.FILE).write_text((DIRECTORY / stored.FILE).read_text())
    (tmp_path / "mlflow.db").unlink()
    with journal.locked(Path("outputs/another")):
        assert synced(monkeypatch) == 1
    assert_all_is_there_once(uri, searched.record)
