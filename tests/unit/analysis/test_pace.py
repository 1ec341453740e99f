"""The time that a sweep still takes."""

from pathlib import Path

import pytest

from sweeps.analysis.pace import seconds_left
from sweeps.journal import EpochEnded, Event, SweepRecord, SweepResumed, TrialEnded, TrialStarted
from tests import records

NOW = records.BEGAN + 100
BEGUN = [records.started(trials=10), TrialStarted(0, 1, {}, 1, 0, 4, time=NOW - 90)]
ENDED = TrialEnded(0, 1, "failed", "diverged", time=NOW - 50)
HALF = [
    TrialStarted(1, 1, {}, 1, 0, 4, time=NOW - 50),
    *(EpochEnded(1, 1, epoch, {"val/accuracy": 0.5}, time=NOW - 10) for epoch in (1, 2)),
]


def left(*events: Event, minutes: float | None = None, now: float = NOW) -> float | None:
    return seconds_left(SweepRecord.of(Path("sweep"), events), now, minutes)


def test_nothing_is_known_before_a_trial_has_ended() -> None:
    assert left(records.started()) is None
    assert left(*BEGUN) is None


def test_trials_that_ended_and_shares_of_those_that_run_set_the_pace() -> None:
    assert left(*BEGUN, ENDED) == pytest.approx(900)  # one in 100 s, nine to go
    assert left(*BEGUN, ENDED, *HALF) == pytest.approx(8.5 * 100 / 1.5)


def test_it_is_at_most_the_time_that_the_sweep_has() -> None:
    assert left(*BEGUN, ENDED, minutes=5) == pytest.approx(200)
    assert left(*BEGUN, ENDED, minutes=1) == 0


def test_only_this_session_sets_the_pace_and_earlier_ones_used_time() -> None:
    resumed = SweepResumed(records.configuration(), 10, time=NOW + 1000)
    again = [TrialStarted(1, 1, {}, 1, 0, 4, time=NOW + 1000), TrialEnded(1, 1, "failed", "", time=NOW + 1020)]
    assert left(*BEGUN, ENDED, *HALF, resumed, now=NOW + 1000) is None
    later = {"now": NOW + 1020}
    assert left(*BEGUN, ENDED, resumed, *again, **later) == pytest.approx(8 * 20)
    assert left(*BEGUN, ENDED, resumed, *again, minutes=2, **later) == pytest.approx(120 - 50 - 20)


def test_a_sweep_that_has_ended_takes_no_time() -> None:
    assert left(*records.events(trials=2)) is None
