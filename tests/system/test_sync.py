"""A store that goes away, comes back, or was never there: in the end it holds the whole journal, once."""

import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from mlflow import MlflowClient

from conf import stored
from conf.schema import ConfigError, Job
from pipelines import sync
from sweeps import driver, files, journal
from sweeps.driver import Search
from sweeps.journal import SweepRecord, TrialRecord
from sweeps.metrics import CURVES
from sweeps.search.oracle import Oracle
from sweeps.session import extras
from sweeps.tracking import store
from sweeps.tracking.client import search_runs
from sweeps.tracking.extras import Extras
from sweeps.tracking.tracker import Tracker
from sweeps.trials.spec import OnEpoch, TrialResult, TrialSpec
from tests.fakes import FakeEngine, Trial, learn, plan
from tests.servers import free_port, mlflow_server

TRIALS, EPOCHS = 6, 2
DIRECTORY = Path("outputs/away")
OPTIONS = ("--backend-store-uri", "sqlite:///mlflow.db", "--artifacts-destination", "artifacts")


class Server:
    """A real MLflow server on loopback, which can be killed and started again on the same store."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._port, self._running = folder, free_port(), ExitStack()
        self.uri = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        self._running.enter_context(mlflow_server(self._folder, *OPTIONS, port=self._port))

    def kill(self) -> None:
        self._running.close()


@pytest.fixture
def own_server(tmp_path: Path, fresh_store: None) -> Iterator[Server]:
    started = Server(tmp_path)
    yield started
    started.kill()


@pytest.fixture
def last_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is away is not asked again for long when a sweep ends."""
    monkeypatch.setattr("sweeps.tracking.tracker.LAST_TRIES", 0.1)


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.1)


def search(job: Job, tracker: Tracker | None = None, trial: Trial = learn) -> Search:
    """A sweep that has ended, as the product leaves it."""
    searched = Search(plan(job, DIRECTORY / "imdb"), Oracle(job.config, plan(job).space), [tracker] if tracker else [])
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
    runs = search_runs(client, f"tags.sweep = '{record.started.sweep}'")
    assert {run.info.status for run in runs} == {"FINISHED"}
    references = [run.data.tags["reference"] for run in runs if run.data.tags["kind"] == "reference"]
    assert sorted(references) == sorted(record.references)
    runs = [run for run in runs if run.data.tags["kind"] != "reference"]
    assert sorted(run.data.tags.get("trial", "") for run in runs) == sorted(["", *map(str, range(TRIALS))])
    for run in (run for run in runs if run.data.tags["kind"] == "trial"):
        trial = record.trials[int(run.data.tags["trial"])]
        for name in CURVES:
            points = [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, name)]
            assert points == list(enumerate(trial.curves[name], start=1))
            assert len(points) == EPOCHS
        assert run.data.metrics["test/accuracy"] == trial.test["test/accuracy"]
        assert "loss_curves.png" in [artifact.path for artifact in client.list_artifacts(run.info.run_id)]


def relabelled(directory: Path, name: str) -> str:
    """Return the journal of a sweep as another one of that name would have it."""
    return (directory / "imdb" / journal.FILE).read_text().replace(f'"{directory.name}/imdb"', f'"{name}/imdb"')


def count_trials(uri: str) -> int:
    return len(search_runs(MlflowClient(uri), "tags.kind = 'trial'"))


def loss_curves(record: SweepRecord, trial: TrialRecord | None) -> Extras:
    return Extras(files={} if trial is None else {"loss_curves.png": b"\x89PNG"})


