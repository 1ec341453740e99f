"""The runs of a sweep in a store, compared with its journal."""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from conf.schema import Job
from sweeps import driver, journal
from sweeps.driver import Search
from sweeps.errors import TrialFailedError
from sweeps.journal import EpochEnded, Event, SweepRecord, TrialRecord
from sweeps.metrics import CURVES
from sweeps.tracking import comparison_page, driver_process, naming, store
from sweeps.tracking.client import search_runs
from sweeps.tracking.experiments import Experiments
from sweeps.tracking.extras import Extras
from sweeps.tracking.reader import StoredSweeps
from sweeps.tracking.runs import NOTE, SweepRuns, _searched
from sweeps.tracking.tracker import Tracker
from sweeps.trials.spec import EpochReport, OnEpoch, TrialResult, TrialSpec
from tests import records
from tests.fakes import FakeEngine, WorkerDiedError, learn, plan
from tests.tracked import (
    ListOracle,
    artifacts,
    assert_curves_logged_once,
    catch_up,
    client,
    history,
    interrupted,
    opened,
    proposal,
    resumed,
    runs,
    search_of,
    small,
    tracked,
    untracked,
)

WRITES = (
    "create_run",
    "log_batch",
    "log_artifact",
    "log_text",
    "set_terminated",
    "set_tag",
    "set_experiment_tag",
    "update_run",
    "delete_run",
)

pytestmark = pytest.mark.usefixtures("fresh_store")


class Logged(NamedTuple):
    """A finished sweep in a store, with files and metrics of the trials and of the sweep."""

    folder: Path
    job: Job
    search: Search
    tracker: Tracker
    asked: list[int | str]  # the trials whose extras were asked for, and the sweep itself: running | ended


