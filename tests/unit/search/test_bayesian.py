import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from keras_tuner.oracles import BayesianOptimizationOracle
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from conf.schema import Config, Job
from sweeps.search import bayesian, keras_tuner_base, space
from sweeps.search.ask_tell import Proposal
from sweeps.search.bayesian import BayesianOracle
from tests.searches import oracle, proposals_of, score


def keras_tuner_oracle(config: Config) -> BayesianOracle:
    """The oracle on its own, to be driven as Keras Tuner would."""
    hyperparameters = space.read(config.parts("imdb")).hyperparameters()
    settings = keras_tuner_base.Settings(config.objective, "max", hyperparameters, config.seed, config.trials, 1)
    return bayesian.oracle(settings, alpha=1e-4, beta=2.6)


def run(search: BayesianOracle, trials: int, objective: Callable[[dict[str, Any]], float]) -> None:
    for number in range(trials):
        trial = search.create_trial(f"slot-{number}")
        search.update_trial(trial.trial_id, {search.objective.name: objective(trial.hyperparameters.values)})
        trial.status = "COMPLETED"
        search.end_trial(trial)


@pytest.mark.parametrize(("trials", "initial"), [(6, 2), (3, 1)])
def test_two_thirds_of_the_budget_are_left_to_the_gaussian_process(
    trials: int, initial: int, composed: Callable[..., Job]
) -> None:
    random, bayesian = (
        proposals_of(composed(f"tuner={tuner}", f"trials={trials}").config, workers=1)
        for tuner in ("random", "bayesian")
    )
    same = [drawn.values == proposal.values for drawn, proposal in zip(random, bayesian, strict=True)]
    assert same == [True] * initial + [False] * (trials - initial)


def test_equal_scores_are_not_modelled(composed: Callable[..., Job]) -> None:
    random = [p.values for p in proposals_of(composed("trials=8").config, workers=1)]
    search = oracle(composed("tuner=bayesian", "trials=8").config)
    proposals = []
    while (proposal := search.ask()) is not None:
        proposals.append(proposal.values)
        search.tell(proposal.trial, 0.5 if proposal.trial < 6 else 0.6)
    assert proposals[:7] == random[:7]
    assert proposals[7] != random[7]  # the seventh trial made the difference


def test_the_proposal_is_as_good_as_keras_tuners_from_the_same_trials(composed: Callable[..., Job]) -> None:
    def with_hills_inside_of_the_space(values: dict[str, Any]) -> float:
        return math.sin(values["lstm_units"] / 20) + math.cos(20 * values["dropout"])

    search = keras_tuner_oracle(composed("tuner=bayesian", "trials=20").config)
    run(search, 12, with_hills_inside_of_the_space)
    ours = search.most_promising()
    assert ours is not None
    search.gpr = BayesianOptimizationOracle._make_gpr(search)
    theirs = BayesianOptimizationOracle.populate_space(search, "12")["values"]
    points = [[hp.value_to_prob(values[hp.name]) for hp in search.hyperparameters.space] for values in (ours, theirs)]
    means, deviations = search.gpr.predict(np.array(points), return_std=True)
    here, there = means - search.beta * deviations
    assert here < there + 0.05 * np.std([trial.score for trial in search.trials.values()])


@pytest.mark.parametrize("ended", [1, 2, 5, 30])
def test_the_gaussian_process_is_as_likely_as_keras_tuners(ended: int, composed: Callable[..., Job]) -> None:
    search = keras_tuner_oracle(composed("tuner=bayesian").config)
    generator = np.random.default_rng(ended)
    points = generator.uniform(size=(ended, 5))
    losses = np.sin(9 * points[:, 0]) + points[:, 1] ** 2 + generator.normal(scale=0.1, size=ended)
    with warnings.catch_warnings(category=ConvergenceWarning, action="ignore"):
        ours, theirs = (
            tuner._make_gpr(search).fit(points, losses).log_marginal_likelihood_value_
            for tuner in (BayesianOracle, BayesianOptimizationOracle)
        )
    assert ours > theirs - 1e-3


@pytest.mark.parametrize("trials", [2, 9])  # while they are random, and later
@pytest.mark.parametrize(
    "space",
    [
        (),
        (  # Keras Tuner knows a step and a choice by their last digits, of which six are recorded
            "model.space.dropout={kind: Float, min_value: 0.1, max_value: 0.7, step: 0.1, default: 0.3}",
            "optimizer.space.learning_rate={kind: Choice, values: [0.001234567, 0.01, 0.0234567891], default: 0.01}",
        ),
    ],
)
def test_a_resumed_search_goes_on_without_making_its_proposals_again(
    trials: int, space: tuple[str, ...], composed: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = composed("tuner=bayesian", "tuner.initial_points=3", "trials=12", *space).config
    whole, out = oracle(config), list[Proposal]()
    proposals: list[Proposal] = []
    ended_after: dict[int, Proposal] = {}  # the last trial that was proposals before -> the trial that ended
    while len(proposals) < trials:
        if len(out) > 2:
            ended_after[proposals[-1].trial] = ended = out.pop(len(ended_after) % 2)
            whole.tell(ended.trial, score(ended))
        proposal = whole.ask()
        assert proposal is not None
        out.append(proposal)
        proposals.append(proposal)
    assert len(out) == min(trials, 3)
    with monkeypatch.context() as patched:
        patched.setattr(keras_tuner_base, "MAX_COLLISIONS", 0)  # a draw would meet a known trial at once
        resumed = oracle(config)
        patched.setattr(BayesianOracle, "most_promising", lambda _: pytest.fail("the proposal is known already"))
        for proposal in proposals:
            resumed.replay(proposal.trial, proposal.values)
            if proposal.trial in ended_after:
                ended = ended_after[proposal.trial]
                resumed.tell(ended.trial, score(ended))
    places: list[NDArray[np.float64]] = []
    points = BayesianOracle.points
    monkeypatch.setattr(BayesianOracle, "points", lambda *args: places.append(points(*args)) or places[-1])
    proposal, places_of_whole = whole.ask(), places.copy()
    places.clear()
    assert resumed.ask() == proposal
    np.testing.assert_equal(places, places_of_whole)
    assert bool(places) == (trials > 3)
