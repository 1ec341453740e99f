import math

import numpy as np
import pytest
from scipy.stats import t

from sweeps.analysis import statistics


def test_the_standard_error_is_the_binomial_one() -> None:
    assert statistics.standard_error(0.85, 5000) == pytest.approx(0.00505, abs=1e-5)
    assert statistics.standard_error(1.0, 10) == 0


@pytest.mark.parametrize("n", [1, 2, 12, 200])
def test_the_luck_of_the_best_is_what_chance_gives(n: int) -> None:
    best = np.random.default_rng(0).standard_normal((20_000, n)).max(axis=1).mean()
    assert statistics.luck_of_the_best(n) == pytest.approx(best, abs=0.03)


def test_the_interval_of_few_values_is_students_and_that_of_one_value_is_infinite() -> None:
    # t(0.975, 4) = 2.776
    assert statistics.half_width([1, 2, 3, 4, 5]) == pytest.approx(2.776 * math.sqrt(2.5 / 5), rel=1e-3)
    assert statistics.half_width([1.0]) == math.inf


def test_students_interval_holds_the_mean_in_95_of_100_samples() -> None:
    samples = np.random.default_rng(1).standard_normal((2000, 5))
    covered = [abs(sample.mean()) <= statistics.half_width(list(sample)) for sample in samples]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.015)


def test_the_bootstrap_agrees_with_the_normal_interval() -> None:
    values = np.random.default_rng(2).choice([-0.2, 0.0, 0.4], size=10_000)
    low, high = statistics.bootstrap_mean(values)
    half = 1.96 * values.std() / 100
    assert low == pytest.approx(values.mean() - half, abs=half / 10)
    assert high == pytest.approx(values.mean() + half, abs=half / 10)
    assert (low, high) == statistics.bootstrap_mean(values)


@pytest.mark.parametrize("n", [3, 5, 12])
def test_the_detectable_difference_is_shown_in_four_of_five_repetitions(n: int) -> None:
    quantile = statistics.half_width([0.0] * (n - 1) + [1.0]) * math.sqrt(n) / np.std([0.0] * (n - 1) + [1.0], ddof=1)
    expected = statistics.detectable(quantile / math.sqrt(n), n)  # with a deviation of 1
    samples = np.random.default_rng(3).normal(expected, 1, (4000, n))
    shown = [sample.mean() > statistics.half_width(list(sample)) for sample in samples]
    assert np.mean(shown) == pytest.approx(statistics.POWER, abs=0.05)


def test_more_pairs_are_asked_for_until_the_interval_is_narrow_enough() -> None:
    # A deviation of 1: t(0.975, 4) / sqrt(5) = 1.242; half of it takes 13 pairs, t(0.975, 12) / sqrt(13) = 0.604.
    assert statistics.pairs_for(1.242 / 2, 1.242, 5) == 13
    assert statistics.pairs_for(1.242, 1.2419, 5) == 5


def test_intervals_that_are_to_hold_together_are_wider() -> None:
    assert statistics.level_of_each(0) == statistics.level_of_each(1) == statistics.LEVEL
    assert statistics.level_of_each(5) == pytest.approx(0.99)
    values = [1.0, 2, 3, 4, 5]
    assert statistics.half_width(values, 0.99) == pytest.approx(4.604 * math.sqrt(2.5 / 5), rel=1e-3)
    wide, narrow = (statistics.bootstrap_mean(np.array(values * 20), level) for level in (0.99, 0.95))
    assert wide.low < narrow.low < narrow.high < wide.high


@pytest.mark.parametrize("n", [2, 3, 5, 12, 100])
def test_students_quantiles_are_those_of_scipy_stats_to_the_last_bit(n: int) -> None:
    values = list(range(n))
    expected = float(t.ppf(0.975, n - 1)) * float(np.std(values, ddof=1)) / math.sqrt(n)
    assert statistics.half_width(values) == pytest.approx(expected, rel=0, abs=0)
