from collections.abc import Callable

import pytest

from conf.schema import Job
from tests.searches import proposals, score


def test_the_best_third_is_promoted_and_goes_on_where_it_stopped(composed: Callable[..., Job]) -> None:
    config = composed("tuner=hyperband", "trials=13", "epochs=10").config
    _, *proposed = proposals(config, workers=1)
    rounds = {(p.initial_epoch, p.epochs): [q.trial for q in proposed if q.epochs == p.epochs] for p in proposed}
    assert {steps: len(trials) for steps, trials in rounds.items()} == {(0, 2): 12, (2, 4): 4, (4, 10): 2}
    first = [p for p in proposed if p.initial_epoch == 0]
    best = sorted(first, key=score, reverse=True)
    assert set(rounds[2, 4]) == {p.trial for p in best[:4]}
    assert set(rounds[4, 10]) == {p.trial for p in best[:2]}
    assert all(p.values == first[p.trial - 1].values for p in proposed)


def test_the_factor_decides_how_many_are_promoted(composed: Callable[..., Job]) -> None:
    config = composed("tuner=hyperband", "tuner.factor=2", "trials=9", "epochs=8").config
    _, *proposed = proposals(config, workers=1)
    assert [sum(p.epochs == epochs for p in proposed) for epochs in (1, 2, 4, 8)] == [8, 4, 2, 1]


@pytest.mark.parametrize("trials", [1, 2, 14, *(pytest.param(n, marks=pytest.mark.long) for n in (5, 23, 40))])
@pytest.mark.parametrize("epochs", [1, 3, 10])
def test_as_many_configurations_as_asked_are_started(trials: int, epochs: int, composed: Callable[..., Job]) -> None:
    proposed = proposals(composed("tuner=hyperband", f"trials={trials}", f"epochs={epochs}").config)
    assert {p.trial for p in proposed} == set(range(trials))
    assert proposed[0].epochs == epochs
    assert max(p.epochs for p in proposed) == epochs
    for proposal in proposed:
        earlier = [p.epochs for p in proposed if p.trial == proposal.trial and p.epochs < proposal.epochs]
        assert proposal.initial_epoch == max(earlier, default=0)
