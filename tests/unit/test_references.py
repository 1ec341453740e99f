"""The references of a sweep, trained by a fake worker."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conf.schema import Job
from sweeps import driver, journal
from sweeps.driver import Search
from sweeps.errors import TrialFailedError
from sweeps.journal import Event, ReferenceEnded, SweepEnded, TrialEnded, TrialStarted
from sweeps.plan import LOAD_WHOLE
from sweeps.references import References
from sweeps.search.oracle import Oracle
from sweeps.trials import predictions, references
from sweeps.trials.engine import Started
from sweeps.trials.references import NAMES, RUN
from sweeps.trials.spec import OnEpoch, Predictions, Reference, TrialSpec
from tests.fakes import FakeEngine, Recorder, WorkerDiedError, learn, plan

KEPT = Path("cache")
ANSWERS = Predictions(np.zeros(4, np.uint8), np.arange(4, dtype=np.uint8))
SCORES = {"val/accuracy": 0.8, "test/accuracy": 0.25}


def found(spec: TrialSpec, on_epoch: OnEpoch) -> Any:
    """The references, or a trial."""
    if not spec.reference:
        return learn(spec, on_epoch)
    if spec.load == LOAD_WHOLE:
        return [Reference(references.WHOLE, 3.0, {**SCORES, "val/accuracy": 0.9}, 2.0, 100, ANSWERS)]
    return [Reference(name, 0.3, SCORES, 2.0, 100, ANSWERS, SCORES, ANSWERS) for name in NAMES]


def sweep(
    job: Job, trial: Callable[..., Any] = found, *, workers: int = 1, **options: Any
) -> tuple[Search, FakeEngine]:
    """A sweep that ran, or went on, to its end."""
    search, engine = begun(job, **options), FakeEngine(trial, workers)
    driver.run([search], engine)
    return search, engine


def begun(job: Job, *, past: bool = False, dataset: str = "imdb", whole: str = "") -> Search:
    own = plan(job, Path("outputs/sweep") / dataset, dataset)._replace(whole=whole)
    events = journal.read(own.directory) if past else []
    trials = getattr(events[0], "trials", 0) if events else job.config.trials
    oracle = Oracle(replace(job.config, trials=trials), own.space)
    return Search(own, oracle, [Recorder()], events, References.of(own, KEPT))


def kinds(events: list[Event]) -> str:
    """One letter for each event that matters here: trials Start and End, References end, the sweep ends."""
    letters = {TrialStarted: "s", TrialEnded: "e", ReferenceEnded: "R", SweepEnded: "."}
    return "".join(letters.get(type(event), "") for event in events)


def written(search: Search) -> str:
    return kinds(journal.read(search.plan.directory))


@pytest.fixture
def job(composed: Callable[..., Job]) -> Job:
    return composed("trials=3", "epochs=2")


def test_they_are_trained_when_no_trial_is_left_for_a_worker_and_before_the_sweep_ends(job: Job) -> None:
    assert written(sweep(job)[0]) == "seseseRRR."


def test_a_worker_that_would_be_idle_trains_them_while_others_train_trials(job: Job) -> None:
    search, engine = sweep(job, workers=5)
    assert [spec.trial for spec in engine.specs] == [0, 1, 2, -1]
    assert written(search) == "ssseeeRRR."


def test_their_task_has_the_data_as_they_are_configured_and_is_told_from_a_trial(job: Job) -> None:
    submitted: list[str] = []

    class Engine(FakeEngine):
        def submit(self, function: str, spec: TrialSpec) -> None:
            submitted.append(function)
            super().submit(function, spec)

    search = begun(job)
    engine = Engine(found)
    driver.run([search], engine)
    assert submitted.count(RUN) == 1
    spec = engine.specs[submitted.index(RUN)]
    assert (spec.reference, spec.digest, spec.data) == (True, search.plan.digest, engine.specs[0].data)
    assert search.record.finished == 3


def test_the_journal_has_what_they_reached_and_their_answers_are_beside_it(job: Job) -> None:
    search, _ = sweep(job)
    assert list(search.record.references) == list(NAMES)
    svm = search.record.references["svm"]
    assert (svm.completed, svm.scores, svm.final, svm.settings) == (True, SCORES, SCORES, {"C": 0.3})
    assert (svm.cost, svm.cached) == ({"seconds": 2.0, "documents": 100}, False)
    for name, digest in (("svm", svm.predictions), ("svm_final", svm.final_predictions)):
        kept = predictions.load(search.plan.directory, name, digest)
        assert kept is not None
        assert kept.labels.tolist() == [0, 1, 2, 3]


def test_another_sweep_on_the_same_data_has_them_from_its_start(job: Job) -> None:
    sweep(job)
    job.config.datasets["again"] = job.config.datasets["imdb"]
    search, engine = sweep(job, dataset="again")
    assert written(search) == "RRRsesese."
    assert not any(spec.reference for spec in engine.specs)
    assert all(reference.cached for reference in search.record.references.values())
    svm = search.record.references["svm"]
    assert predictions.load(search.plan.directory, "svm", svm.predictions) is not None


def test_a_reference_that_fails_is_told_and_fails_nothing_else(job: Job) -> None:
    def one_fails(spec: TrialSpec, on_epoch: OnEpoch) -> Any:
        result = found(spec, on_epoch)
        return [*result[:-1], Reference(NAMES[-1], failure="too little")] if spec.reference else result

    search, _ = sweep(job, one_fails)
    assert [each.status for each in search.record.references.values()] == ["completed", "completed", "failed"]
    assert search.record.references[NAMES[-1]].reason == "too little"
    assert search.record.ended is not None
    assert (search.record.ended.status, search.record.ended.reason) == ("completed", "trials")
    assert not KEPT.exists()


@pytest.mark.parametrize("error", [TrialFailedError("out of memory"), WorkerDiedError()])
def test_a_task_that_cannot_end_is_tried_as_often_as_a_trial(error: Exception, job: Job) -> None:
    def dies(spec: TrialSpec, on_epoch: OnEpoch) -> Any:
        if spec.reference:
            raise error
        return learn(spec, on_epoch)

    search, engine = sweep(job, dies)
    assert sum(spec.reference for spec in engine.specs) == (2 if isinstance(error, WorkerDiedError) else 1)
    assert {each.reason for each in search.record.references.values()} == {str(error) or "worker died"}
    assert search.record.ended is not None
    assert search.record.ended.status == "completed"
    assert search.record.failed == []


def test_a_task_that_its_hosts_lose_is_tried_until_one_does_not(job: Job) -> None:
    def moves(spec: TrialSpec, on_epoch: OnEpoch) -> Any:
        if spec.reference and next(moved) < 4:
            raise WorkerDiedError(host="10.9.8.2")
        return found(spec, on_epoch)

    moved = itertools.count()
    search, _ = sweep(job, moves)
    assert all(each.completed for each in search.record.references.values())


def test_the_time_limit_of_a_trial_is_theirs_too(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(driver.time, "monotonic", lambda: now[0])

    search, engine = begun(job._replace(config=replace(job.config, trial_minutes=1))), FakeEngine()
    spec = search.propose_references()
    assert spec is not None
    assert search.propose_references() is None
    search.handle(Started(spec))
    now[0] = 61.0
    search.enforce_limits(engine, driver.math.inf)
    assert engine.killed == [(spec, "time limit")]
    search.close()


def test_a_sweep_that_ended_without_them_gets_them_when_it_goes_on_and_only_once(job: Job) -> None:
    own = plan(job)
    driver.run([Search(own, Oracle(job.config, own.space))], FakeEngine())
    search, engine = sweep(job, past=True)
    assert written(search).endswith("e.RRR.")
    assert [spec.reference for spec in engine.specs] == [True]
    assert search.idle == ""
    again, engine = sweep(job, past=True)
    assert (again.idle, engine.specs) == ("trials", [])


def test_an_interruption_between_two_of_them_loses_and_repeats_none(job: Job) -> None:
    search, _ = sweep(job)
    path = search.plan.directory / journal.FILE
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-3]))  # the first one is there
    for file in KEPT.iterdir():
        file.unlink()
    search, engine = sweep(job, past=True)
    assert written(search) == "seseseRRR."
    assert [spec.reference for spec in engine.specs] == [True]
    assert list(search.record.references) == list(NAMES)


def test_what_failed_is_tried_again_when_the_sweep_goes_on(job: Job) -> None:
    def fails(spec: TrialSpec, on_epoch: OnEpoch) -> Any:
        return [Reference(name, failure="no") for name in NAMES] if spec.reference else learn(spec, on_epoch)

    sweep(job, fails)
    search, _ = sweep(job, past=True)
    assert all(each.completed for each in search.record.references.values())


def test_a_target_that_is_reached_or_time_that_is_up_keeps_no_sweep_from_them(job: Job) -> None:
    for changes in ({"target": 0.0001}, {"minutes": 1e-9}):
        own = job._replace(config=replace(job.config, **changes))  # type: ignore[arg-type]
        search, _ = sweep(own, dataset="imdb" if "target" in changes else "reuters")
        assert [each.completed for each in search.record.references.values()] == [True] * 3
        assert search.record.ended is not None
        assert search.record.ended.reason in changes


def test_a_sweep_that_failed_trains_none(job: Job) -> None:
    def fails(spec: TrialSpec, on_epoch: OnEpoch) -> Any:
        raise TrialFailedError("diverged")

    search, engine = sweep(job._replace(config=replace(job.config, max_failures=2)), fails)
    assert not any(spec.reference for spec in engine.specs)
    assert search.record.references == {}


def test_of_two_sweeps_the_first_ends_with_them_before_the_other_has_run(composed: Callable[..., Job]) -> None:
    job = composed("trials=2", "epochs=1")
    searches = [begun(job, dataset=dataset) for dataset in ("reuters", "imdb")]
    engine = FakeEngine(found, workers=1)
    driver.run(searches, engine)
    order = [(spec.sweep.partition("/")[2], spec.trial) for spec in engine.specs]
    assert order == [
        ("reuters", 0),
        ("reuters", 1),
        ("reuters", -1),
        ("imdb", 0),
        ("imdb", 1),
    ]  # imdb has the same data


def test_a_full_disk_is_named_as_for_a_trial(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(directory: Path, name: int | str, answers: Predictions | None) -> str:
        if isinstance(name, str):
            raise OSError(28, "No space left on device")
        return ""

    monkeypatch.setattr(predictions, "save", full)
    search = begun(job)
    with pytest.raises(driver.SweepError, match="No space left on device"):
        driver.run([search], FakeEngine(found))
    search.close()


def test_a_worker_that_returns_too_few_of_them_is_not_asked_for_ever(job: Job) -> None:
    search, engine = sweep(job, learn)  # which knows none
    assert sum(spec.reference for spec in engine.specs) == 1
    assert search.over


# On whole texts


def test_the_one_on_whole_texts_is_a_task_of_its_own_on_data_of_its_own(job: Job) -> None:
    search, engine = sweep(job, whole="fedcba9876543210")
    assert written(search) == "seseseRRRR."
    whole, cut = (spec for spec in engine.specs if spec.reference)
    assert (cut.trial, cut.digest, cut.load) == (-1, search.plan.digest, search.plan.load)
    assert (whole.trial, whole.digest, whole.load) == (-2, "fedcba9876543210", LOAD_WHOLE)
    assert whole.data == {**cut.data, "digest": whole.digest}
    assert [each.whole for each in search.record.references.values()] == [True, False, False, False]
    found = search.record.references[references.WHOLE]
    assert predictions.load(search.plan.directory, found.name, found.predictions) is not None


def test_both_tasks_train_side_by_side_and_the_longer_one_begins_first(job: Job) -> None:
    search, engine = sweep(job, workers=5, whole="fedcba9876543210")
    assert [spec.trial for spec in engine.specs] == [0, 1, 2, -2, -1]
    assert written(search).startswith("sss")
    assert search.record.finished == 3


def test_another_sweep_on_the_same_texts_cut_elsewhere_has_it_from_its_start(job: Job) -> None:
    sweep(job, whole="fedcba9876543210")
    job.config.datasets["again"] = job.config.datasets["imdb"]
    own = plan(job, Path("outputs/sweep/again"), "again")._replace(whole="fedcba9876543210", digest="another")
    search = Search(own, Oracle(job.config, own.space), references=References.of(own, KEPT))
    engine = FakeEngine(found)
    driver.run([search], engine)
    assert [spec.trial for spec in engine.specs if spec.reference] == [-1]
    assert search.record.references[references.WHOLE].cached
    assert not search.record.references["svm"].cached


def test_a_sweep_that_was_recorded_before_it_gets_it_when_it_goes_on(job: Job) -> None:
    sweep(job)
    search, engine = sweep(job, past=True, whole="fedcba9876543210")
    assert [spec.trial for spec in engine.specs] == [-2]
    assert written(search) == "seseseRRR.R."
    again, engine = sweep(job, past=True, whole="fedcba9876543210")
    assert (again.idle, engine.specs) == ("trials", [])


def test_where_it_fails_the_others_stand_and_only_it_is_tried_again(job: Job) -> None:
    def dies(spec: TrialSpec, on_epoch: OnEpoch) -> Any:
        if spec.load == LOAD_WHOLE:
            raise TrialFailedError("out of memory")
        return found(spec, on_epoch)

    search, _ = sweep(job, dies, whole="fedcba9876543210")
    failed = search.record.references[references.WHOLE]
    assert (failed.status, failed.reason, failed.whole) == ("failed", "out of memory", True)
    assert [name for name, each in search.record.references.items() if each.completed] == list(NAMES)
    search, engine = sweep(job, past=True, whole="fedcba9876543210")
    assert [spec.trial for spec in engine.specs] == [-2]
    assert search.record.references[references.WHOLE].completed
