"""Every objective of the table of metrics, a new one included."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.metrics import OBJECTIVES, best, is_better
from sweeps.trials.early_stopping import Median, best_epoch, reason_to_end

objectives = st.sampled_from(OBJECTIVES)
# Few different values, so that there are ties; and any other number. A trial with an infinite one has failed.
values = st.integers(0, 3).map(float) | st.floats(-1e300, 1e300)
curves = st.lists(values, min_size=1, max_size=12)


def median_of(objective: str, finished: list[list[float]], **options: int) -> Median:
    median = Median(objective, epochs=12, **options)
    for curve in finished:
        median.add(curve)
    return median


@given(objectives, curves)
def test_the_best_epoch_is_the_first_that_no_other_beats(objective: str, curve: list[float]) -> None:
    epoch = best_epoch(objective, curve)
    assert not any(is_better(objective, value, curve[epoch - 1]) for value in curve)
    assert all(is_better(objective, curve[epoch - 1], value) for value in curve[: epoch - 1])


@given(objectives, curves, st.integers(1, 6))
def test_patience_ends_after_that_many_epochs_in_a_row_without_a_better_one(
    objective: str, curve: list[float], patience: int
) -> None:
    top, waited = curve[0], 0
    for value in curve[1:]:
        top, waited = (value, 0) if is_better(objective, value, top) else (top, waited + 1)
    assert (reason_to_end(objective, curve, patience) == "patience") == (waited >= patience)


@given(objectives, curves | st.just([]))
def test_without_patience_and_bar_a_trial_never_ends_early(objective: str, curve: list[float]) -> None:
    assert reason_to_end(objective, curve, None) == ""


@pytest.mark.parametrize(
    ("objective", "curve", "best", "ended"),
    [
        ("val/accuracy", [0.5], 1, False),
        ("val/accuracy", [0.5, 0.7, 0.6], 2, False),
        ("val/accuracy", [0.5, 0.7, 0.6, 0.7], 2, True),
        ("val/macro_f1", [0.5, 0.7, 0.6, 0.7], 2, True),
        ("val/loss", [0.5, 0.7, 0.4, 0.6], 3, False),
        ("val/loss", [0.5, 0.7, 0.5], 1, True),
    ],
)
def test_an_equal_epoch_is_no_better_one(objective: str, curve: list[float], best: int, ended: bool) -> None:
    assert best_epoch(objective, curve) == best
    assert reason_to_end(objective, curve, 2) == ("patience" if ended else "")


@given(objectives, st.lists(curves, max_size=8), st.integers(1, 4), st.integers(1, 4))
def test_the_bar_is_the_median_of_the_finished_trials_best_values_so_far(
    objective: str, finished: list[list[float]], grace: int, min_trials: int
) -> None:
    bar = median_of(objective, finished, grace=grace, min_trials=min_trials).bar()
    if len(finished) < min_trials:
        assert bar == ()
        return
    expected = [statistics.median(best(objective, curve[:epoch]) for curve in finished) for epoch in range(1, 13)]
    assert list(bar) == [None] * grace + expected[grace:]


@given(objectives, st.lists(curves, min_size=1, max_size=8), curves)
def test_a_trial_ends_at_the_first_epoch_at_which_its_best_value_is_worse_than_the_bar(
    objective: str, finished: list[list[float]], curve: list[float]
) -> None:
    bar = median_of(objective, finished, grace=2, min_trials=1).bar()
    for epoch in range(1, len(curve) + 1):
        threshold = bar[epoch - 1]
        below = threshold is not None and is_better(objective, threshold, best(objective, curve[:epoch]))
        assert (reason_to_end(objective, curve[:epoch], None, bar) == "stopped") == (epoch > 2 and below)


@given(objectives, st.lists(curves, min_size=1, max_size=8))
def test_the_best_of_the_finished_trials_would_have_passed_every_bar(
    objective: str, finished: list[list[float]]
) -> None:
    """From its own best epoch on; before that it may have been behind."""
    bar = median_of(objective, finished, grace=1, min_trials=1).bar()
    top = best(objective, [best(objective, curve) for curve in finished])
    curve = next(curve for curve in finished if top in curve)
    for epoch in range(best_epoch(objective, curve), len(curve) + 1):
        assert reason_to_end(objective, curve[:epoch], None, bar) == ""
