"""The thread between the journal and the store."""

import errno
import random
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import RunTag
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm.exc import StaleDataError

from sweeps import driver, invocation, journal
from sweeps.journal import SweepRecord, TrialRecord
from sweeps.tracking import comparison_page, driver_process, failures, store
from sweeps.tracking.extras import Extras
from sweeps.tracking.tracker import Tracker, end_project_run
from sweeps.trials.spec import OnEpoch, TrialResult, TrialSpec
from tests.fakes import FakeEngine, learn
from tests.tracked import (
    artifacts,
    assert_curves_logged_once,
    catch_up,
    client,
    opened,
    runs,
    search_of,
    small,
    tracked,
    untracked,
)

pytestmark = pytest.mark.usefixtures("fresh_store")


def test_a_store_that_is_away_for_a_while_gets_everything_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    job = small()
    extras = {"extras": lambda record, trial: Extras(files={"loss_curves.png": b"PNG"} if trial else {})}
    tracker = opened(job, **extras)
    calls, chance = 0, random.Random(1)

    def flaky(real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **more: object) -> object:
            nonlocal calls
            calls += 1
            lost = chance.random()
            if lost < 0.1:
                raise MlflowException("away")
            answer = real(*arguments, **more)
            if lost < 0.2:  # carried out, and the answer is lost
                raise MlflowException("away")
            return answer

        return call

    search = search_of(job, tracker)
    with monkeypatch.context() as patched:
        for name in ("RETRY_AFTER", "LAST_RETRY_AFTER"):
            patched.setattr(f"sweeps.tracking.tracker.{name}", 0)
        for name in ("create_run", "log_batch", "log_artifact", "set_terminated", "set_tag"):
            patched.setattr(MlflowClient, name, flaky(getattr(MlflowClient, name)))
        driver.run([search], FakeEngine())
        while not tracker.close():
            tracker = opened(job, **extras)
            tracker.catch_up(search.plan.directory, journal.read(search.plan.directory))
    assert calls > 21
    (parent,) = runs("sweep")
    children = runs("trial")
    assert len(children) == 3
    assert {run.info.status for run in [parent, *children]} == {"FINISHED"}
    for run in children:
        assert_curves_logged_once(run, search.record.trials[int(run.data.tags["trial"])])
        assert artifacts(run).keys() == {"loss_curves.png"}
    assert f"{tracker.uri} does not answer: away; the sweep goes on without" in caplog.messages


def test_a_store_that_stays_away_does_not_stop_the_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    job = small(3, 1)
    tracker = opened(job)

    def away(*_: object, **__: object) -> None:
        raise OSError("unreachable")

    monkeypatch.setattr("sweeps.tracking.tracker.LAST_TRIES", 0.5)
    monkeypatch.setattr(MlflowClient, "create_run", away)
    search = search_of(job, tracker)
    driver.run([search], FakeEngine())
    assert search.record.ended is not None
    assert not tracker.close()


def test_only_a_sweep_goes_on_without_a_store_that_is_away(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*_: object, **__: object) -> None:
        raise OSError(errno.ENETUNREACH, "unreachable")

    job = small(1, 1)
    events = untracked(job)
    monkeypatch.setattr("sweeps.tracking.tracker.LAST_TRIES", 0.1)
    monkeypatch.setattr(MlflowClient, "create_run", away)
    tracker = opened(job)
    tracker.catch_up(Path("outputs/sweep/imdb"), events)
    assert not tracker.close()
    assert caplog.messages == [f"{tracker.uri} does not answer: unreachable"]


def test_an_error_of_a_library_that_keeps_artifacts_is_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise LookupError("Unable to locate credentials")  # boto3 has errors that are no others' kind

    monkeypatch.setattr(MlflowClient, "log_artifact", refuse)
    monkeypatch.setattr("sweeps.tracking.tracker.LAST_TRIES", 0.1)
    job, tracker = small(1, 1), opened(small(1, 1))
    driver.run([search_of(job, tracker)], FakeEngine())
    assert not tracker.close()
    assert caplog.messages == [
        f"{store.local()} does not answer: Unable to locate credentials; the sweep goes on without"
    ]


@pytest.mark.parametrize("name", [None, "mine"])
def test_stand_in_data_have_an_experiment_of_their_own_beside_the_store(name: str | None, tmp_path: Path) -> None:
    tracked(small(1, 1, experiment=name))
    experiment = client().get_experiment_by_name(f"{name or 'imdb'}-standin")
    # Absolute, so that artifacts are found wherever the user is later.
    assert experiment.artifact_location == (tmp_path / "mlruns" / f"{name or 'imdb'}-standin").as_uri()
    assert {run.info.experiment_id for run in [*runs("sweep"), *runs("trial")]} == {experiment.experiment_id}
    assert client().get_experiment_by_name(name or "imdb") is None


