import errno
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conf.schema import Job
from sweeps import driver, environment, journal
from sweeps.driver import Search
from sweeps.errors import SweepError, TrialFailedError
from sweeps.journal import EpochEnded, SweepEnded, SweepRecord, SweepResumed, TrialEnded, TrialStarted
from sweeps.plan import trial_seed
from sweeps.search.oracle import Oracle
from sweeps.terminal import sentences
from sweeps.trials.checkpoints import Checkpoints
from sweeps.trials.engine import Finished, Message, Started
from sweeps.trials.spec import EpochReport, OnEpoch, TrialResult, TrialSpec
from tests.fakes import FakeEngine, Recorder, WorkerDiedError, learn, plan, result
from tests.searches import SMALL_SPACE, TUNERS, session


def search(job: Job, **where: object) -> Search:
    return Search(plan(job, **where), Oracle(job.config, plan(job).space), [Recorder()])  # type: ignore[arg-type]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, as the driver sees it."""
    now = [0.0]
    monkeypatch.setattr(driver.time, "monotonic", lambda: now[0])
    return now


def swept(job: Job, engine: FakeEngine) -> Search:
    one = search(job)
    driver.run([one], engine)
    one.close()
    return one


@pytest.mark.parametrize("tuner", TUNERS)
@pytest.mark.parametrize("workers", [1, 3])
def test_the_journal_holds_every_trial_and_every_epoch(tuner: str, workers: int, composed: Callable[..., Job]) -> None:
    engine = FakeEngine(workers=workers)
    trials = 3 if tuner == "bayesian" else 6  # a Gaussian process takes a second a trial
    one = swept(composed(f"tuner={tuner}", f"trials={trials}", "epochs=4"), engine)
    events = journal.read(one.plan.directory)
    assert vars(SweepRecord.of(one.plan.directory, events)) == vars(one.record)
    assert [type(e).__name__ for e in events][:1] + [type(e).__name__ for e in events][-1:] == [
        "SweepStarted",
        "SweepEnded",
    ]
    assert set(one.record.trials) == set(range(trials))
    for trial in one.record.trials.values():
        assert trial.status == "completed"
        assert len(trial.curves["val/accuracy"]) == trial.epochs_run == trial.epochs


def test_started_is_in_the_journal_before_the_trial_is_out(composed: Callable[..., Job]) -> None:
    job = composed("trials=3")
    started: list[set[int]] = []

    def look(spec: TrialSpec, on_epoch: OnEpoch) -> TrialResult:
        started.append({e.trial for e in journal.read(plan(job).directory) if isinstance(e, TrialStarted)})
        assert spec.trial in started[-1]
        return learn(spec, on_epoch)

    swept(job, FakeEngine(look))
    assert len(started) == 3


def test_listeners_are_told_what_is_already_in_the_journal(composed: Callable[..., Job]) -> None:
    job = composed("trials=2", "epochs=2")

    class Reader(Recorder):
        def on_event(self, record: SweepRecord, event: journal.Event) -> None:
            assert journal.read(plan(job).directory)[-1] == event
            super().on_event(record, event)

    reader = Reader()
    driver.run([Search(plan(job), Oracle(job.config, plan(job).space), [reader])], FakeEngine())
    assert reader.events == journal.read(plan(job).directory)
    assert reader.caught_up == []


def test_listeners_catch_up_with_the_journal_of_a_sweep_that_goes_on(composed: Callable[..., Job]) -> None:
    job, more = composed("trials=2", "epochs=2"), composed("trials=3", "epochs=2")
    swept(job, FakeEngine())
    past, recorder = journal.read(plan(job).directory), Recorder()
    driver.run([Search(plan(more), Oracle(job.config, plan(job).space), [recorder], past)], FakeEngine())
    assert recorder.caught_up == past
    assert [type(event) for event in recorder.events[:1] + recorder.events[-1:]] == [SweepResumed, SweepEnded]
    assert past + recorder.events == journal.read(plan(job).directory)


