"""A sweep that goes on is the sweep that it would have been."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conf.schema import Job
from sweeps import journal
from sweeps.errors import SweepError, TrialFailedError
from sweeps.journal import Event, Journal, SweepEnded, SweepRecord, SweepResumed, TrialEnded, TrialStarted
from sweeps.trials.checkpoints import Checkpoints
from sweeps.trials.spec import EpochReport, OnEpoch, TrialResult, TrialSpec
from tests.fakes import FakeEngine, WorkerDiedError, learn
from tests.searches import TUNERS, session

SWEEP = Path("outputs/sweep/imdb")
WHOLE = Path("outputs/whole/imdb")


class CrashError(BaseException):
    """The process is gone."""


def crash(job: Job, at: int, how: str, workers: int = 2, directory: Path = SWEEP) -> bool:
    """Run a session whose process dies at event `at`: `before` it is written, with `half` of its line, or `after` it.

    Returns whether the sweep lasted until that event.
    """
    count = itertools.count()
    append = Journal.append

    def append_or_die(self: Journal, event: Event) -> None:
        dies = next(count) == at
        if not dies or how != "before":
            append(self, event)
        if dies and how == "half":
            path = directory / journal.FILE
            path.write_bytes(path.read_bytes()[:-7])
        if dies:
            raise CrashError

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Journal, "append", append_or_die)
        try:
            session(job, FakeEngine(workers=workers), directory)
        except CrashError:
            return True
    return False


def crashes(job: Job, workers: int, step: int) -> Iterator[SweepRecord]:
    """Yield the sweep's record after it was killed at every `step`th event, in each way, and resumed."""
    for how in ("before", "half", "after"):
        for at in itertools.count(0, step):
            directory = Path("outputs", f"{how}-{at}", "imdb")
            if not crash(job, at, how, workers, directory):
                break
            record = session(job, FakeEngine(workers=workers), directory).record
            assert vars(SweepRecord.of(directory, journal.read(directory))) == vars(record)
            yield record


def outcome(record: SweepRecord) -> dict[int, tuple[object, ...]]:
    """The outcome of every trial, without its times and its attempts."""
    return {n: (t.values, t.seed, t.status, t.curves, t.objective, t.test) for n, t in sorted(record.trials.items())}


@pytest.mark.parametrize("tuner", TUNERS)
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("step", [11, pytest.param(1, marks=pytest.mark.long)])
def test_a_sweep_killed_at_any_event_goes_on_as_if_it_had_not_been(
    tuner: str, workers: int, step: int, composed: Callable[..., Job]
) -> None:
    options = ("trials=4", "tuner.initial_points=3") if tuner == "bayesian" else ("trials=7",)
    job = composed(f"tuner={tuner}", "epochs=3", *options)
    whole = session(job, FakeEngine(workers=workers), WHOLE).record
    killed = 0
    for record in crashes(job, workers, step):
        killed += 1
        assert record.ended is not None
        assert set(record.trials) == set(whole.trials)
        assert all(trial.completed for trial in record.trials.values())
        if workers == 1 or tuner in ("random", "grid"):
            assert outcome(record) == outcome(whole)
    assert killed > 3


@pytest.mark.parametrize("step", [11, pytest.param(1, marks=pytest.mark.long)])
def test_a_killed_trial_is_held_against_the_bar_that_it_started_with(step: int, composed: Callable[..., Job]) -> None:
    job = composed("stopping=median", "stopping.grace=1", "stopping.min_trials=2", "trials=7", "epochs=3")
    whole = session(job, FakeEngine(workers=1), WHOLE).record
    assert {trial.reason for trial in whole.trials.values()} == {"finished", "stopped"}
    for record in crashes(job, 1, step):
        assert outcome(record) == outcome(whole)
        assert [list(t.bar) for t in record.trials.values()] == [list(t.bar) for t in whole.trials.values()]


def test_an_interruption_is_another_attempt_of_a_trial_but_no_retry(composed: Callable[..., Job]) -> None:
    job = composed("trials=4", "epochs=3", "retries=1")
    assert crash(job, 7, "after")
    trials = SweepRecord.of(SWEEP, journal.read(SWEEP)).trials.values()
    running = [trial.trial for trial in trials if trial.running]
    assert len(running) == 2

    def die_after_the_interruption(spec: TrialSpec, on_epoch: OnEpoch) -> TrialResult:
        if spec.attempt == 2:
            raise WorkerDiedError
        return learn(spec, on_epoch)

    engine = FakeEngine(die_after_the_interruption)
    record = session(job, engine).record
    assert [(spec.trial, spec.attempt) for spec in engine.specs][:2] == [(trial, 2) for trial in running]
    assert {(record.trials[trial].attempt, record.trials[trial].status) for trial in running} == {(3, "completed")}
    events = journal.read(SWEEP)
    assert [e.after for e in events if isinstance(e, TrialStarted) and e.attempt == 2] == ["interrupted"] * 2
    assert sum(isinstance(e, SweepResumed) for e in events) == 1


@pytest.mark.parametrize("tuner", TUNERS)
def test_a_finished_sweep_goes_on_when_it_gets_more_trials(tuner: str, composed: Callable[..., Job]) -> None:
    options = ("tuner.initial_points=2",) if tuner == "bayesian" else ()
    few, more = (composed(f"tuner={tuner}", f"trials={n}", "epochs=3", *options) for n in (3, 5))
    first = session(few).record
    engine = FakeEngine()
    second = session(more, engine).record
    assert {spec.trial for spec in engine.specs} == {3, 4}
    assert set(second.trials) == set(range(5))
    assert {n: outcome(second)[n] for n in first.trials} == outcome(first)
    if tuner in ("random", "grid"):
        assert outcome(second) == outcome(session(more, directory=Path("outputs/at-once/imdb")).record)
    assert sum(isinstance(event, SweepEnded) for event in journal.read(second.directory)) == 2
    assert second.budget == 5


