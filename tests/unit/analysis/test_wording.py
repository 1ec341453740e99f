import math
from dataclasses import replace

import pytest

from sweeps.analysis import wording
from tests import records


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (40, "40 s"),
        (89, "89 s"),
        (90, "2 min"),
        (720, "12 min"),
        (3600, "1 h 00 min"),
        (7500, "2 h 05 min"),
    ],
)
def test_a_duration_is_written_in_the_units_of_its_size(seconds: float, text: str) -> None:
    assert wording.duration(seconds) == text


def test_a_gain_is_positive_if_the_trial_is_better_and_has_no_negative_zero() -> None:
    baseline, trial = (replace(records.record(trials=1).trials[0], origin=n, objective=0.5 - n / 10) for n in (0, 1))
    assert wording.gain(trial, baseline, "val/accuracy") == "-0.1000"
    assert wording.gain(trial, baseline, "val/loss") == "+0.1000"
    assert wording.gain(replace(trial, objective=0.499999), baseline, "val/accuracy") == "+0.0000"
    assert wording.gain(baseline, baseline, "val/accuracy") == ""
    assert [wording.points(value) for value in (0.0123, -0.0001, -0.1)] == ["+1.2", "+0.0", "-10.0"]


def test_a_mean_of_counts_has_a_decimal_only_where_it_says_more() -> None:
    assert [wording.count(value) for value in (0, 12, 7.5, 99.96, 366.6, 1234.0)] == [
        "0", "12", "7.5", "100.0", "367", "1,234",
    ]  # fmt: skip


def test_a_share_is_never_rounded_up_to_all_of_it() -> None:
    assert [wording.percent(share) for share in (0.0, 0.29, 0.9995, 1.0)] == ["0 %", "29 %", "99 %", "100 %"]


def test_a_number_that_is_missing_or_not_finite_is_a_dash() -> None:
    assert [wording.number(value) for value in (0.5, None, math.nan, math.inf)] == ["0.5000", "–", "–", "–"]
    assert wording.number(0.5, "+.1f") == "+0.5"
