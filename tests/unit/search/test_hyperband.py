from collections.abc import Callable

import pytest

from conf.schema import Job
from tests.searches import oracle, proposals_of, score


def test_the_best_third_is_promoted_and_goes_on_where_it_stopped(composed: Callable[..., Job]) -> None:
    config = composed("tuner=hyperband", "trials=13", "epochs=10").config
    _, *proposals = proposals_of(config, workers=1)
    rounds = {(p.initial_epoch, p.epochs): [q.trial for q in proposals if q.epochs == p.epochs] for p in proposals}
    assert {steps: len(trials) for steps, trials in rounds.items()} == {(0, 2): 12, (2, 4): 4, (4, 10): 2}
    first = [p for p in proposals if p.initial_epoch == 0]
    best = sorted(first, key=score, reverse=True)
    assert set(rounds[2, 4]) == {p.trial for p in best[:4]}
    assert set(rounds[4, 10]) == {p.trial for p in best[:2]}
    assert all(p.values == first[p.trial - 1].values for p in proposals)


def test_the_factor_decides_how_many_are_promoted(composed: Callable[..., Job]) -> None:
    config = composed("tuner=hyperband", "tuner.factor=2", "trials=9", "epochs=8").config
    _, *proposals = proposals_of(config, workers=1)
    assert [sum(p.epochs == epochs for p in proposals) for epochs in (1, 2, 4, 8)] == [8, 4, 2, 1]


def test_the_recorded_values_of_a_replayed_trial_are_promoted(composed: Callable[..., Job]) -> None:
    config = composed("tuner=hyperband", "trials=13", "epochs=10").config
    search = oracle(config)
    for trial, proposal in enumerate(proposals_of(config, workers=1)[:13]):
        recorded = {**proposal.values, "learning_rate": 0.00123456}
        search.replay(trial, recorded if trial == 5 else proposal.values)
        search.tell(trial, 0.9 if trial == 5 else 0.1)
    promoted = search.ask()
    assert promoted is not None
    assert (promoted.trial, promoted.initial_epoch) == (5, 2)
    assert promoted.values["learning_rate"] == 0.00123456


@pytest.mark.parametrize("trials", [1, 2, 14, *(pytest.param(n, marks=pytest.mark.long) for n in (5, 23, 40))])
@pytest.mark.parametrize("epochs", [1, 3, 10])
def test_as_many_configurations_as_asked_are_started(trials: int, epochs: int, composed: Callable[..., Job]) -> None:
    proposals = proposals_of(composed("tuner=hyperband", f"trials={trials}", f"epochs={epochs}").config)
    assert {p.trial for p in proposals} == set(range(trials))
    assert proposals[0].epochs == epochs
    assert max(p.epochs for p in proposals) == epochs
    for proposal in proposals:
        earlier = [p.epochs for p in proposals if p.trial == proposal.trial and p.epochs < proposal.epochs]
        assert proposal.initial_epoch == max(earlier, default=0)
