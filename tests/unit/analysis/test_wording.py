import math

import pytest

from sweeps.analysis import wording


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


def test_a_number_that_is_missing_or_not_finite_is_a_dash() -> None:
    assert [wording.number(value) for value in (0.5, None, math.nan, math.inf)] == ["0.5000", "–", "–", "–"]
    assert wording.number(0.5, "+.1f") == "+0.5"