def test_under_mlflow_run_the_projects_run_is_the_parent_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = client().create_experiment("project")
    run = client().create_run(experiment)
    monkeypatch.setenv("MLFLOW_RUN_ID", run.info.run_id)
    tracked(small(2, 1))
    (parent,) = runs("sweep")
    assert parent.data.tags["mlflow.parentRunId"] == run.info.run_id
    assert {r.info.experiment_id for r in [parent, *runs("trial")]} == {experiment}
    project = client().get_run(run.info.run_id)
    assert (project.data.tags["kind"], project.info.status) == ("project", "RUNNING")
    for status in ("KILLED", "FAILED"):  # what has ended stays as it is
        end_project_run(status)
        assert client().get_run(run.info.run_id).info.status == "KILLED"


def test_a_project_run_of_another_store_is_no_parent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, empty_store: Path
) -> None:
    shutil.copy(empty_store, tmp_path / "other.db")
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    tracker = Tracker(f"sqlite:///{tmp_path}/other.db")
    tracked(small(1, 1), tracker=tracker)
    both = [*runs("sweep", tracker.uri), *runs("trial", tracker.uri)]
    assert len(both) == 2
    assert "0" * 32 not in [run.data.tags.get("mlflow.parentRunId") for run in both]


def test_the_comparison_is_announced_once_as_soon_as_it_is_there() -> None:
    announced: list[tuple[str, str]] = []
    began = threading.Event()

    def announce(sweep: str, address: str) -> None:
        announced.append((sweep, address))
        began.set()

    def wait(spec: TrialSpec, on_epoch: OnEpoch) -> TrialResult:
        assert began.wait(60)  # while the first trial runs, not at the end
        return learn(spec, on_epoch)

    job = small(2, 1)
    tracker = opened(job, announce=announce)
    assert tracker.comparison("sweep/imdb") is None
    tracked(job, FakeEngine(wait), tracker)
    assert announced == [("sweep/imdb", tracker.comparison("sweep/imdb"))]
    assert announced[0][1].startswith("http://127.0.0.1:5000/#/experiments/")
    assert tracker.ui_command() == invocation.command("ui")


@pytest.mark.parametrize(
    ("other", "status"),
    [
        ({}, "RUNNING"),  # this very process
        ({"start": "1"}, "KILLED"),  # another process has its id by now
        ({"boot_id": "before"}, "KILLED"),
        ({"host": "elsewhere", "start": "1"}, "RUNNING"),
        ({"pid_namespace": "container", "start": "1"}, "RUNNING"),
    ],
)
def test_runs_that_a_dead_driver_left_running_are_killed_at_the_next_start_and_no_others(
    other: dict[str, str], status: str
) -> None:
    experiment = client().create_experiment("e")
    tags = {f"driver.{key}": value for key, value in (driver_process.identity() | other).items()}
    sweep = client().create_run(experiment, 1000, {"kind": "sweep", "sweep": "s/imdb", **tags})
    trial = client().create_run(experiment, 2000, {"kind": "trial", "sweep": "s/imdb", "trial": "0"})
    project = client().create_run(experiment, 1000, {"kind": "project", **tags})
    somebody_elses = client().create_run(experiment, 1000)
    for step, when in ((1, 5000), (2, 7000)):
        client().log_metric(trial.info.run_id, "val/loss", 0.5, when, step)
    assert Tracker(store.uri(None)).close()
    states = [client().get_run(run.info.run_id).info for run in (sweep, trial, somebody_elses, project)]
    assert [info.status for info in states] == [status, status, "RUNNING", status]
    if status == "KILLED":
        assert [info.end_time for info in states[:3]] == [7000, 7000, None]
        assert client().get_run(trial.info.run_id).data.tags["status.reason"] == "interrupted"


