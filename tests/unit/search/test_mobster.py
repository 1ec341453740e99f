"""Asynchronous successive halving with a Gaussian process."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from conf.schema import Job
from sweeps.search import mobster
from sweeps.search.ask_tell import Proposal
from sweeps.search.oracle import Oracle
from tests.searches import SMALL_SPACE, oracle, proposals_of, score, session

TEN = ("tuner=mobster", "epochs=10")  # rungs of 1, 2, 4 and 10 epochs


def test_one_of_three_goes_on_where_it_stopped_and_none_waits_for_a_rung_to_be_full(
    composed: Callable[..., Job],
) -> None:
    baseline, *proposals = proposals_of(composed(*TEN, "trials=13").config, workers=1)
    assert (baseline.trial, baseline.initial_epoch, baseline.epochs) == (0, 0, 10)
    steps = [(proposal.initial_epoch, proposal.epochs) for proposal in proposals]
    assert steps[:4] == [(0, 1), (0, 1), (0, 1), (1, 2)]
    best = max(proposals[:3], key=score)
    assert (proposals[3].trial, proposals[3].values) == (best.trial, best.values)
    counts = {step: steps.count(step) for step in steps}
    assert counts.keys() == {(0, 1), (1, 2), (2, 4), (4, 10)}
    assert counts[0, 1] == 12
    assert counts[1, 2] >= 4
    assert counts[2, 4] >= 2
    assert counts[4, 10] >= 1


def test_only_a_trial_that_is_among_the_best_of_its_rung_goes_on(composed: Callable[..., Job]) -> None:
    config = composed(*TEN, "trials=40").config
    search, done = oracle(config), list[Proposal]()
    while (proposal := search.ask()) is not None:
        if proposal.initial_epoch == 1 and len({each.trial for each in done}) < 40:
            rung = [score(each) for each in done if each.epochs == 1]
            (own,) = (score(each) for each in done if each.trial == proposal.trial)
            assert own in sorted(rung, reverse=True)[: len(rung) // 3]
        done.append(proposal)
        search.tell(proposal.trial, score(proposal))
    assert {each.trial for each in done} == set(range(40))


def test_a_failed_trial_goes_nowhere_and_the_last_ones_do(composed: Callable[..., Job]) -> None:
    proposals = proposals_of(composed(*TEN, "trials=6").config, workers=2, failing=[1, 2])
    assert all(proposal.epochs == 1 for proposal in proposals if proposal.trial in (1, 2))
    assert max(proposal.epochs for proposal in proposals[1:]) == 10


@pytest.mark.parametrize("trials", [2, 14])
@pytest.mark.parametrize("epochs", [1, 3, 10])
@pytest.mark.parametrize("workers", [1, 4])
def test_as_many_configurations_as_asked_are_started_and_each_goes_on_from_where_it_is(
    trials: int, epochs: int, workers: int, composed: Callable[..., Job]
) -> None:
    proposals = proposals_of(composed("tuner=mobster", f"trials={trials}", f"epochs={epochs}").config, workers)
    assert {proposal.trial for proposal in proposals} == set(range(trials))
    for number, proposal in enumerate(proposals):
        before = [each.epochs for each in proposals[:number] if each.trial == proposal.trial]
        assert proposal.initial_epoch == max(before, default=0)
        assert proposal.epochs > proposal.initial_epoch


def test_the_process_learns_from_few_epochs_what_is_good(composed: Callable[..., Job]) -> None:
    """What it proposes later is better than what it drew at first."""
    config = composed(*TEN, "trials=40").config
    new = [proposal for proposal in proposals_of(config, workers=2)[1:] if not proposal.initial_epoch]
    worth = [score(proposal) for proposal in new]
    assert np.mean(worth[20:]) > np.mean(worth[:4]) + 0.02


def test_what_training_gains_is_no_merit_of_those_that_were_trained_for_long(composed: Callable[..., Job]) -> None:
    gain = {1: 0.0, 2: 0.1, 4: 0.25, 10: 0.4}
    search, merits = oracle(composed(*TEN, "trials=20").config), dict[int, float]()
    while (proposal := search.ask()) is not None and len(merits) < 20:
        merit = merits.setdefault(proposal.trial, 0.3 + proposal.trial / 100)
        curve = [merit + max(each for at, each in gain.items() if at <= epoch + 1) for epoch in range(proposal.epochs)]
        search.tell(proposal.trial, max(curve), curve)
    tuner = search._oracle
    assert isinstance(tuner, mobster.MobsterOracle)
    completed = tuner._completed()
    learned = dict(zip([search._numbers[each.trial_id] for each in completed], tuner._scores(completed), strict=True))
    assert learned == {trial: pytest.approx(merit + 0.4) for trial, merit in merits.items()}


def test_a_sweep_that_goes_on_tells_the_curves_as_they_were(
    composed: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, tuple[float, ...]]] = []
    tell = Oracle.tell

    def listen(self: Oracle, trial: int, objective: float | None, curve: Sequence[float] = ()) -> None:
        told.append((trial, tuple(curve)))
        tell(self, trial, objective, curve)

    monkeypatch.setattr(Oracle, "tell", listen)
    job = composed(*TEN, "trials=6")
    session(job)
    first = told.copy()
    told.clear()
    session(job)  # which has nothing left to do
    assert told == first
    assert {len(curve) for _, curve in first} >= {1, 2, 10}


def test_every_trial_that_may_still_go_on_keeps_its_weights(composed: Callable[..., Job]) -> None:
    config = composed(*TEN, "trials=12").config
    search, kept, at = oracle(config), set[int](), dict[int, int]()
    while (proposal := search.ask()) is not None:
        if proposal.initial_epoch:
            assert proposal.trial in kept
        at[proposal.trial] = proposal.epochs
        search.tell(proposal.trial, score(proposal))
        kept = search.candidates()
        assert len(kept) <= 4 * 3  # a third of twelve on each rung
        assert all(at[trial] < 10 for trial in kept)


@pytest.mark.parametrize("workers", [1, 3])
def test_in_a_space_that_is_exhausted_the_last_ones_go_on_and_a_replay_knows_them(
    workers: int, composed: Callable[..., Job]
) -> None:
    config = composed(*SMALL_SPACE, *TEN, "trials=50").config
    search, out, happened = oracle(config), list[Proposal](), list[tuple[Proposal, bool]]()
    while True:
        while len(out) < workers and (proposal := search.ask()) is not None:
            out.append(proposal)
            happened.append((proposal, True))
        if not out:
            break
        happened.append((out[0], False))
        search.tell(out[0].trial, score(out.pop(0)))
    begun = [proposal for proposal, begins in happened if begins]
    assert {proposal.trial for proposal in begun} == {0, 1, 2}
    assert max(proposal.epochs for proposal in begun[1:]) == 10
    again = oracle(config)
    for proposal, begins in happened:
        if begins:
            again.replay(proposal.trial, proposal.values)
        else:
            again.tell(proposal.trial, score(proposal))
    assert again.ask() is None


def test_more_trials_go_on_with_the_search(composed: Callable[..., Job]) -> None:
    config = composed(*TEN, "trials=5").config
    search = oracle(config)
    while (proposal := search.ask()) is not None:
        search.tell(proposal.trial, score(proposal))
    search.extend(8)
    more = []
    while (proposal := search.ask()) is not None:
        more.append(proposal.trial)
        search.tell(proposal.trial, score(proposal))
    assert {5, 6, 7} <= set(more)


def test_the_rungs_divide_the_epochs_by_the_factor() -> None:
    assert list(mobster._rungs(10, 3)) == [1, 2, 4, 10]
    assert list(mobster._rungs(12, 3)) == [1, 2, 4, 12]
    assert list(mobster._rungs(1, 3)) == [1]
    assert list(mobster._rungs(27, 3)) == [1, 3, 9, 27]
