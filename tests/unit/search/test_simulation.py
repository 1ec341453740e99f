"""Searches that are simulated on a table of curves."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.curves.recording import COLUMNS
from tests.benchmarks.curves.tasks import TASKS
from tests.benchmarks.simulation import ours, peers, regret, table
from tests.benchmarks.simulation.clock import Seen
from tests.benchmarks.simulation.table import Table

TASK = TASKS["lstm_reuters"]
SECONDS = 7.0  # of every epoch


@pytest.fixture(scope="module")
def curves() -> Table:
    """A table in which larger networks are better, and each epoch is; every fourth was trained twice."""
    configurations = TASK.configurations()
    runs = [place for place, _ in TASK.runs()]
    recorded = np.zeros((len(runs), TASK.epochs, len(COLUMNS)))
    for run, place in enumerate(runs):
        values = configurations[place]
        end = 0.5 + values["lstm_units"] / 1000 + values["embedding_dim"] / 2000 - values["dropout"] / 10
        recorded[run, :, COLUMNS.index("val/accuracy")] = end * (1 - np.exp(-np.arange(1, TASK.epochs + 1)))
        recorded[run, :, COLUMNS.index("test/accuracy")] = recorded[run, :, COLUMNS.index("val/accuracy")] - 0.01
        recorded[run, :, COLUMNS.index("seconds")] = SECONDS
    arrays = {
        "columns": np.array(COLUMNS),
        "values": np.array([list(each.values()) for each in configurations]),
        "configuration": np.array(runs),
        "curves": recorded,
    }
    return table.of(TASK, arrays)


def test_the_best_of_a_table_is_what_validation_would_choose(curves: Table) -> None:
    best, error = curves.best
    assert best == pytest.approx(0.7 * (1 - math.exp(-TASK.epochs)) - 0.01)
    assert error == pytest.approx(math.sqrt(best * (1 - best) / TASK.test))


@pytest.mark.parametrize("overrides", [("tuner=random", "stopping=none"), ("tuner=bayesian", "stopping=none")])
def test_the_driver_trains_whole_trials_on_all_workers(curves: Table, overrides: Sequence[str]) -> None:
    seen = ours.search(curves, ours.job(TASK, [*overrides, "trials=9"]), workers=3, seed=1)
    assert len(seen) == 9 * TASK.epochs
    assert seen[-1].seconds == pytest.approx(9 * (TASK.epochs + table.START) * SECONDS / 3)
    assert [each.test for each in seen] == sorted(each.test for each in seen)
    assert seen == ours.search(curves, ours.job(TASK, [*overrides, "trials=9"]), workers=3, seed=1)


def test_stopping_and_hyperband_take_fewer_epochs(curves: Table) -> None:
    for overrides in (
        ["tuner=random", "stopping=median"],
        ["tuner=hyperband", "stopping=none"],
        ["tuner=mobster", "stopping=none"],
    ):
        seen = ours.search(curves, ours.job(TASK, [*overrides, "trials=20"]), workers=2, seed=1)
        assert len(seen) < 20 * TASK.epochs
        assert seen[-1].test > 0.6


@pytest.mark.parametrize("oracle", ["RandomSearchOracle", "HyperbandOracle"])
def test_keras_tuner_is_asked_for_as_many_trials(curves: Table, oracle: str, tmp_path: Path) -> None:
    tool = peers.KerasTuner(oracle, curves, trials=10, seed=1, folder=str(tmp_path))
    seen = peers.search(curves, tool, workers=2, seed=1)
    assert seen[-1].seconds == pytest.approx(SECONDS * math.ceil(len(seen) / 2), abs=SECONDS * TASK.epochs / 2)
    assert (len(seen) == 10 * TASK.epochs) == (oracle == "RandomSearchOracle")
    assert seen[-1].test > 0.5


def test_searches_are_settled_once_their_mean_regret_no_longer_exceeds_the_bound() -> None:
    one = [Seen(1, 0.5), Seen(2, 0.8), Seen(3, 0.6), Seen(4, 0.7), Seen(5, 0.9)]
    times, regrets = regret.curves([one, one], best=0.9)
    assert (times[0], times[-1]) == (pytest.approx(1), pytest.approx(5))
    assert regrets[:, -1] == pytest.approx(0.0)
    seconds = [regret.settled(times, regrets, bound).seconds for bound in (0.45, 0.25, -0.1)]
    assert seconds == [pytest.approx(1), pytest.approx(4, rel=0.01), math.inf]
    another = [Seen(1, 0.9)]  # its choice stays when it has ended
    times, regrets = regret.curves([one, another], best=0.9)
    found = regret.settled(times, regrets, bound=0.12)
    assert found.seconds == pytest.approx(4, rel=0.01)
    assert (found.low, found.high) == (pytest.approx(1), pytest.approx(5, rel=0.01))


def test_the_best_of_a_table_is_what_validation_finds_and_not_its_luckiest_test(curves: Table) -> None:
    lucky = curves.curves.copy()
    lucky[0, :, COLUMNS.index("test/accuracy")] = 0.99  # where validation is low
    assert curves._replace(curves=lucky).best == pytest.approx(curves.best)
