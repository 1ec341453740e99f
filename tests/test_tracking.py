import json
import random
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from conf.compose import Job
from conf.schema import ConfigError
from sweeps import driver, journal, process, store, view
from sweeps.driver import Search
from sweeps.engine import Message
from sweeps.oracle import Oracle
from sweeps.spec import CURVES, EpochReport, Report, TrialFailedError, TrialResult, TrialSpec
from sweeps.tracking import Tracker
from tests.fakes import FakeEngine, Trial, WorkerDiedError, learn, plan

WRITES = (
    "create_run",
    "log_batch",
    "log_artifact",
    "log_text",
    "set_terminated",
    "set_tag",
    "set_experiment_tag",
    "update_run",
)


pytestmark = pytest.mark.usefixtures("fresh_store")


def opened(job: Job) -> Tracker:
    return Tracker(store.uri(job.config.tracking.uri), job.config.tracking.experiment)


def tracked(job: Job, engine: FakeEngine | None = None, tracker: Tracker | None = None) -> Search:
    tracker = tracker or opened(job)
    search = Search(plan(job), Oracle(job.config, plan(job).space), [tracker])
    driver.run([search], engine or FakeEngine())
    assert tracker.close()
    return search


def client() -> MlflowClient:
    return MlflowClient(store.uri(None))


def runs(kind: str) -> list[Run]:
    everywhere = [e.experiment_id for e in client().search_experiments()]
    return list(client().search_runs(everywhere, f"tags.kind = '{kind}'", order_by=["attributes.run_name"]))


def history(run: Run, metric: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in client().get_metric_history(run.info.run_id, metric)]


def artifacts(run: Run) -> dict[str, Path]:
    folder = Path(run.info.artifact_uri.removeprefix("file://"))
    return {path.name: path for path in folder.iterdir()} if folder.exists() else {}


def test_a_sweep_is_a_run_and_each_trial_a_child_of_it(composed: Callable[..., Job]) -> None:
    search = tracked(composed("trials=4", "epochs=3"))
    (parent,) = runs("sweep")
    children = runs("trial")
    assert [c.data.tags["mlflow.parentRunId"] for c in children] == [parent.info.run_id] * 4
    assert [c.data.tags["trial"] for c in children] == ["0", "1", "2", "3"]
    assert [c.data.tags["baseline"] for c in children] == ["true", "false", "false", "false"]
    assert {r.info.status for r in [parent, *children]} == {"FINISHED"}
    for run in [parent, *children]:
        shared = {"sweep": "sweep/imdb", "model": "conv_lstm", "dataset": "imdb", "tuner": "random", "seed": "1"}
        assert shared.items() <= run.data.tags.items()
        assert run.data.tags["source"] == "standin"
    assert parent.data.tags["objective"] == "val/accuracy"
    assert parent.data.tags["best_trial"] == str(search.record.best.trial if search.record.best else None)


def test_a_trial_run_holds_what_its_journal_does(composed: Callable[..., Job]) -> None:
    search = tracked(composed("trials=3", "epochs=4"))
    for run in runs("trial"):
        trial = search.record.trials[int(run.data.tags["trial"])]
        assert run.data.params == {name: str(value) for name, value in trial.values.items()}
        for metric in CURVES:
            assert history(run, metric) == list(enumerate(trial.curves[metric], start=1))
        for metric, value in {**trial.test, "objective": trial.objective}.items():
            assert history(run, metric) == [(0, value)]
        assert {m for m in run.data.metrics if m.startswith("cost/")} == {
            "cost/seconds",
            "cost/epochs",
            "cost/parameters",
            "cost/peak_rss_mb",
        }
        assert artifacts(run)["loss_curves.png"].read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        (dataset,) = run.inputs.dataset_inputs
        assert (dataset.dataset.name, dataset.dataset.digest) == ("imdb", "0123456789abcdef")


