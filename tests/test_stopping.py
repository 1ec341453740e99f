import pytest
from hypothesis import given
from hypothesis import strategies as st

from conf.schema import OBJECTIVES
from sweeps.stopping import best_epoch, out_of_patience

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
    assert out_of_patience(objective, curve, patience) == (waited >= patience)


@given(objectives, curves | st.just([]))
def test_without_patience_a_trial_never_ends_early(objective: str, curve: list[float]) -> None:
    assert not out_of_patience(objective, curve, None)


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
    assert out_of_patience(objective, curve, 2) == ended