def test_a_sweep_begins_with_its_first_trial_and_not_when_it_is_made(
    composed: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = search(composed("trials=1", "epochs=1"))
    assert journal.read(one.plan.directory) == []
    begun = one.record.started
    assert (begun.trials, begun.environment) == (1, environment.here())
    driver.run([one], FakeEngine())
    assert one.record.started.time > begun.time
    assert one.record.sessions[0][0] == one.record.started.time


def test_the_best_trial_is_chosen_by_validation_even_where_the_test_set_disagrees(
    composed: Callable[..., Job],
) -> None:
    def disagree(spec: TrialSpec, on_epoch: OnEpoch) -> TrialResult:
        validation = [0.5, 0.9, 0.7][spec.trial]
        return result(spec, [validation], accuracy=1 - validation)

    one = swept(composed("trials=3", "epochs=1"), FakeEngine(disagree))
    assert one.record.best is not None
    assert one.record.best.trial == 1
    assert Checkpoints(one.plan.directory / "checkpoints").load(1, 1).variables[0] == 1  # type: ignore[union-attr]


def test_the_answers_to_the_test_set_are_in_the_journal(composed: Callable[..., Job]) -> None:
    def answered(spec: TrialSpec, on_epoch: OnEpoch) -> TrialResult:
        return learn(spec, on_epoch)._replace(confusion=[(0, 1, 5 + spec.trial)])

    one = swept(composed("trials=2"), FakeEngine(answered))
    read = SweepRecord.of(one.plan.directory, journal.read(one.plan.directory))
    for record in (one.record, read):
        assert [trial.confusion for trial in record.trials.values()] == [[[0, 1, 5]], [[0, 1, 6]]]


def test_only_the_best_checkpoint_is_left(composed: Callable[..., Job]) -> None:
    for tuner in ("random", "hyperband"):
        job = composed(f"tuner={tuner}", "trials=5")
        one = search(job, directory=Path("outputs", tuner, "imdb"))
        driver.run([one], FakeEngine())
        assert one.record.best is not None
        left = [path.name for path in (one.plan.directory / "checkpoints").iterdir()]
        assert left == [f"{one.record.best.trial}-{one.record.best.epochs}.npz"]


def test_a_promoted_trial_gets_its_own_checkpoint(composed: Callable[..., Job]) -> None:
    engine = FakeEngine()
    swept(composed("tuner=hyperband", "trials=13", "epochs=10"), engine)
    promoted = [spec for spec in engine.specs if spec.initial_epoch]
    assert len(promoted) == 6
    for spec in promoted:
        assert spec.checkpoint is not None
        assert spec.checkpoint.variables == [spec.trial]
        assert spec.checkpoint.optimizer == [spec.initial_epoch]  # the epochs that it was saved after
        assert len(spec.checkpoint.curves["val/accuracy"]) == spec.initial_epoch
    assert all(spec.checkpoint is None for spec in engine.specs if not spec.initial_epoch)


def test_a_failed_trial_is_recorded_with_its_reason_and_the_sweep_goes_on(composed: Callable[..., Job]) -> None:
    def diverge(spec: TrialSpec, on_epoch: OnEpoch) -> TrialResult:
        if spec.trial == 1:
            raise TrialFailedError("diverged: train/loss is nan in epoch 1")
        return learn(spec, on_epoch)

    engine = FakeEngine(diverge)
    one = swept(composed("trials=4", "retries=3"), engine)
    assert {n: t.status for n, t in one.record.trials.items()} == {
        0: "completed",
        1: "failed",
        2: "completed",
        3: "completed",
    }
    assert one.record.trials[1].reason == "diverged: train/loss is nan in epoch 1"
    assert [spec.trial for spec in engine.specs].count(1) == 1  # it would fail again


def test_a_failure_is_recorded_without_the_passwords_that_it_quotes(composed: Callable[..., Job]) -> None:
    def fail(spec: TrialSpec, *_: object) -> TrialResult:
        raise TrialFailedError("error: https://me:geheim@host/imdb.npz cannot be fetched")

    one = swept(composed("trials=1"), FakeEngine(fail))
    assert one.record.trials[0].reason == "error: https://me@host/imdb.npz cannot be fetched"
    _, *events = (one.plan.directory / journal.FILE).read_text().splitlines()  # the first holds the code's own changes
    assert not any("geheim" in event for event in events)


def test_when_every_trial_fails_the_sweep_has_failed(composed: Callable[..., Job]) -> None:
    def fail(spec: TrialSpec, on_epoch: OnEpoch) -> TrialResult:
        raise TrialFailedError("no")

    one = swept(composed("trials=4"), FakeEngine(fail))
    assert one.record.best is None
    assert one.record.ended is not None
    assert one.record.ended.status == "failed"


@pytest.mark.parametrize(("retries", "attempts", "status"), [(0, 1, "failed"), (1, 2, "failed"), (2, 3, "completed")])
def test_a_lost_worker_costs_one_attempt(
    retries: int, attempts: int, status: str, composed: Callable[..., Job]
) -> None:
    def die_twice(spec: TrialSpec, on_epoch: OnEpoch) -> TrialResult:
        if spec.trial == 1 and spec.attempt <= 2:
            on_epoch(EpochReport(spec.sweep, spec.trial, spec.attempt, 1, {"val/accuracy": 0.0}))
            raise WorkerDiedError
        return learn(spec, on_epoch)

    one = swept(composed("trials=3", f"retries={retries}"), FakeEngine(die_twice))
    assert (one.record.trials[1].attempt, one.record.trials[1].status) == (attempts, status)
    started = [e for e in journal.read(one.plan.directory) if isinstance(e, TrialStarted) and e.trial == 1]
    assert [e.after for e in started] == ["", *["worker died"] * (attempts - 1)]
    if status == "completed":
        assert one.record.trials[1].epochs_run == one.plan.config.epochs


def test_what_a_host_costs_counts_for_no_trial_and_is_in_the_journal(composed: Callable[..., Job]) -> None:
    def move(spec: TrialSpec, on_epoch: OnEpoch) -> TrialResult:
        on_epoch(EpochReport(spec.sweep, spec.trial, spec.attempt, 1, {"val/accuracy": 0.0}))
        if spec.attempt <= 3:
            raise WorkerDiedError("error: OSError: disk full", host=f"10.9.8.{spec.attempt}")
        return learn(spec, on_epoch)

    one = swept(composed("trials=3", "retries=0", "max_failures=1"), FakeEngine(move))
    assert [trial.status for trial in one.record.trials.values()] == ["completed"] * 3
    assert one.record.trials[1].lost == 0
    started = [e for e in journal.read(one.plan.directory) if isinstance(e, TrialStarted) and e.trial == 1]
    reasons = [f"host 10.9.8.{n}: error: OSError: disk full" for n in (1, 2, 3)]
    assert [(e.attempt, e.after) for e in started] == list(enumerate(["", *reasons], start=1))


def test_epochs_that_come_twice_late_or_not_at_all_are_recorded_once(composed: Callable[..., Job]) -> None:
    class Disordered(FakeEngine):
        """Delivers the first report twice, the second after the result, and others not at all."""

        def next(self, timeout: float) -> Message | None:
            if not self._messages:
                super()._run(self._out.popleft())
                *reports, finished = self._messages
                assert isinstance(finished, Finished)
                self._messages.clear()
                self._messages.extend([reports[0], reports[0], finished, reports[1]])
            return self._messages.popleft()

    one = search(composed("trials=3", "epochs=4"))
    driver.run([one], Disordered(workers=1))
    epochs = [(e.trial, e.epoch) for e in journal.read(one.plan.directory) if isinstance(e, EpochEnded)]
    assert sorted(epochs) == [(trial, epoch) for trial in range(3) for epoch in range(1, 5)]
    assert len(one.record.trials[0].curves["val/accuracy"]) == 4


def test_a_free_worker_goes_to_the_next_sweep(composed: Callable[..., Job]) -> None:
    job = composed("trials=3", "epochs=1")
    first = search(job, directory=Path("outputs/two/reuters"), dataset="reuters")
    second = search(job, directory=Path("outputs/two/imdb"), dataset="imdb")
    engine = FakeEngine(workers=2)
    driver.run([first, second], engine)
    assert [spec.sweep.split("/")[1] for spec in engine.specs] == ["reuters"] * 3 + ["imdb"] * 3
    # The third trial of the first sweep is out when the first of the second starts.
    times = [e.time for e in journal.read(first.plan.directory) if isinstance(e, TrialEnded)]
    started = [e.time for e in journal.read(second.plan.directory) if isinstance(e, TrialStarted)]
    assert started[0] < times[-1]
    assert all(search.record.ended is not None for search in (first, second))


def test_each_trial_has_a_seed_of_its_own_that_depends_on_the_sweeps_alone(composed: Callable[..., Job]) -> None:
    seeds = [trial_seed(1, trial) for trial in range(1000)]
    assert len(set(seeds)) == 1000
    assert seeds != [trial_seed(2, trial) for trial in range(1000)]
    engine = FakeEngine()
    swept(composed("trials=3", "seed=5"), engine)
    assert [spec.seed for spec in engine.specs] == [trial_seed(5, trial) for trial in range(3)]


def test_the_fingerprint_changes_with_what_decides_the_trials_and_with_nothing_else(
    composed: Callable[..., Job],
) -> None:
    first = plan(composed()).fingerprint()
    for same in ("trials=99", "engine.workers=7", "tracking.uri=http://x", "retries=0"):
        assert plan(composed(same)).fingerprint() == first
    for other in ("seed=2", "epochs=3", "model=lstm", "tuner=bayesian", "model.space.dropout=0.1", "batch_size=7"):
        assert plan(composed(other)).fingerprint() != first


@pytest.mark.parametrize("argument", ["datasets.imdb.keep=last", "datasets.imdb.class_weight=balanced"])
def test_each_spec_has_the_class_weights_of_the_dataset_or_of_the_trial(
    argument: str, composed: Callable[..., Job]
) -> None:
    one = plan(composed(argument))
    setting = "balanced" if "balanced" in argument else "none"
    assert one.spec(0, {}, 0, 1).class_weight == setting
    searching = plan(composed(argument, "datasets.imdb.space.class_weight=[none,balanced]"))
    for searched in ("none", "balanced"):
        assert searching.spec(0, {"class_weight": searched}, 0, 1).class_weight == searched
    assert (one.fingerprint() == plan(composed()).fingerprint()) == (setting == "none")


def test_each_spec_has_the_smoothing_and_the_epochs_of_the_search(composed: Callable[..., Job]) -> None:
    one = plan(composed("datasets.imdb.label_smoothing=0.1", "epochs=7"))
    spec = one.spec(0, {}, 0, 2)
    assert (spec.label_smoothing, spec.most_epochs, spec.epochs) == (0.1, 7, 2)
    assert one.fingerprint() != plan(composed("epochs=7")).fingerprint()
    searching = plan(composed("datasets.imdb.space.label_smoothing=[0.0,0.1]"))
    assert searching.spec(0, {"label_smoothing": 0.1}, 0, 1).label_smoothing == 0.1


def test_the_journal_is_json_lines_that_a_reader_without_this_code_understands(composed: Callable[..., Job]) -> None:
    one = swept(composed("trials=2", "epochs=2"), FakeEngine())
    lines = [json.loads(line) for line in (one.plan.directory / journal.FILE).read_text().splitlines()]
    assert [line["event"] for line in lines if line["event"] != "epoch_ended"] == [
        "sweep_started",
        "trial_started",
        "trial_started",
        "trial_ended",
        "trial_ended",
        "sweep_ended",
    ]
    assert lines[0]["digest"] == "0123456789abcdef"
    assert lines[0]["config"] == one.plan.yaml


def test_the_target_ends_the_sweep_and_its_running_trials(composed: Callable[..., Job]) -> None:
    def rise(spec: TrialSpec, on_epoch: OnEpoch) -> TrialResult:
        curve: list[float] = []
        for epoch in range(spec.epochs):
            curve.append((spec.trial + epoch) / 10)
            if stop := on_epoch(
                EpochReport(spec.sweep, spec.trial, spec.attempt, epoch + 1, {"val/accuracy": curve[-1]})
            ):
                return result(spec, curve, reason=stop)
        return result(spec, curve)

    engine = FakeEngine(rise, workers=1)
    one = swept(composed("trials=9", "epochs=4", "target=0.5"), engine)
    assert one.record.ended is not None
    assert (one.record.ended.status, one.record.ended.reason) == ("completed", "target")
    assert engine.stopped == {one.plan.sweep: "the target is reached"}
    assert set(one.record.trials) == {0, 1, 2}  # the third rises to 0.5


def test_a_loss_reaches_its_target_from_above(composed: Callable[..., Job]) -> None:
    def fall(spec: TrialSpec, on_epoch: OnEpoch) -> TrialResult:
        return result(spec, [0.9 - spec.trial / 10])._replace(objective=0.9 - spec.trial / 10)

    one = swept(composed("trials=9", "epochs=1", "objective=val/loss", "target=0.7"), FakeEngine(fall, workers=1))
    assert set(one.record.trials) == {0, 1, 2}


def test_when_the_time_is_up_running_trials_end_with_their_epoch(
    composed: Callable[..., Job], clock: list[float]
) -> None:
    def slow(spec: TrialSpec, on_epoch: OnEpoch) -> TrialResult:
        curve: list[float] = []
        for epoch in range(spec.epochs):
            clock[0] += 25
            curve.append(0.5)
            if stop := on_epoch(EpochReport(spec.sweep, spec.trial, spec.attempt, epoch + 1, {"val/accuracy": 0.5})):
                return result(spec, curve, reason=stop)
        return result(spec, curve)

    class Prompt(FakeEngine):
        """Says everything when it happens, so that the driver can answer in time."""

        def next(self, timeout: float) -> Message | None:
            clock[0] += 1
            if self._out and clock[0] >= 60 and not self.stopped:
                return None
            return super().next(timeout)

    engine = Prompt(slow, workers=1)
    one = swept(composed("trials=9", "epochs=10", "minutes=1"), engine)
    assert one.record.ended is not None
    assert one.record.ended.reason == "minutes"
    assert len(one.record.trials) == 1
    assert one.record.trials[0].status == "completed"


def test_no_trial_is_started_that_cannot_finish(composed: Callable[..., Job], clock: list[float]) -> None:
    def takes_ten_seconds(spec: TrialSpec, on_epoch: OnEpoch) -> TrialResult:
        clock[0] += 10
        result = learn(spec, on_epoch)
        return result._replace(cost=result.cost._replace(seconds=10.0))

    one = swept(composed("trials=99", "epochs=1", "minutes=1"), FakeEngine(takes_ten_seconds, workers=1))
    assert len(one.record.trials) == 5  # the sixth would end after the minute
    assert clock[0] == 50
    assert one.record.ended is not None
    assert one.record.ended.reason == "minutes"
    assert all(t.reason == "finished" for t in one.record.trials.values())


def test_several_sweeps_share_the_time(composed: Callable[..., Job], clock: list[float]) -> None:
    def takes_ten_seconds(spec: TrialSpec, on_epoch: OnEpoch) -> TrialResult:
        clock[0] += 10
        result = learn(spec, on_epoch)
        return result._replace(cost=result.cost._replace(seconds=10.0))

    job = composed("trials=99", "epochs=1", "minutes=1")
    both = [search(job, directory=Path("outputs/two", name), dataset=name) for name in ("reuters", "imdb")]
    driver.run(both, FakeEngine(takes_ten_seconds, workers=1))
    assert [len(one.record.trials) for one in both] == [3, 2]


def test_time_that_was_used_before_an_interruption_is_not_given_again(composed: Callable[..., Job]) -> None:
    job = composed("trials=3", "minutes=1")
    sessions = {"reuters": [(100.0, 110.0), (500.0, 520.0)], "imdb": [(105.0, 115.0)]}
    both = [search(job, directory=Path("outputs/two", name), dataset=name) for name in sessions]
    for one, times in zip(both, sessions.values(), strict=True):
        one.record.sessions = times
    assert driver.seconds_left(both) == 60 - 15 - 20  # the overlap of the two counts once
    for one in both:
        one.close()


@pytest.mark.parametrize("tuner", TUNERS)
def test_a_space_that_is_smaller_than_the_budget_is_exhausted(tuner: str, composed: Callable[..., Job]) -> None:
    job = composed(*SMALL_SPACE, f"tuner={tuner}", "trials=5")
    record = session(job).record
    assert record.ended is not None
    assert (len(record.trials), record.ended.status, record.ended.reason) == (3, "completed", "exhausted")
    line = sentences.ending(record)
    assert line is not None
    assert line.plain == "conv_lstm on imdb: ended early, the space is exhausted"


@pytest.mark.parametrize(
    ("tuner", "trials", "reason"),
    [
        *((tuner, 2, "exhausted") for tuner in TUNERS),
        # One trial of a tuner with a Gaussian process is refused: it would be no more than an initial point.
        *((tuner, 1, "trials") for tuner in TUNERS if tuner not in ("bayesian", "mobster")),
    ],
)
def test_where_nothing_is_searched_there_is_one_trial(
    tuner: str, trials: int, reason: str, composed: Callable[..., Job]
) -> None:
    job = composed(*SMALL_SPACE, "model.space.lstm_units=8", f"tuner={tuner}", f"trials={trials}")
    record = session(job).record
    assert record.ended is not None
    assert (len(record.trials), record.ended.reason) == (1, reason)


def test_failures_in_a_row_end_the_sweep(composed: Callable[..., Job]) -> None:
    def fail_some(spec: TrialSpec, on_epoch: OnEpoch) -> TrialResult:
        if spec.trial in (1, 2, 4, 5, 6):
            raise TrialFailedError(f"error {spec.trial}")
        return learn(spec, on_epoch)

    engine = FakeEngine(fail_some, workers=1)
    one = swept(composed("trials=20", "epochs=1", "max_failures=3"), engine)
    assert one.record.ended is not None
    assert (one.record.ended.status, one.record.ended.reason) == ("failed", "max_failures")
    assert [spec.trial for spec in engine.specs] == list(range(7))
    assert one.record.best is not None  # what has completed counts all the same


def test_a_trial_that_takes_too_long_is_killed_and_not_tried_again(
    composed: Callable[..., Job], clock: list[float]
) -> None:
    class Sleeping(FakeEngine):
        """Trial 1 never says anything after its start."""

        def next(self, timeout: float) -> Message | None:
            if not self._messages and self._out and self._out[0].trial == 1:
                if clock[0] < 10:
                    clock[0] = 10
                    return Started(self._out[0])
                clock[0] += 20
                return None
            return super().next(timeout)

        def kill(self, spec: TrialSpec, reason: str) -> None:
            super().kill(spec, reason)
            self._out.popleft()

    engine = Sleeping(workers=1)
    one = swept(composed("trials=3", "epochs=1", "trial_minutes=1", "retries=3"), engine)
    assert [(spec.trial, reason) for spec, reason in engine.killed] == [(1, "time limit")]
    assert (one.record.trials[1].status, one.record.trials[1].reason) == ("failed", "time limit")
    assert one.record.trials[1].attempt == 1
    assert [one.record.trials[n].status for n in (0, 2)] == ["completed"] * 2
    assert clock[0] == 10 + 4 * 20


def test_a_full_disk_ends_the_sweep_in_one_line_that_names_the_directory(
    composed: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    one = search(composed("trials=3", "epochs=1"))
    with monkeypatch.context() as patched:
        patched.setattr(Checkpoints, "save", full)
        with pytest.raises(SweepError, match=r"^outputs/sweep/imdb: No space left on device$"):
            driver.run([one], FakeEngine())
    one.close()
    record = SweepRecord.of(one.plan.directory, journal.read(one.plan.directory))
    assert [trial.running for trial in record.trials.values()] == [True, True]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({}, "2 trials have ended; to go on, give more trials="),
        ({"trials": 9, "minutes": 1e-9}, "the 1e-09 minutes are used up; to go on, give more minutes="),
        ({"trials": 9, "target": 0.01}, "the target 0.01 is reached; to go on, give another target="),
    ],
)
def test_a_finished_sweep_that_has_nothing_to_run_says_why(
    change: dict[str, Any], line: str, composed: Callable[..., Job]
) -> None:
    job = composed("model=lstm", "data=imdb", "trials=2", "epochs=1")
    assert swept(job, FakeEngine()).idle == ""
    again = session(job._replace(config=replace(job.config, **change)))
    assert sentences.idle(again.record, again.plan, again.idle) == f"lstm on imdb: nothing was run, {line}"
    assert again.record.ended is not None


