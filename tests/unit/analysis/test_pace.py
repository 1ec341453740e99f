"""The time that a trial and a sweep still take."""

from dataclasses import replace
from pathlib import Path

import pytest

from conf.stored import Schedule
from sweeps.analysis import pace
from sweeps.analysis.pace import Pace
from sweeps.journal import EpochEnded, Event, SweepRecord, SweepResumed, TrialEnded, TrialStarted
from tests import records

NOW = records.BEGAN + 100
SCHEDULE = Schedule(epochs=4, minutes=None, in_rounds=False, may_end_early=False)
BEGUN = [records.started(trials=10), TrialStarted(0, 1, {}, 1, 0, 4, time=NOW - 90)]
RESUMED = SweepResumed(records.configuration(), 10, time=NOW + 1000)


def epochs(trial: int, *times: float, first: int = 0) -> list[Event]:
    return [
        EpochEnded(trial, 1, number, {"val/accuracy": 0.5}, time=time) for number, time in enumerate(times, first + 1)
    ]


def ended(trial: int, seconds: float) -> TrialEnded:
    cost = {"seconds": seconds, "epochs": 4.0}
    return TrialEnded(trial, 1, "completed", "finished", time=NOW - 50, objective=0.5, best_epoch=1, cost=cost)


def left(*events: Event, schedule: Schedule = SCHEDULE, workers: int = 1, now: float = NOW) -> float | None:
    record = SweepRecord.of(Path("sweep"), events)
    running = {trial.trial: Pace.recorded(trial) for trial in record.trials.values() if trial.running}
    return pace.of_sweep(record, schedule, running, workers, now)


def test_nothing_is_known_before_an_epoch_has_ended() -> None:
    assert left(records.started()) is None
    assert left(*BEGUN) is None


def test_the_first_epoch_of_the_first_trial_sets_the_pace() -> None:
    assert left(*BEGUN, *epochs(0, NOW - 80)) == pytest.approx(10 * (3 + 9 * 4))


def test_the_first_epoch_of_a_trial_that_has_had_a_second_counts_no_more() -> None:
    assert left(*BEGUN, *epochs(0, NOW - 50, NOW - 48)) == pytest.approx(2 * (2 + 9 * 4))
    resumed_in_it = [RESUMED, TrialStarted(0, 1, {}, 2, 1, 4, time=NOW + 1000)]
    events = [*BEGUN, *epochs(0, NOW - 50), *resumed_in_it, *epochs(0, NOW + 1040, NOW + 1042, first=1)]
    assert left(*events) == pytest.approx(2 * (1 + 9 * 4))


def test_completed_trials_set_the_pace_and_workers_share_what_is_left() -> None:
    second = TrialStarted(1, 1, {}, 1, 0, 4, time=NOW - 50)
    events = [*BEGUN, *epochs(0, NOW - 80), ended(0, 40), second, *epochs(1, NOW - 30, NOW - 20)]
    assert left(*events) == pytest.approx(10 * (2 + 8 * 4))
    assert left(*events, workers=2) == pytest.approx(10 * (2 + 8 * 4) / 2)


def test_it_takes_no_less_than_the_longest_of_the_trials_that_run() -> None:
    begun = [records.started(trials=2), *BEGUN[1:], TrialStarted(1, 1, {}, 1, 0, 4, time=NOW - 90)]
    events = [*begun, *epochs(0, NOW - 80), ended(0, 4), *epochs(1, NOW - 70, NOW - 20)]
    assert left(*events, workers=2) == pytest.approx(2 * 50)


def test_a_trial_that_has_ended_may_go_on_in_rounds() -> None:
    events = [*BEGUN, *epochs(0, NOW - 80, NOW - 70), ended(0, 40)]
    assert left(*events, schedule=SCHEDULE._replace(in_rounds=True)) == pytest.approx(10 * (9 * 4 + 2))


def test_a_confirmations_trials_have_epochs_of_their_own() -> None:
    confirms = replace(records.started(trials=3), confirms="lstm-20260101-000000-abcd/imdb")
    begun = [confirms, TrialStarted(0, 1, {}, 1, 0, 2, time=NOW - 90, origin=0)]
    assert left(*begun, *epochs(0, NOW - 80)) == pytest.approx(10 * (1 + 2 * 2))


def test_it_is_at_most_the_time_that_the_sweep_has_after_what_earlier_sessions_used() -> None:
    events = [*BEGUN, *epochs(0, NOW - 80)]
    assert left(*events, schedule=SCHEDULE._replace(minutes=5)) == pytest.approx(200)
    assert left(*events, schedule=SCHEDULE._replace(minutes=1)) == 0
    again = [*events, RESUMED, TrialStarted(0, 1, {}, 2, 1, 4, time=NOW + 1000), *epochs(0, NOW + 1010, first=1)]
    limited = SCHEDULE._replace(minutes=2)
    assert left(*again, schedule=limited, now=NOW + 1015) == pytest.approx(120 - 20 - 15)


def test_the_words_round_up_and_say_whether_it_may_be_less() -> None:
    assert pace.in_words(61, SCHEDULE, confirms=False) == "about 2 min"
    assert pace.in_words(11, SCHEDULE._replace(may_end_early=True), confirms=False) == "at most 15 s"
    assert pace.in_words(11, SCHEDULE._replace(may_end_early=True), confirms=True) == "about 15 s"