def test_the_sweep_run_holds_the_config_the_journal_and_the_chosen_trials_scores(
    composed: Callable[..., Job],
) -> None:
    job = composed("trials=3", "epochs=2")
    search = tracked(job)
    (parent,) = runs("sweep")
    assert artifacts(parent)["config.yaml"].read_text() == job.yaml
    assert artifacts(parent)["journal.jsonl"].read_bytes() == (search.plan.directory / journal.FILE).read_bytes()
    best = search.record.best
    assert best is not None
    assert parent.data.metrics["val/accuracy"] == pytest.approx(best.curves["val/accuracy"][-1])
    assert parent.data.metrics["test/accuracy"] == best.test["test/accuracy"]


def test_a_failed_trial_is_failed_with_reason_and_traceback(composed: Callable[..., Job]) -> None:
    def diverge(spec: TrialSpec, report: Report) -> TrialResult:
        if spec.trial == 1:
            report(EpochReport(spec.sweep, spec.trial, spec.attempt, 1, dict.fromkeys(CURVES, 0.5)))
            raise TrialFailedError("diverged: train/loss is nan in epoch 2")
        return learn(spec, report)

    tracked(composed("trials=2"), FakeEngine(diverge))
    finished, failed = runs("trial")
    assert (finished.info.status, failed.info.status) == ("FINISHED", "FAILED")
    assert failed.data.tags["status.reason"] == "diverged: train/loss is nan in epoch 2"
    assert artifacts(failed)["traceback.txt"].read_text() == "Traceback …"
    assert history(failed, "val/loss") == [(1, 0.5)]
    assert runs("sweep")[0].info.status == "FINISHED"


def test_a_sweep_without_a_completed_trial_is_failed(composed: Callable[..., Job]) -> None:
    def fail(spec: TrialSpec, report: Report) -> TrialResult:
        raise TrialFailedError("no")

    tracked(composed("trials=2"), FakeEngine(fail))
    assert {run.info.status for run in [*runs("sweep"), *runs("trial")]} == {"FAILED"}


def test_a_promoted_trial_is_one_run_with_one_unbroken_curve(composed: Callable[..., Job]) -> None:
    search = tracked(composed("tuner=hyperband", "trials=13", "epochs=10"))
    children = runs("trial")
    assert len(children) == 13
    promoted = [r for r in children if len(history(r, "val/loss")) == 10 and r.data.tags["baseline"] == "false"]
    assert len(promoted) == 2
    for run in promoted:
        trial = search.record.trials[int(run.data.tags["trial"])]
        for metric in CURVES:
            assert history(run, metric) == list(enumerate(trial.curves[metric], start=1))
        assert run.data.metrics["cost/epochs"] == 10


def test_another_attempt_is_the_same_run_with_each_epoch_once(composed: Callable[..., Job]) -> None:
    def die_once(spec: TrialSpec, report: Report) -> TrialResult:
        if spec.trial == 1 and spec.attempt == 1:
            result = learn(spec._replace(epochs=2), report)
            assert len(result.curves["val/loss"]) == 2
            raise WorkerDiedError
        return learn(spec, report)

    tracked(composed("trials=2", "epochs=3"), FakeEngine(die_once))
    _, run = runs("trial")
    assert run.data.tags["attempt"] == "2"
    assert run.info.status == "FINISHED"
    assert [step for step, _ in history(run, "val/loss")] == [1, 2, 3]


def test_what_was_not_ended_is_killed_on_closing(composed: Callable[..., Job]) -> None:
    class InterruptedEngine(FakeEngine):
        def next(self, timeout: float) -> Message | None:
            if len(self.specs) > 3:
                raise KeyboardInterrupt
            return super().next(timeout)

    job = composed("trials=6", "epochs=1")
    tracker = opened(job)
    search = Search(plan(job), Oracle(job.config, plan(job).space), [tracker])
    with pytest.raises(KeyboardInterrupt):
        driver.run([search], InterruptedEngine())
    search.close()
    assert tracker.close()
    states = [run.info.status for run in runs("trial")]
    assert states.count("FINISHED") == 2
    assert states.count("KILLED") == 2
    assert [run.info.status for run in runs("sweep")] == ["KILLED"]