@pytest.mark.long
def test_a_server_that_is_killed_and_comes_back_is_caught_up_with_during_the_sweep(
    own_server: Server,
    composed: Callable[..., Job],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("sweeps.tracking.tracker.RETRY_AFTER", 0.2)

    def trial(spec: TrialSpec, on_epoch: OnEpoch) -> TrialResult:
        if spec.trial == 1:
            until(lambda: count_trials(own_server.uri) > 0, "it logs")
            own_server.kill()
        elif spec.trial == 4:  # three trials came to their end without it
            until(lambda: "does not answer" in caplog.text, "the user is told")
            own_server.start()
        elif spec.trial == TRIALS - 1:
            until(lambda: count_trials(own_server.uri) > 4, "what it missed is logged while trials run")
        return learn(spec, on_epoch)

    own_server.start()
    tracker = Tracker(own_server.uri, extras=loss_curves)
    searched = search(job_at(own_server.uri, composed), tracker, trial)
    assert tracker.close()
    assert_all_is_there_once(own_server.uri, searched.record)
    assert caplog.text.count("does not answer") == 1


@pytest.mark.usefixtures("last_tries")
def test_a_store_that_never_answered_gets_everything_from_sync_once(
    server: str, composed: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    tracker = Tracker(nowhere, extras=extras.from_reports())
    searched = search(job_at(nowhere, composed), tracker)
    assert not tracker.close()
    assert caplog.text.count("does not answer") == 1
    assert synced(monkeypatch) == 1
    for _ in range(2):
        assert synced(monkeypatch, f"tracking.uri={server}") == 0
        assert_all_is_there_once(server, searched.record)


@pytest.mark.usefixtures("fresh_store")
def test_a_locked_database_is_written_when_it_is_free_again(
    tmp_path: Path, composed: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = store.uri(f"sqlite:///{tmp_path}/mlflow.db")
    tracker = Tracker(uri, extras=loss_curves)
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
    """Return the exit status of `python -m pipelines.sync`, or the line with which it ends."""
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
        (("trials=3",), "error: trials=3: allowed: directories, tracking.uri=…, and datasets.<name>.text.words=…"),
        (("--force",), "error: --force: allowed: directories, tracking.uri=…, and datasets.<name>.text.words=…"),
        (("tracking.uri=mlruns",), "error: tracking.uri=mlruns: must be sqlite:///"),
    ],
)
def test_a_mistake_ends_in_one_line(arguments: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    line = synced(monkeypatch, *arguments)
    assert isinstance(line, str)
    assert "\n" not in line
    with pytest.raises(ConfigError, match=message.removeprefix("error: ")):
        sync.read_arguments(arguments)


@pytest.mark.usefixtures("fresh_store")
def test_sweeps_that_are_in_use_or_damaged_are_named_and_the_others_are_synced(
    composed: Callable[..., Job],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    uri = store.uri(f"sqlite:///{tmp_path}/mlflow.db")
    searched = search(job_at(uri, composed))
    others = [Path("outputs", name) for name in ("in use", "not read", "damaged", "emptied")]
    for other in others:
        shutil.copytree(DIRECTORY / "imdb", other / "imdb")
        files.write_text(other / "imdb" / journal.FILE, relabelled(DIRECTORY, other.name))
        (other / stored.FILE).write_text((DIRECTORY / stored.FILE).read_text())
    Path(others[1], stored.FILE).write_text("{")
    Path(others[2], "imdb", journal.FILE).write_text("{}\n")
    Path(others[3], "imdb", journal.FILE).write_text("")
    Path(DIRECTORY, stored.FILE).unlink()  # the journal has it too
    with journal.locked(others[0]):
        assert synced(monkeypatch) == 1
    assert_all_is_there_once(uri, searched.record)
    lines = capsys.readouterr().out.splitlines()
    expected = (
        f"outputs/away: imdb: {TRIALS} of {TRIALS} trials finished; all of it is in {uri}",
        "error: outputs/damaged/imdb/journal.jsonl, line 1 is damaged: not an event",
        "outputs/emptied: no sweep has begun there",
        "error: outputs/in use is in use by process",
        "error: outputs/not read/config.yaml: not a configuration: ",
    )
    assert [line.startswith(start) for line, start in zip(lines, expected, strict=True)] == [True] * 5, lines