@pytest.fixture(scope="module")
def logged_once(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Logged:
    asked: list[int | str] = []

    def extras(record: SweepRecord, trial: TrialRecord | None) -> Extras:
        asked.append(trial.trial if trial else "ended" if record.ended else "running")
        if trial is not None:
            return Extras({"gain": 0.25}, {"loss_curves.png": b"\x89PNG"})
        if record.ended is None:
            return Extras(note="it runs")
        return Extras({"confirm/gain": 0.5}, {"report.html": b"<html>"}, "first line\nsecond line")

    folder, job = tmp_path_factory.mktemp("logged"), small(3, 4)
    shutil.copy(empty_store, folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        tracker = opened(job, extras=extras)
        return Logged(folder, job, tracked(job, tracker=tracker), tracker, asked)


@pytest.fixture
def logged(logged_once: Logged, monkeypatch: pytest.MonkeyPatch) -> Logged:
    """The same sweep for every test, which works in its folder and changes nothing there."""
    monkeypatch.chdir(logged_once.folder)
    return logged_once


def test_a_sweep_is_a_run_and_each_trial_a_child_of_it(logged: Logged) -> None:
    (parent,) = runs("sweep")
    children = runs("trial")
    assert [c.data.tags["mlflow.parentRunId"] for c in children] == [parent.info.run_id] * 3
    assert [c.data.tags["trial"] for c in children] == ["0", "1", "2"]
    assert [c.data.tags["baseline"] for c in children] == ["true", "false", "false"]
    assert {r.info.status for r in [parent, *children]} == {"FINISHED"}
    for run in [parent, *children]:
        shared = {"sweep": "sweep/imdb", "model": "lstm", "dataset": "imdb", "tuner": "random", "seed": "1"}
        assert shared.items() <= run.data.tags.items()
        assert run.data.tags["source"] == "standin"
    code = logged.search.record.started.environment
    assert parent.data.tags["code.digest"] == code.code_digest
    assert parent.data.tags["code.model"] == code.code["models/lstm.py"]
    assert artifacts(parent)["config.yaml"].read_text() == logged.job.yaml
    assert artifacts(parent)["journal.jsonl"].read_bytes() == (logged.search.plan.directory / journal.FILE).read_bytes()
    best = logged.search.record.best
    assert best is not None
    assert (parent.data.tags["objective"], parent.data.tags["best_trial"]) == ("val/accuracy", str(best.trial))
    metrics = {name: value for name, value in parent.data.metrics.items() if not name.startswith("confirm/")}
    assert metrics == pytest.approx(naming.scores(best), rel=1e-5)
    assert {"best/val/accuracy", "best/val/macro_f1", "test/accuracy", "test/macro_f1"} <= metrics.keys()


def test_the_list_of_runs_has_score_settings_data_and_source_of_a_sweep(logged: Logged) -> None:
    (parent,) = runs("sweep")
    best = logged.search.record.best
    assert best is not None
    assert parent.data.metrics["best/val/accuracy"] == pytest.approx(best.objective)
    own = {"model": "lstm", "tuner": "random", "seed": "1", "objective": "val/accuracy"}
    assert parent.data.params == {**own, "searched": "embedding_dim, lstm_units, learning_rate"}
    assert parent.data.tags["best"] == " ".join(f"{name}={value}" for name, value in best.values.items())
    (dataset,) = parent.inputs.dataset_inputs
    assert (dataset.dataset.name, dataset.dataset.digest) == ("imdb", "0123456789abcdef")
    for run in [parent, *runs("trial")]:
        source = run.data.tags["mlflow.source.name"], run.data.tags["mlflow.source.type"]
        assert source == ("text-sweeps sweep", "LOCAL")


def test_a_trial_run_holds_what_its_journal_does(logged: Logged) -> None:
    costs = {"cost/seconds", "cost/epochs", "cost/parameters", "cost/peak_rss_mb", "cost/predict_seconds"}
    costs.add("cost/model_megabytes")
    for run in runs("trial"):
        trial = logged.search.record.trials[int(run.data.tags["trial"])]
        assert run.data.params == {name: str(value) for name, value in trial.values.items()}
        assert_curves_logged_once(run, trial)
        for metric, value in {**trial.test, "best/val/accuracy": trial.objective}.items():
            assert history(run, metric) == [(0, value)]
        assert {metric for metric in run.data.metrics if metric.startswith("cost/")} == costs
        (dataset,) = run.inputs.dataset_inputs
        assert (dataset.dataset.name, dataset.dataset.digest) == ("imdb", "0123456789abcdef")
        assert json.loads(dataset.dataset.source) == {"dataset": "imdb", "source": "standin"}  # and no arrays


def test_extras_are_logged_with_the_run_that_they_belong_to(logged: Logged) -> None:
    (parent,) = runs("sweep")
    # "running" only if the store was open before the sweep had ended; the page is drawn once in any case.
    assert sorted((name for name in logged.asked if name != "running"), key=str) == [0, 1, 2, "ended"]
    assert logged.asked.count("running") <= 1
    assert parent.data.metrics["confirm/gain"] == 0.5
    assert artifacts(parent)["report.html"].read_bytes() == b"<html>"
    for run in runs("trial"):
        assert history(run, "gain") == [(0, 0.25)]
        assert artifacts(run)["loss_curves.png"].read_bytes() == b"\x89PNG"
    first, second, links = parent.data.tags["mlflow.note.content"].splitlines()
    assert (first, second) == ("first line", "second line")
    assert links.startswith("* [compare the trials](#/experiments/")
    assert "viewStateShareKey" in links
    page = (
        f"#/experiments/{parent.info.experiment_id}/runs/{parent.info.run_id}/artifacts?workflowType=machine_learning"
    )
    assert links.endswith(f", [report, configuration and journal]({page})")


def test_what_a_store_has_is_not_logged_again(logged: Logged, monkeypatch: pytest.MonkeyPatch) -> None:
    before = ids(), [run.info.end_time for run in [*runs("sweep"), *runs("trial")]]

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("nothing is to be written")

    with monkeypatch.context() as patched:
        for name in WRITES:
            patched.setattr(MlflowClient, name, refuse)
        catch_up(opened(logged.job), logged.search.plan.directory)
    assert before == (ids(), [run.info.end_time for run in [*runs("sweep"), *runs("trial")]])


def test_the_experiment_keeps_a_view_of_each_sweep_and_one_with_a_name(logged: Logged) -> None:
    tags = client().get_experiment_by_name("imdb-standin").tags
    searched = ["embedding_dim", "lstm_units", "learning_rate"]
    newest = comparison_page.Comparison("sweep/imdb", "val/accuracy", searched, digest="0123456789abcdef")
    own = comparison_page.of_sweep(newest)
    assert tags[own.tag] == own.value
    address = logged.tracker.comparison("sweep/imdb")
    assert address is not None
    assert own.tag.removeprefix(comparison_page.TAG) in address
    assert tags["mlflow.experimentKind"] == "custom_model_development"
    entries = {key: json.loads(tags[key]) for key in tags if key.startswith(comparison_page.TAG) and key != own.tag}
    assert sorted(entry["name"] for entry in entries.values()) == ["Compare sweeps", "Compare trials"]
    named = entries[f"{comparison_page.TAG}compare-trials"]
    condition = "tags.kind = 'trial' and tags.objective = 'val/accuracy' and datasets.digest = '0123456789abcdef'"
    axes = {"lstm": searched}
    assert comparison_page.of_experiment(newest, named["createdAt"], axes).value == json.dumps(named)
    assert len(search_runs(client(), condition)) == 3


def test_the_axes_of_several_networks_are_what_the_trials_of_all_have() -> None:
    started = records.several(trials=0, accuracy=lambda values, rng: 0.5).started
    searched, networks = _searched(started)
    assert searched == ["model", "embedding_dim", "dropout", "lstm_units", "learning_rate"]
    assert networks == {
        "bag": ["embedding_dim", "dropout", "learning_rate"],
        "lstm": ["embedding_dim", "dropout", "lstm_units", "learning_rate"],
    }
    assert _searched(records.started()) == (["embedding_dim", "lstm_units", "dropout", "learning_rate"], {})


def test_the_view_of_several_networks_has_a_chart_of_the_hyperparameters_of_each() -> None:
    started = records.several(trials=0, accuracy=lambda values, rng: 0.5).started
    tracker = opened(small())
    tracker.catch_up(Path("outputs/several/imdb"), [started])
    tracker.close()
    searched, networks = _searched(started)
    view = comparison_page.Comparison(started.sweep, started.objective, searched, digest=started.digest)
    with_networks = comparison_page.of_sweep(view._replace(networks=networks))
    assert with_networks.value != comparison_page.of_sweep(view).value
    (experiment,) = {run.info.experiment_id for run in runs("sweep")}
    assert client().get_experiment(experiment).tags[with_networks.tag] == with_networks.value


def test_a_failed_trial_is_failed_with_reason_and_traceback() -> None:
    def diverge(spec: TrialSpec, on_epoch: OnEpoch) -> TrialResult:
        if spec.trial == 1:
            on_epoch(EpochReport(spec.sweep, spec.trial, spec.attempt, 1, dict.fromkeys(CURVES, 0.5)))
            raise TrialFailedError("diverged: train/loss is nan in epoch 2")
        return learn(spec, on_epoch)

    tracked(small(2, 1), FakeEngine(diverge))
    finished, failed = runs("trial")
    assert (finished.info.status, failed.info.status) == ("FINISHED", "FAILED")
    assert failed.data.tags["status.reason"] == "diverged: train/loss is nan in epoch 2"
    assert artifacts(failed)["traceback.txt"].read_text() == "Traceback …"
    assert history(failed, "val/loss") == [(1, 0.5)]
    assert runs("sweep")[0].info.status == "FINISHED"


def test_a_sweep_without_a_completed_trial_is_failed() -> None:
    def fail(spec: TrialSpec, on_epoch: OnEpoch) -> TrialResult:
        raise TrialFailedError("no")

    tracked(small(2), FakeEngine(fail))
    assert {run.info.status for run in [*runs("sweep"), *runs("trial")]} == {"FAILED"}


def test_a_promoted_trial_is_one_run_with_one_unbroken_curve() -> None:
    job = small(3, 5)
    first_round = [proposal(job, trial, 0, 2) for trial in range(3)]
    oracle = ListOracle([*first_round, proposal(job, 1, 2, 5)])
    tracker = opened(job)
    search = Search(plan(job), oracle, [tracker])
    driver.run([search], FakeEngine())
    assert tracker.close()
    children = runs("trial")
    assert [len(history(run, "val/loss")) for run in children] == [2, 5, 2]
    for run in children:
        assert_curves_logged_once(run, search.record.trials[int(run.data.tags["trial"])])
    assert children[1].data.metrics["cost/epochs"] == 5


def half_then(rest: Callable[[TrialSpec, OnEpoch], TrialResult]) -> Callable[[TrialSpec, OnEpoch], TrialResult]:
    """A trial whose first worker dies after two epochs."""

    def run(spec: TrialSpec, on_epoch: OnEpoch) -> TrialResult:
        if spec.attempt == 1:
            assert len(learn(spec._replace(epochs=2), on_epoch).curves["val/loss"]) == 2
            raise WorkerDiedError
        return rest(spec, on_epoch)

    return run


def test_another_attempt_is_the_same_run_with_each_epoch_once() -> None:
    def other_numbers(spec: TrialSpec, on_epoch: OnEpoch) -> TrialResult:
        return learn(spec._replace(values={"lstm_units": 7}), on_epoch)

    # On another machine the numbers may differ, and MLflow cannot take back a point: then it is a new run.
    for rest in (learn, other_numbers):
        job = small(1, experiment=rest.__name__)
        search = Search(
            plan(job, Path(f"outputs/{rest.__name__}/imdb")), ListOracle([proposal(job, 0)]), [tracker := opened(job)]
        )
        driver.run([search], FakeEngine(half_then(rest)))
        assert tracker.close()
        (run,) = [run for run in runs("trial") if run.data.tags["sweep"] == search.plan.sweep]
        assert (run.data.tags["attempt"], run.info.status) == ("2", "FINISHED")
        assert_curves_logged_once(run, search.record.trials[0])


def log_one_by_one(events: Sequence[Event]) -> None:
    """Bring the store up to date after every event."""
    directory = Path("outputs/sweep/imdb")
    sweep = SweepRuns(SweepRecord.of(directory, events[:1]).started, directory)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / journal.FILE).touch()
    for event in events:
        sweep.add(event)
        sweep.log(client(), Experiments(store.uri(None), None, None))


def test_an_attempt_that_was_logged_is_not_logged_again_by_the_next() -> None:
    log_one_by_one(untracked(small(1), FakeEngine(half_then(learn))))
    (run,) = runs("trial")
    points = client().get_metric_history(run.info.run_id, "val/loss")
    assert [point.step for point in points] == [1, 2, 3]  # each once, at whatever time
    assert run.data.tags["attempt"] == "2"


def without(events: Sequence[Event], *metrics: str) -> list[Event]:
    """A journal of a version that did not have these metrics."""

    def old(event: EpochEnded) -> EpochEnded:
        return replace(event, metrics={name: event.metrics[name] for name in event.metrics.keys() - metrics})

    return [old(event) if isinstance(event, EpochEnded) else event for event in events]


F1 = ("train/macro_f1", "val/macro_f1")


@pytest.mark.parametrize(
    "was_logged",
    [
        pytest.param("all of it", marks=pytest.mark.long),
        "without its end",
        pytest.param("not yet", marks=pytest.mark.long),
    ],
)
def test_a_journal_without_later_metrics_is_logged_once_and_nothing_is_deleted(
    was_logged: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = without(records.events(2, source="standin"), *F1)
    logged = {"all of it": events, "without its end": events[:-3], "not yet": []}[was_logged]
    if logged:
        log_one_by_one(logged)
    before = {run.data.tags["trial"]: run.info.run_id for run in runs("trial")}
    log_one_by_one(events)
    after = {run.data.tags["trial"]: run.info.run_id for run in runs("trial")}
    assert before.items() <= after.items()
    assert {run.info.status for run in [*runs("sweep"), *runs("trial")]} == {"FINISHED"}
    for run in runs("trial"):
        assert [step for step, _ in history(run, "val/accuracy")] == [1, 2, 3, 4]
        assert history(run, "val/macro_f1") == []


def test_a_trial_that_has_ended_costs_one_call_of_each_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    job = small(4)
    events = untracked(job)
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
    catch_up(tracker, plan(job).directory, events[:-1])
    of_the_sweep = {"create_run": 1, "set_terminated": 1, "log_batch": 2, "log_inputs": 1}
    for name in ("create_run", "log_inputs", "log_batch", "set_terminated"):
        assert calls[name] - of_the_sweep.get(name, 0) == 4, name
    assert calls["set_tag"] == 1  # the sweep's note
    assert {len(history(run, "val/loss")) for run in runs("trial")} == {3}


def ids() -> dict[str, str]:
    return {run.data.tags.get("trial", "sweep"): run.info.run_id for run in [*runs("sweep"), *runs("trial")]}


def test_a_sweep_that_is_interrupted_is_killed_and_goes_on_in_the_same_runs_one_for_each_trial() -> None:
    job = small(4, 2)
    interrupted(job, opened(job), after=3)
    before, first = ids(), runs("trial")[0]
    assert [run.info.status for run in runs("sweep")] == ["KILLED"]
    assert sorted(run.info.status for run in runs("trial")) == ["FINISHED", "KILLED", "KILLED"]
    for original in (first, runs("sweep")[0]):  # made twice, as an answer was lost
        tags = {name: value for name, value in original.data.tags.items() if name != NOTE}
        client().create_run(first.info.experiment_id, tags=tags)
    search = resumed(job, opened(job))
    assert before.items() <= ids().items()
    assert len(runs("sweep")) == 1
    assert sorted(run.data.tags["trial"] for run in runs("trial")) == list("0123")
    assert {run.info.status for run in [*runs("sweep"), *runs("trial")]} == {"FINISHED"}
    for run in runs("trial"):
        assert_curves_logged_once(run, search.record.trials[int(run.data.tags["trial"])])


def test_runs_that_were_imported_with_their_tags_and_numbers_are_left_alone() -> None:
    job = small(2, 1)
    search = tracked(job)
    own, experiment = ids(), client().create_experiment("from another store")
    imported = []
    for original in [*runs("sweep"), *runs("trial")]:
        info = original.info
        copy = client().create_run(experiment, info.start_time - 1, original.data.tags).info.run_id
        for name, value in original.data.metrics.items():
            client().log_metric(copy, name, value + 1, step=1)
        client().set_terminated(copy, info.status, info.end_time)
        imported.append(copy)
    catch_up(opened(job), search.plan.directory)
    assert [client().get_run(run).info.lifecycle_stage for run in imported] == ["active"] * 3
    assert {run.info.run_id for run in [*runs("sweep"), *runs("trial")]} >= {*own.values()}
    assert [sweep.name for sweep in StoredSweeps(store.local()).sweeps("sweep")] == ["sweep/imdb"]


def test_a_store_that_refuses_the_view_costs_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise MlflowException("no such tags here")

    monkeypatch.setattr(MlflowClient, "set_experiment_tag", refuse)
    job = small(2, 1)
    tracker = opened(job)
    tracked(job, tracker=tracker)
    assert [run.info.status for run in [*runs("sweep"), *runs("trial")]] == ["FINISHED"] * 3
    assert caplog.messages == ["MLflow keeps no view of sweep/imdb: no such tags here"]
    address = tracker.comparison("sweep/imdb")
    assert address is not None
    assert comparison_page.TAG not in address
    assert "searchFilter" in address


def test_a_name_with_a_quote_is_found_again() -> None:
    job = small(2, 1)
    directory = Path("outputs/o'neil/imdb")
    search = tracked(job, tracker=opened(job))  # another sweep in the same store
    catch_up(opened(job), search.plan.directory)
    tracker = opened(job)
    quoted = search_of(job, tracker, directory=directory)
    driver.run([quoted], FakeEngine())
    assert tracker.close()
    catch_up(opened(job), directory)
    assert Counter(run.data.tags["sweep"] for run in runs("trial")) == {"sweep/imdb": 2, "o'neil/imdb": 2}


@pytest.mark.parametrize(
    "tags", [{"kind": "trial", "sweep": "sweep/imdb", "trial": "x"}, {"kind": "sweep"}, {"kind": "sweep", "pid": "x"}]
)
def test_a_strangers_run_that_looks_like_ours_is_left_alone(tags: dict[str, str]) -> None:
    process = driver_process.tags() | {"driver.start": "0", "driver.pid": tags.get("pid", "1")}
    run = client().create_run("0", tags=tags | process)
    tracked(small(1, 1))
    assert len(runs("trial")) == 1 + (tags["kind"] == "trial")
    assert client().get_run(run.info.run_id).info.lifecycle_stage == "active"


def test_a_trial_names_the_data_that_it_trained_on_beside_the_sweeps() -> None:
    record = records.record(trials=2)
    record.trials[1].digest = "other"
    tags = [naming.trial_tags(record.started, trial, "parent") for trial in record.trials.values()]
    assert [each["data.digest"] for each in tags] == [record.started.digest] * 2
    assert [each["trial.data.digest"] for each in tags] == [record.started.digest, "other"]
