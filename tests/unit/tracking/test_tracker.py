"""The thread between the journal and the store."""

import random
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from sweeps import driver, journal
from sweeps.tracking import driver_process, store
from sweeps.tracking.extras import Extras
from sweeps.tracking.tracker import Tracker, end_project_run
from sweeps.trials.spec import OnEpoch, TrialResult, TrialSpec
from tests.fakes import FakeEngine, learn
from tests.tracked import artifacts, assert_curves_logged_once, client, opened, runs, search_of, small, tracked

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
    assert tracker.ui_command() == "python -m pipelines.ui"


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