def test_a_store_that_is_away_for_a_while_gets_everything_once(
    composed: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    job = composed("trials=3", "epochs=3")
    tracker = opened(job)
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

    search = Search(plan(job), Oracle(job.config, plan(job).space), [tracker])
    with monkeypatch.context() as patched:
        patched.setattr("sweeps.tracking.RETRY_AFTER", 0)
        for name in ("create_run", "log_batch", "log_artifact", "set_terminated", "set_tag"):
            patched.setattr(MlflowClient, name, flaky(getattr(MlflowClient, name)))
        driver.run([search], FakeEngine())
        while not tracker.close():
            tracker = opened(job)
            tracker.recall(search.plan.directory, journal.read(search.plan.directory))
    assert calls > 21
    (parent,) = runs("sweep")
    children = runs("trial")
    assert len(children) == 3
    assert {run.info.status for run in [parent, *children]} == {"FINISHED"}
    for run in children:
        trial = search.record.trials[int(run.data.tags["trial"])]
        for metric in CURVES:
            assert history(run, metric) == list(enumerate(trial.curves[metric], start=1))
    assert f"{tracker.uri} does not answer; the sweep goes on without: away" in caplog.messages


def test_a_store_that_stays_away_does_not_stop_the_sweep(
    composed: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = composed("trials=3", "epochs=1")
    tracker = opened(job)

    def away(*_: object, **__: object) -> None:
        raise OSError("unreachable")

    monkeypatch.setattr(MlflowClient, "create_run", away)
    search = Search(plan(job), Oracle(job.config, plan(job).space), [tracker])
    driver.run([search], FakeEngine())
    assert search.record.ended is not None
    assert not tracker.close()


def test_an_experiment_whose_artifacts_a_server_keeps_is_named(
    composed: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sweeps.tracking.LAST_TRIES", 0)
    client().create_experiment("imdb-standin", "mlflow-artifacts:/7")
    job = composed("trials=1", "epochs=1")
    tracker = opened(job)
    search = Search(plan(job), Oracle(job.config, plan(job).space), [tracker])
    driver.run([search], FakeEngine())
    assert not tracker.close()
    (told,) = caplog.messages
    assert "a server made the experiment imdb-standin and keeps its artifacts: log to the server, tracking.uri=" in told
    assert runs("sweep") == []


def test_stand_in_data_have_an_experiment_of_their_own(composed: Callable[..., Job]) -> None:
    tracked(composed("trials=1"))
    assert client().get_experiment_by_name("imdb-standin") is not None
    assert client().get_experiment_by_name("imdb") is None


def test_the_experiment_can_be_named(composed: Callable[..., Job]) -> None:
    tracked(composed("trials=1", "tracking.experiment=mine"))
    experiment = client().get_experiment_by_name("mine-standin")  # generated data never stand among real ones
    assert {run.info.experiment_id for run in [*runs("sweep"), *runs("trial")]} == {experiment.experiment_id}


def test_artifacts_lie_beside_the_store_wherever_the_user_is_later(
    composed: Callable[..., Job], tmp_path: Path
) -> None:
    tracked(composed("trials=1"))
    assert (tmp_path / "mlflow.db").exists()
    location = client().get_experiment_by_name("imdb-standin").artifact_location
    assert location == (tmp_path / "mlruns" / "imdb-standin").as_uri()


def test_under_mlflow_run_the_projects_run_is_the_parent_of_all(
    composed: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = MlflowClient(store.uri(None))
    experiment = project.create_experiment("project")
    run = project.create_run(experiment)
    monkeypatch.setenv("MLFLOW_RUN_ID", run.info.run_id)
    tracked(composed("trials=2"))
    (parent,) = runs("sweep")
    assert parent.data.tags["mlflow.parentRunId"] == run.info.run_id
    assert {r.info.experiment_id for r in [parent, *runs("trial")]} == {experiment}


def test_a_project_run_of_another_store_is_no_parent(
    composed: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, empty_store: Path
) -> None:
    shutil.copy(empty_store, tmp_path / "other.db")
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    tracker = Tracker(f"sqlite:///{tmp_path}/other.db")
    tracked(composed("trials=1"), tracker=tracker)
    other = MlflowClient(tracker.uri)
    (experiment,) = [e for e in other.search_experiments() if e.name == "imdb-standin"]
    parents = [run.data.tags.get("mlflow.parentRunId") for run in other.search_runs([experiment.experiment_id])]
    assert len(parents) == 2
    assert "0" * 32 not in parents


def test_a_store_that_cannot_be_used_is_named() -> None:
    uri = "sqlite:////proc/none/mlflow.db"
    tracker = Tracker(uri)
    with pytest.raises(ConfigError) as error:
        tracker.wait_until_opened()
    tracker.close()
    assert str(error.value).startswith(f"tracking.uri={uri}: ")
    assert "\n" not in str(error.value)


def test_a_database_whose_driver_is_not_installed_is_named() -> None:
    tracker = Tracker("mysql+pymysql://me:secret@127.0.0.1/db")
    with pytest.raises(
        ConfigError, match=r"^tracking\.uri=mysql\+pymysql://127\.0\.0\.1/db: No module named 'pymysql'$"
    ):
        tracker.wait_until_opened()
    assert not tracker.close()


def test_the_comparison_is_announced_once_as_soon_as_it_is_there(composed: Callable[..., Job]) -> None:
    announced: list[tuple[str, str]] = []
    began = threading.Event()

    def announce(sweep: str, address: str) -> None:
        announced.append((sweep, address))
        began.set()

    def wait(spec: TrialSpec, report: Report) -> TrialResult:
        assert began.wait(60)  # while the first trial runs, not at the end
        return learn(spec, report)

    job = composed("trials=2", "epochs=1")
    tracker = Tracker(store.uri(None), announce=announce)
    assert tracker.comparison("sweep/imdb") is None
    tracked(job, FakeEngine(wait), tracker)
    assert announced == [("sweep/imdb", tracker.comparison("sweep/imdb"))]
    assert announced[0][1].startswith("http://127.0.0.1:5000/#/experiments/")
    assert tracker.ui_command() == "python -m pipelines.ui"


def test_the_experiment_keeps_a_view_of_each_sweep_and_one_with_a_name(composed: Callable[..., Job]) -> None:
    job = composed("trials=1", "epochs=1", "model=lstm", "model.space.dropout=0.1")
    tracker = opened(job)
    tracked(job, tracker=tracker)
    tags = client().get_experiment_by_name("imdb-standin").tags
    searched = ["embedding_dim", "lstm_units", "learning_rate"]
    mine = view.of_sweep(view.Comparison("sweep/imdb", "val/accuracy", searched))
    assert tags[mine.tag] == mine.value
    address = tracker.comparison("sweep/imdb")
    assert address is not None
    assert mine.tag.removeprefix(view.TAG) in address
    (named,) = [json.loads(tags[key]) for key in tags if key.startswith(view.TAG) and key != mine.tag]
    assert named["name"] == "Compare trials"


def test_a_store_that_refuses_the_view_costs_a_warning(
    composed: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise MlflowException("no such tags here")

    monkeypatch.setattr(MlflowClient, "set_experiment_tag", refuse)
    job = composed("trials=2", "epochs=1")
    tracker = opened(job)
    tracked(job, tracker=tracker)
    assert [run.info.status for run in [*runs("sweep"), *runs("trial")]] == ["FINISHED"] * 3
    assert caplog.messages == ["MLflow keeps no view of sweep/imdb: no such tags here"]
    address = tracker.comparison("sweep/imdb")
    assert address is not None
    assert view.TAG not in address
    assert "searchFilter" in address


def test_the_note_says_what_was_searched_and_what_came_of_it(composed: Callable[..., Job]) -> None:
    search = tracked(composed("trials=3", "epochs=1"))
    note = runs("sweep")[0].data.tags["mlflow.note.content"]
    best = search.record.best
    assert best is not None
    assert "* searched: embedding_dim, conv_filters, lstm_units, dropout, learning_rate\n" in note
    assert f"#/experiments/{runs('sweep')[0].info.experiment_id}/runs/{runs('sweep')[0].info.run_id}/artifacts)" in note
    assert "viewStateShareKey" in note
    assert "* 3 trials completed, 0 failed\n" in note
    assert f"* best: trial {best.trial}, val/accuracy {best.objective:.4f}, test/accuracy" in note
    assert "* baseline: trial 0, val/accuracy" in note
    assert "|" not in note  # MLflow draws no tables
    assert "stand-in" in note


def test_the_dataset_is_described_without_its_arrays(composed: Callable[..., Job]) -> None:
    tracked(composed("trials=1"))
    (dataset,) = runs("trial")[0].inputs.dataset_inputs
    assert json.loads(dataset.dataset.source) == {"dataset": "imdb", "source": "standin"}


class InterruptedEngine(FakeEngine):
    """Ctrl-C when the fifth trial would run."""

    def next(self, timeout: float) -> Message | None:
        if len(self.specs) > 4:
            raise KeyboardInterrupt
        return super().next(timeout)


def interrupted(job: Job) -> None:
    tracker = opened(job)
    search = Search(plan(job), Oracle(job.config, plan(job).space), [tracker])
    with pytest.raises(KeyboardInterrupt):
        driver.run([search], InterruptedEngine())
    search.close()
    assert tracker.close()


def resumed(job: Job, trial: Trial = learn) -> Search:
    past = journal.read(plan(job).directory)
    tracker = opened(job)
    tracker.recall(plan(job).directory, past)
    search = Search(plan(job), Oracle(job.config, plan(job).space), [tracker], past)
    driver.run([search], FakeEngine(trial))
    assert tracker.close()
    return search


def ids() -> dict[str, str]:
    return {run.data.tags.get("trial", "sweep"): run.info.run_id for run in [*runs("sweep"), *runs("trial")]}


def test_a_sweep_that_is_resumed_goes_on_in_the_same_runs(composed: Callable[..., Job]) -> None:
    job = composed("trials=6", "epochs=2")
    interrupted(job)
    before = ids()
    states = {run.data.tags["trial"]: run.info.status for run in runs("trial")}
    assert [run.info.status for run in runs("sweep")] == ["KILLED"]
    assert sorted(states.values()) == ["FINISHED"] * 3 + ["KILLED"] * 2
    search = resumed(job)
    assert before.items() <= ids().items()
    assert len(ids()) == 7
    assert {run.info.status for run in [*runs("sweep"), *runs("trial")]} == {"FINISHED"}
    for run in runs("trial"):
        for metric in CURVES:
            trial = search.record.trials[int(run.data.tags["trial"])]
            assert history(run, metric) == list(enumerate(trial.curves[metric], start=1))


def test_what_a_store_has_is_not_logged_again(composed: Callable[..., Job], monkeypatch: pytest.MonkeyPatch) -> None:
    job = composed("trials=3", "epochs=2")
    search = tracked(job)
    before = ids(), [run.info.end_time for run in [*runs("sweep"), *runs("trial")]]

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("nothing is to be written")

    with monkeypatch.context() as patched:
        for name in WRITES:
            patched.setattr(MlflowClient, name, refuse)
        tracker = opened(job)
        tracker.recall(search.plan.directory, journal.read(search.plan.directory))
        assert tracker.close()
    assert before == (ids(), [run.info.end_time for run in [*runs("sweep"), *runs("trial")]])


def test_an_attempt_with_other_numbers_replaces_the_run_of_the_one_before(composed: Callable[..., Job]) -> None:
    def another_machine(spec: TrialSpec, report: Report) -> TrialResult:
        return learn(spec._replace(model_values={"lstm_units": 7}), report)

    def half_a_trial(spec: TrialSpec, report: Report) -> TrialResult:
        if spec.attempt == 1:
            learn(spec._replace(epochs=2), report)
            raise WorkerDiedError
        return another_machine(spec, report)

    search = tracked(composed("trials=1", "epochs=3"), FakeEngine(half_a_trial))
    (run,) = runs("trial")
    assert history(run, "val/loss") == list(enumerate(search.record.trials[0].curves["val/loss"], start=1))
    assert run.info.status == "FINISHED"


def test_of_two_runs_for_one_trial_one_is_left(composed: Callable[..., Job]) -> None:
    job = composed("trials=6", "epochs=2")
    interrupted(job)
    first = runs("trial")[0]
    client().create_run(first.info.experiment_id, tags=first.data.tags)
    client().create_run(first.info.experiment_id, tags=runs("sweep")[0].data.tags)
    resumed(job)
    assert len(runs("sweep")) == 1
    assert sorted(run.data.tags["trial"] for run in runs("trial")) == list("012345")


@pytest.mark.parametrize(
    ("other", "status"),
    [
        ({}, "RUNNING"),  # this very process
        ({"start": "1"}, "KILLED"),  # its id was given again
        ({"boot_id": "before"}, "KILLED"),
        ({"host": "elsewhere", "start": "1"}, "RUNNING"),
        ({"pid_namespace": "container", "start": "1"}, "RUNNING"),
    ],
)
def test_what_a_dead_driver_left_running_is_killed_at_the_next_start_and_nothing_elses(
    other: dict[str, str], status: str
) -> None:
    experiment = client().create_experiment("e")
    driver_tags = {f"driver.{key}": value for key, value in (process.identity() | other).items()}
    sweep = client().create_run(experiment, 1000, {"kind": "sweep", "sweep": "s/imdb", **driver_tags})
    trial = client().create_run(experiment, 2000, {"kind": "trial", "sweep": "s/imdb", "trial": "0"})
    project = client().create_run(experiment, 1000, {"kind": "project", **driver_tags})
    somebody_elses = client().create_run(experiment, 1000)
    for step, when in ((1, 5000), (2, 7000)):
        client().log_metric(trial.info.run_id, "val/loss", 0.5, when, step)
    tracker = Tracker(store.uri(None))
    assert tracker.close()
    states = [client().get_run(run.info.run_id).info for run in (sweep, trial, somebody_elses, project)]
    assert [info.status for info in states] == [status, status, "RUNNING", status]
    if status == "KILLED":
        assert [info.end_time for info in states[:3]] == [7000, 7000, None]
        assert client().get_run(trial.info.run_id).data.tags["status.reason"] == "interrupted"


def test_training_does_not_wait_for_the_store(composed: Callable[..., Job], monkeypatch: pytest.MonkeyPatch) -> None:
    create = MlflowClient.create_run
    answers = threading.Event()

    def slow(*arguments: object, **more: object) -> object:
        assert answers.wait(60)
        return create(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(MlflowClient, "create_run", slow)
    job = composed("trials=3", "epochs=2")
    tracker = opened(job)
    search = Search(plan(job), Oracle(job.config, plan(job).space), [tracker])
    driver.run([search], FakeEngine())
    assert search.record.ended is not None
    assert not tracker.close(limit=0.1)
    answers.set()
    assert tracker.close()
    assert len(runs("trial")) == 3
