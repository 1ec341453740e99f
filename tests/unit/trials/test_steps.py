import pytest

from sweeps.trials import steps
from sweeps.trials.spec import StepReport
from sweeps.trials.steps import Steps, reported_to

FIRST = StepReport("s/imdb", 3, 1, 2, 0, 100)


def test_reports_come_at_most_once_a_second_and_only_in_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    now, heard = [0.0], list[StepReport]()
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    with reported_to(heard.append):
        counter = Steps(FIRST)
        for done in range(1, 25):
            now[0] += 0.125
            counter.done(done)
    now[0] += 5
    counter.done(25)
    assert [report.done for report in heard] == [8, 16, 24]
    assert heard[0] == FIRST._replace(done=8)
    assert steps.EVERY == 1.0


def test_nobody_has_to_listen() -> None:
    Steps(FIRST).done(1)