def test_a_sweep_whose_trials_have_all_ended_trains_nothing(composed: Callable[..., Job]) -> None:
    job, engine = composed("trials=1", "epochs=1"), FakeEngine()
    assert crash(job, 4, "before")  # when it would write that it ends
    assert session(job, engine).record.ended.status == "completed"
    before = (SWEEP / journal.FILE).read_bytes()
    assert session(job, engine).record.ended is not None
    assert (SWEEP / journal.FILE).read_bytes() == before
    assert engine.specs == []


def test_failures_before_the_interruption_are_kept_and_do_not_end_what_goes_on(composed: Callable[..., Job]) -> None:
    def fail(spec: TrialSpec, on_epoch: OnEpoch) -> TrialResult:
        raise TrialFailedError("no disk")

    job = composed("trials=6", "epochs=1", "max_failures=2")
    first = session(job, FakeEngine(fail, workers=1)).record
    assert (first.ended.status, first.ended.reason, len(first.trials)) == ("failed", "max_failures", 2)
    second = session(job).record
    assert [t.status for t in second.trials.values()] == ["failed"] * 2 + ["completed"] * 4
    assert (second.ended.status, second.ended.reason) == ("completed", "trials")


@pytest.mark.parametrize("lost", [False, True])
def test_an_interrupted_promotion_starts_from_its_earlier_checkpoint_or_anew(
    lost: bool, composed: Callable[..., Job]
) -> None:
    job = composed("tuner=hyperband", "trials=6", "epochs=9")
    whole = session(job, FakeEngine(workers=1), WHOLE)
    events = list(enumerate(journal.read(whole.plan.directory)))
    promotion = next(at for at, event in events if isinstance(event, TrialStarted) and event.initial_epoch)
    # Just before the end of the promoted trial is in the journal: its new checkpoint is on the disk already.
    ended = next(at for at, event in events[promotion:] if isinstance(event, TrialEnded))
    assert crash(job, ended, "before", workers=1)
    checkpoints = list((SWEEP / "checkpoints").glob("*.npz"))
    assert checkpoints
    for path in checkpoints if lost else []:
        path.unlink()
    engine = FakeEngine(workers=1)
    assert outcome(session(job, engine).record) == outcome(whole.record)
    first = engine.specs[0]
    if lost:
        assert first.initial_epoch == 0
    else:
        assert first.initial_epoch
        assert first.checkpoint.optimizer == [first.initial_epoch]  # the epochs that it was saved after


@pytest.mark.parametrize("workers", [1, 3])
def test_only_checkpoints_that_a_promotion_can_need_are_kept(workers: int, composed: Callable[..., Job]) -> None:
    counts: list[int] = []

    def count(spec: TrialSpec, on_epoch: OnEpoch) -> TrialResult:
        counts.append(len(list((SWEEP / "checkpoints").glob("*.npz"))))
        return learn(spec, on_epoch)

    engine = FakeEngine(count, workers)
    search = session(composed("tuner=hyperband", "trials=20", "epochs=9"), engine)
    # A third of a round of nine may be promoted, the best so far is kept, and what runs again its last one.
    assert 1 < max(counts) <= 3 + 1 + workers
    assert counts[-1] < len(search.record.trials)
    promoted = [spec for spec in engine.specs if spec.attempt == 1 and spec.checkpoint]
    assert len(promoted) >= 6
    assert all(spec.initial_epoch for spec in promoted)
    assert {spec.trial for spec in engine.specs[20:]} <= {spec.trial for spec in promoted} | set(range(20))


def test_a_recorded_value_holds_where_the_oracle_would_now_propose_another(composed: Callable[..., Job]) -> None:
    job = composed("tuner=bayesian", "tuner.initial_points=2", "trials=5", "epochs=1")
    first = session(composed("tuner=bayesian", "tuner.initial_points=2", "trials=4", "epochs=1"))
    path = first.plan.directory / journal.FILE
    rate = first.record.trials[3].values["learning_rate"]
    path.write_text(path.read_text().replace(f'"learning_rate": {rate}', '"learning_rate": 0.00123456'))
    record = session(job).record
    assert record.trials[3].values["learning_rate"] == 0.00123456
    assert set(record.trials) == set(range(5))


def test_a_journal_that_the_oracle_cannot_have_led_to_is_refused(composed: Callable[..., Job]) -> None:
    search = session(composed("trials=3", "epochs=1"))
    path = search.plan.directory / journal.FILE
    path.write_text(path.read_text().replace('"trial": 2,', '"trial": 7,'))
    with pytest.raises(SweepError, match="trial 7 does not follow from what came before it"):
        session(composed("trials=4", "epochs=1"))


def test_reports_of_an_earlier_process_are_not_taken_for_this_ones(composed: Callable[..., Job]) -> None:
    job = composed("trials=1", "epochs=2")
    assert crash(job, 2, "after")

    def report_late(spec: TrialSpec, on_epoch: OnEpoch) -> TrialResult:
        on_epoch(EpochReport(spec.sweep, spec.trial, 1, 1, {"val/accuracy": 0.9}))
        return learn(spec, on_epoch)

    record = session(job, FakeEngine(report_late)).record
    assert 0.9 not in record.trials[0].curves["val/accuracy"]
    assert Checkpoints(record.directory / "checkpoints").load(0, 2) is not None