def test_training_does_not_wait_for_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    create = MlflowClient.create_run
    answers = threading.Event()

    def slow(*arguments: object, **more: object) -> object:
        assert answers.wait(60)
        return create(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(MlflowClient, "create_run", slow)
    job = small(3, 2)
    tracker = opened(job)
    search = search_of(job, tracker)
    driver.run([search], FakeEngine())
    assert search.record.ended is not None
    assert not tracker.close(limit=0.1)
    answers.set()
    assert tracker.close()
    assert len(runs("trial")) == 3


def emptied() -> None:
    """Leave the store as a server has it that came back with an empty database."""
    with closing(sqlite3.connect("mlflow.db")) as connection:
        for table in ("latest_metrics", "metrics", "params", "tags", "runs", "experiment_tags"):
            connection.execute(f"DELETE FROM {table}")
        connection.execute("DELETE FROM experiments WHERE experiment_id != 0")
        connection.commit()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def trials_logged() -> int:
    return sum(run.info.status == "FINISHED" for run in runs("trial"))


@pytest.mark.parametrize("lost_after", [1, 3])  # in mid-sweep, and after the last trial
def test_runs_that_the_store_has_lost_are_logged_again(lost_after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweeps.tracking.tracker.RETRY_AFTER", 0.1)
    job = small(3, 2)
    tracker = opened(job)

    def trial(spec: TrialSpec, on_epoch: OnEpoch) -> TrialResult:
        if spec.trial == lost_after:
            wait_for(lambda: trials_logged() == lost_after)
            emptied()
        return learn(spec, on_epoch)

    search = search_of(job, tracker)
    driver.run([search], FakeEngine(trial, workers=1))
    if lost_after == 3:
        wait_for(lambda: [run.info.status for run in runs("sweep")] == ["FINISHED"])
        emptied()
    assert tracker.close()
    (parent,) = runs("sweep")
    children = runs("trial")
    assert {run.info.status for run in [parent, *children]} == {"FINISHED"}
    assert [run.data.tags["mlflow.parentRunId"] for run in children] == [parent.info.run_id] * 3
    for run in children:
        assert_curves_logged_once(run, search.record.trials[int(run.data.tags["trial"])])
    assert artifacts(parent)["journal.jsonl"].read_bytes() == (search.plan.directory / journal.FILE).read_bytes()
    assert comparison_page.tag_of("sweep/imdb") in client().get_experiment(parent.info.experiment_id).tags


@pytest.mark.parametrize("lost_after", [1, 3])  # in mid-sweep, and after the sweep's end
def test_files_that_were_removed_from_under_the_store_are_logged_again(lost_after: int) -> None:
    def extras(record: SweepRecord, trial: TrialRecord | None) -> Extras:
        return Extras(files={"loss_curves.png": b"PNG"} if trial else {"report.html": b"<html>"})

    job = small(3, 2)
    tracker = opened(job, extras=extras)

    def trial(spec: TrialSpec, on_epoch: OnEpoch) -> TrialResult:
        if spec.trial == lost_after:
            wait_for(lambda: trials_logged() == lost_after)
            Path("mlruns").rename("removed")  # at one instant, while files are being logged
        return learn(spec, on_epoch)

    search = search_of(job, tracker)
    driver.run([search], FakeEngine(trial, workers=1))
    assert tracker.close()
    if lost_after == 3:
        Path("mlruns").rename("removed")
        catch_up(opened(job, extras=extras), search.plan.directory)
    (parent,) = runs("sweep")
    assert set(artifacts(parent)) == {"config.yaml", "journal.jsonl", "report.html"}
    assert [set(artifacts(run)) for run in runs("trial")] == [{"loss_curves.png"}] * 3
    assert {run.info.status for run in [parent, *runs("trial")]} == {"FINISHED"}
    for run in runs("trial"):
        assert_curves_logged_once(run, search.record.trials[int(run.data.tags["trial"])])


def test_runs_that_were_deleted_in_mid_sweep_are_not_called_a_store_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sweeps.tracking.tracker.RETRY_AFTER", 0.1)
    job = small(1, 2)
    tracker = opened(job)

    def trial(spec: TrialSpec, on_epoch: OnEpoch) -> TrialResult:
        wait_for(lambda: ["attempt" in run.data.tags for run in runs("trial")] == [True])
        emptied()
        return learn(spec, on_epoch)

    driver.run([search_of(job, tracker)], FakeEngine(trial))
    assert tracker.close()
    # None if the end, which compares everything, came before the next look.
    assert set(caplog.messages) <= {f"{tracker.uri} no longer has runs of this sweep; they are logged again"}
    assert len(runs("trial")) == 1


def test_a_run_that_goes_between_two_statements_of_mlflows_is_called_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    run = client().create_run("0").info.run_id
    check = SqlAlchemyStore._check_run_is_active

    def check_and_delete(self: SqlAlchemyStore, run: object) -> None:
        check(self, run)
        emptied()

    monkeypatch.setattr(SqlAlchemyStore, "_check_run_is_active", check_and_delete)
    monkeypatch.setattr("mlflow.store.tracking.sqlalchemy_store.time.sleep", lambda seconds: None)
    with pytest.raises(MlflowException) as caught:
        client().log_batch(run, tags=[RunTag("name", "value")])
    assert failures.is_of_deleted_run(caught.value)
    assert not failures.is_of_deleted_run(MlflowException("Failed"))
    assert not failures.is_of_deleted_run(IntegrityError("", None, Exception("UNIQUE constraint failed: tags.key")))
    assert failures.is_of_deleted_run(StaleDataError("UPDATE statement on table 'runs': 0 rows were matched"))


ONLY_PROC_TELLS = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only /proc tells")


@pytest.mark.parametrize(
    ("removed", "put_in_its_place", "is_there"),
    [
        ("mlflow.db*", False, False),
        ("mlflow.db*", True, True),
        pytest.param("mlflow.db-*", False, True, marks=ONLY_PROC_TELLS),  # its log alone
    ],
)
def test_a_database_that_was_removed_in_mid_sweep_is_not_written_to_and_is_named(
    removed: str, put_in_its_place: bool, is_there: bool, empty_store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    job = small(2, 2)
    tracker = opened(job)

    def trial(spec: TrialSpec, on_epoch: OnEpoch) -> TrialResult:
        if spec.trial == 1:
            wait_for(lambda: trials_logged() == 1)
            for path in Path().glob(removed):
                path.unlink()
            if put_in_its_place:
                shutil.copy(empty_store, "mlflow.db")
        return learn(spec, on_epoch)

    driver.run([search_of(job, tracker)], FakeEngine(trial, workers=1))
    assert not tracker.close()
    assert caplog.messages == [f"{tracker.uri} was removed or replaced while this command ran"]
    assert Path("mlflow.db").exists() == is_there
