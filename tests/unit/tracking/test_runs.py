import json
from collections import Counter
from collections.abc import Callable

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from conf.compose import Job
from sweeps import driver, journal
from sweeps.tracking import comparison_page
from sweeps.driver import Search
from sweeps.trials.engine import Message
from sweeps.journal import Event, SweepStarted
from sweeps.search.oracle import Oracle
from sweeps.tracking.runs import SweepRuns
from sweeps.metrics import CURVES
from sweeps.trials.spec import EpochReport, Report, TrialResult, TrialSpec
from sweeps.errors import TrialFailedError
from tests.fakes import FakeEngine, Trial, WorkerDiedError, learn, plan
from tests.tracked import artifacts, client, history, opened, runs, tracked

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


def test_an_attempt_that_was_logged_is_not_logged_again_by_the_next(composed: Callable[..., Job]) -> None:
    """However often the store is brought up to date: after every event here."""

    def die_once(spec: TrialSpec, report: Report) -> TrialResult:
        if spec.attempt == 1:
            learn(spec._replace(epochs=2), report)
            raise WorkerDiedError
        return learn(spec, report)

    started, *events, _ = happened(composed("trials=1", "epochs=3"), FakeEngine(die_once))
    assert isinstance(started, SweepStarted)
    sweep = SweepRuns(started, plan(composed("trials=1")).directory)
    experiment = client().create_experiment("e")
    for event in (started, *events):
        sweep.add(event)
        sweep.log(client(), lambda _: experiment, None)
    (run,) = runs("trial")
    points = client().get_metric_history(run.info.run_id, "val/loss")
    assert [point.step for point in points] == [1, 2, 3]  # each once, whenever it was
    assert run.data.tags["attempt"] == "2"


def test_a_trial_that_has_ended_costs_one_call_of_each_kind(
    composed: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = composed("trials=4", "epochs=3")
    events = happened(job, FakeEngine())
    calls: Counter[str] = Counter()

    def counted(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(client: MlflowClient, *arguments: object, **more: object) -> object:
            calls[name] += 1
            return real(client, *arguments, **more)

        return call

    tracker = opened(job)
    tracker.wait_until_opened()
    for name in (*WRITES, "log_inputs"):
        monkeypatch.setattr(MlflowClient, name, counted(name, getattr(MlflowClient, name)))
    tracker.recall(plan(job).directory, events[:-1])
    assert tracker.close()
    of_the_sweep = {"create_run": 1, "set_terminated": 1, "log_batch": 1}
    for name in ("create_run", "log_inputs", "log_batch", "set_terminated"):
        assert calls[name] - of_the_sweep.get(name, 0) == 4, name
    assert calls["set_tag"] == 1  # the sweep's note
    assert {len(history(run, "val/loss")) for run in runs("trial")} == {3}


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


def test_the_experiment_keeps_a_view_of_each_sweep_and_one_with_a_name(composed: Callable[..., Job]) -> None:
    job = composed("trials=1", "epochs=1", "model=lstm", "model.space.dropout=0.1")
    tracker = opened(job)
    tracked(job, tracker=tracker)
    tags = client().get_experiment_by_name("imdb-standin").tags
    searched = ["embedding_dim", "lstm_units", "learning_rate"]
    mine = comparison_page.of_sweep(comparison_page.Comparison("sweep/imdb", "val/accuracy", searched))
    assert tags[mine.tag] == mine.value
    address = tracker.comparison("sweep/imdb")
    assert address is not None
    assert mine.tag.removeprefix(comparison_page.TAG) in address
    (named,) = [json.loads(tags[key]) for key in tags if key.startswith(comparison_page.TAG) and key != mine.tag]
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
    assert comparison_page.TAG not in address
    assert "searchFilter" in address


def test_the_note_says_what_was_searched_and_what_came_of_it(composed: Callable[..., Job]) -> None:
    search = tracked(composed("trials=3", "epochs=1"))
    note = runs("sweep")[0].data.tags["mlflow.note.content"]
    best = search.record.best
    assert best is not None
    assert "* searched: embedding_dim, conv_filters, lstm_units, dropout, learning_rate" in note
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


def happened(job: Job, engine: FakeEngine) -> list[Event]:
    """A sweep that no store was told of."""
    search = Search(plan(job), Oracle(job.config, plan(job).space))
    driver.run([search], engine)
    return journal.read(search.plan.directory)


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
