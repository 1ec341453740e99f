import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.metrics import OBJECTIVES
from sweeps.trials.early_stopping import Median, best_epoch, why_end

objectives = st.sampled_from(sorted(OBJECTIVES))
# Few different values, so that there are ties; and any number there is.
values = st.integers(0, 3).map(float) | st.floats(allow_nan=False)
curves = st.lists(values, min_size=1, max_size=12)


def betters(objective: str, new: float, old: float) -> bool:
    return new > old if objective == "val/accuracy" else new < old


@given(objectives, curves)
def test_the_best_epoch_is_the_first_that_no_other_betters(objective: str, curve: list[float]) -> None:
    best = best_epoch(objective, curve)
    assert not any(betters(objective, value, curve[best - 1]) for value in curve)
    assert all(betters(objective, curve[best - 1], value) for value in curve[: best - 1])


@given(objectives, curves, st.integers(1, 6))
def test_patience_ends_after_so_many_epochs_in_a_row_without_a_better_one(
    objective: str, curve: list[float], patience: int
) -> None:
    best, waited = curve[0], 0
    for value in curve[1:]:
        better = betters(objective, value, best)
        best, waited = (value, 0) if better else (best, waited + 1)
    assert (why_end(objective, curve, patience) == "patience") == (waited >= patience)


@given(objectives, curves | st.just([]))
def test_without_patience_and_bar_a_trial_never_ends_early(objective: str, curve: list[float]) -> None:
    assert why_end(objective, curve, None) == ""


@pytest.mark.parametrize(
    ("objective", "curve", "best", "ended"),
    [
        ("val/accuracy", [0.5], 1, False),
        ("val/accuracy", [0.5, 0.7, 0.6], 2, False),
        ("val/accuracy", [0.5, 0.7, 0.6, 0.7], 2, True),
        ("val/loss", [0.5, 0.7, 0.4, 0.6], 3, False),
        ("val/loss", [0.5, 0.7, 0.5], 1, True),
    ],
)
def test_an_equal_epoch_is_no_better_one(objective: str, curve: list[float], best: int, ended: bool) -> None:
    assert best_epoch(objective, curve) == best
    assert why_end(objective, curve, 2) == ("patience" if ended else "")


@given(objectives, st.lists(curves, max_size=8), st.integers(1, 4), st.integers(1, 4))
def test_the_bar_is_the_median_of_what_the_finished_trials_had_best_come_to(
    objective: str, finished: list[list[float]], grace: int, min_trials: int
) -> None:
    median = Median(objective, epochs=12, grace=grace, min_trials=min_trials)
    for curve in finished:
        median.add(curve)
    bar = median.bar()
    if len(finished) < min_trials:
        assert bar == ()
        return
    best = max if objective == "val/accuracy" else min
    expected = [statistics.median(best(curve[:epoch]) for curve in finished) for epoch in range(1, 13)]
    assert list(bar) == [None] * grace + expected[grace:]


@given(objectives, st.lists(curves, min_size=1, max_size=8), curves)
def test_a_trial_ends_at_the_first_epoch_at_which_its_best_is_worse_than_the_bar(
    objective: str, finished: list[list[float]], curve: list[float]
) -> None:
    median = Median(objective, epochs=12, grace=2, min_trials=1)
    for other in finished:
        median.add(other)
    bar = median.bar()
    best = max if objective == "val/accuracy" else min
    for epoch in range(1, len(curve) + 1):
        ended = why_end(objective, curve[:epoch], None, bar)
        passes = bar[epoch - 1]
        assert (ended == "stopped") == (
            epoch > 2 and passes is not None and betters(objective, passes, best(curve[:epoch]))
        )


@given(objectives, st.lists(curves, min_size=1, max_size=8))
def test_the_best_of_the_finished_trials_would_have_passed_every_bar(
    objective: str, finished: list[list[float]]
) -> None:
    """At its own best epoch and after; before that it may have been behind."""
    median = Median(objective, epochs=12, grace=1, min_trials=1)
    for curve in finished:
        median.add(curve)
    choose = max if objective == "val/accuracy" else min
    best = choose(finished, key=choose)
    for epoch in range(best_epoch(objective, best), len(best) + 1):
        assert why_end(objective, best[:epoch], None, median.bar()) == ""