def test_a_sweep_whose_directory_is_taken_away_ends_in_one_line(composed: Callable[..., Job]) -> None:
    def trial(spec: TrialSpec, on_epoch: OnEpoch) -> TrialResult:
        if spec.trial == 1:
            Path("outputs").rename("moved")
        return learn(spec, on_epoch)

    job = composed("model=lstm", "data=imdb", "trials=3", "epochs=1")
    one = search(job)
    with pytest.raises(SweepError, match=r"^outputs/sweep/imdb/journal\.jsonl was removed, moved or replaced while"):
        driver.run([one], FakeEngine(trial, workers=1))
    one.close()
    assert not Path("outputs").exists()
    assert [event.event for event in journal.read(Path("moved/sweep/imdb"))][-1] == "trial_started"


def test_a_clock_that_is_set_back_between_two_sessions_gives_no_time_twice(
    composed: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = composed("model=lstm", "data=imdb", "trials=2", "epochs=1")
    first = swept(job, FakeEngine()).record.sessions[0]
    monkeypatch.setattr("time.time", lambda: first[0] - 7200)
    monkeypatch.setattr("sweeps.journal.clock.CLOCK._origin", None)
    again = session(job._replace(config=replace(job.config, trials=4)))
    (_, ended), (resumed, last) = again.record.sessions
    assert ended <= resumed <= last


def test_an_engine_is_never_told_of_fewer_trials_than_there_will_be(composed: Callable[..., Job]) -> None:
    engine = FakeEngine(workers=2)
    swept(composed("trials=5", "epochs=1"), engine)
    assert engine.expected[0] == 5
    assert engine.expected == sorted(engine.expected, reverse=True)
    assert engine.expected[-1] == 0
    stopped = FakeEngine(workers=1)
    swept(composed("trials=50", "epochs=1", "target=0.0001"), stopped)
    assert max(stopped.expected[5:], default=0) == 0
