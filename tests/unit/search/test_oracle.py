import math
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from keras_tuner.oracles import BayesianOptimizationOracle
from sklearn.exceptions import ConvergenceWarning

from conf.compose import Job
from conf.schema import Config
from sweeps.search import space
from sweeps.search.oracle import Oracle, description
from sweeps.search.ask_tell import Proposal

TUNERS = ["random", "grid", "bayesian", "hyperband"]


def oracle(config: Config) -> Oracle:
    return Oracle(config, space.read(config.model, config.optimizer))


def score(proposal: Proposal) -> float:
    """A trial's objective: from its values and epochs alone."""
    return (
        float(proposal.values["lstm_units"]) / 1000
        - abs(float(proposal.values["dropout"]) - 0.3) / 10
        + 0.01 * (proposal.epochs)
    )


def searched(config: Config, workers: int = 2, failing: frozenset[int] = frozenset()) -> list[Proposal]:
    """Every proposal of a search in which `workers` trials are out at a time and the oldest ends first."""
    asked, out, proposals = oracle(config), [], []
    while True:
        while len(out) < workers and (proposal := asked.ask()) is not None:
            out.append(proposal)
            proposals.append(proposal)
        if not out:
            return proposals
        ended = out.pop(0)
        asked.tell(ended.trial, None if ended.trial in failing else score(ended))


@pytest.mark.parametrize("tuner", TUNERS)
def test_the_first_trial_is_the_baseline(tuner: str, composed: Callable[..., Job]) -> None:
    config = composed(f"tuner={tuner}", "trials=5").config
    first, *others = searched(config)
    defaults = space.read(config.model, config.optimizer).defaults()
    assert first == Proposal(0, defaults, 0, config.epochs)
    assert all(proposal.values != defaults for proposal in others)


@pytest.mark.parametrize("tuner", TUNERS)
@pytest.mark.parametrize("workers", [1, 3])
def test_the_same_seed_gives_the_same_trials_and_another_seed_others(
    tuner: str, workers: int, composed: Callable[..., Job]
) -> None:
    arguments = f"tuner={tuner}", "trials=4"
    first = searched(composed(*arguments).config, workers)
    assert searched(composed(*arguments).config, workers) == first
    if tuner != "grid":
        assert searched(composed(*arguments, "seed=2").config, workers) != first


@pytest.mark.parametrize("tuner", TUNERS)
def test_as_many_configurations_as_trials_and_none_twice(tuner: str, composed: Callable[..., Job]) -> None:
    trials = 8 if tuner == "bayesian" else 30  # a Gaussian process takes longer
    proposals = searched(composed(f"tuner={tuner}", f"trials={trials}").config)
    configurations = {p.trial: tuple(p.values.items()) for p in proposals}
    assert sorted(configurations) == list(range(trials))
    assert len(set(configurations.values())) == trials


@pytest.mark.parametrize("tuner", ["random", "grid", "bayesian"])
def test_a_small_space_is_exhausted_without_repeating_a_trial(tuner: str, composed: Callable[..., Job]) -> None:
    # Keras Tuner's own Bayesian oracle would propose the same point again and again.
    config = composed(
        *(f"model.space.{name}=8" for name in ("embedding_dim", "conv_filters")),
        "model.space.dropout={kind: Float, min_value: 0.0, max_value: 0.5, step: 0.1, default: 0.3}",
        "model.space.lstm_units={kind: Choice, values: [8, 16], default: 8}",
        "optimizer.space.learning_rate=0.01",
        f"tuner={tuner}",
        "trials=50",
    ).config
    proposals = searched(config)
    assert len({tuple(p.values.items()) for p in proposals}) == len(proposals) == 12


def test_bayesian_leaves_most_of_a_small_budget_to_the_gaussian_process(composed: Callable[..., Job]) -> None:
    random = [p.values for p in searched(composed("trials=6").config, workers=1)]
    bayesian = [p.values for p in searched(composed("tuner=bayesian", "trials=6").config, workers=1)]
    same = [a == b for a, b in zip(random, bayesian, strict=True)]
    assert same[:2] == [True] * 2
    assert not any(same[2:])


def test_bayesian_proposes_what_keras_tuner_would_from_the_same_trials(composed: Callable[..., Job]) -> None:
    asked = oracle(composed("tuner=bayesian", "trials=20").config)
    while len(asked._oracle.trials) < 12:
        proposal = asked.ask()
        assert proposal is not None
        units, dropout = float(proposal.values["lstm_units"]), float(proposal.values["dropout"])
        asked.tell(proposal.trial, math.sin(units / 20) + math.cos(20 * dropout))  # with hills inside of the space
    ours = asked._oracle._most_promising()
    asked._oracle.gpr = BayesianOptimizationOracle._make_gpr(asked._oracle)
    theirs = BayesianOptimizationOracle.populate_space(asked._oracle, "12")["values"]
    point = [hp.value_to_prob(theirs[hp.name]) for hp in asked._oracle._nonfixed_space()]
    means, deviations = asked._oracle.gpr.predict(np.array([ours, point]), return_std=True)
    here, there = means - asked._oracle.beta * deviations
    assert here < there + 0.05 * np.std([trial.score for trial in asked._oracle.trials.values()])


@pytest.mark.parametrize("ended", [1, 2, 5, 30])
def test_the_gaussian_process_is_as_likely_as_keras_tuners(ended: int, composed: Callable[..., Job]) -> None:
    asked = oracle(composed("tuner=bayesian").config)._oracle
    generator = np.random.default_rng(ended)
    points = generator.uniform(size=(ended, 5))
    losses = np.sin(9 * points[:, 0]) + points[:, 1] ** 2 + generator.normal(scale=0.1, size=ended)
    with warnings.catch_warnings(category=ConvergenceWarning, action="ignore"):
        ours, theirs = (
            one._make_gpr(asked).fit(points, losses).log_marginal_likelihood_value_
            for one in (type(asked), BayesianOptimizationOracle)
        )
    assert ours > theirs - 1e-3


@pytest.mark.parametrize("trials", [2, 9])  # while they are random, and later
@pytest.mark.parametrize(
    "space",
    [
        (),
        (  # Keras Tuner tells a step and a choice by their last digits, of which six are recorded
            "model.space.dropout={kind: Float, min_value: 0.1, max_value: 0.7, step: 0.1, default: 0.3}",
            "optimizer.space.learning_rate={kind: Choice, values: [0.001234567, 0.01, 0.0234567891], default: 0.01}",
        ),
    ],
)
def test_a_resumed_bayesian_search_goes_on_without_making_its_proposals_again(
    trials: int, space: tuple[str, ...], composed: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = composed("tuner=bayesian", "tuner.initial_points=3", "trials=12", *space).config

    whole, out = oracle(config), list[Proposal]()
    told: dict[int, Proposal] = {}  # by the trial that was asked for before
    while len(whole._oracle.trials) < trials:
        if len(out) > 2:
            told[out[-1].trial] = ended = out.pop(len(told) % 2)
            whole.tell(ended.trial, score(ended))
        proposal = whole.ask()
        assert proposal is not None
        out.append(proposal)
    assert len(whole._asked) == min(trials, 3)
    resumed = oracle(config)
    resumed._oracle._max_collisions = 0
    with monkeypatch.context() as patched:
        patched.setattr(type(resumed._oracle), "_most_promising", lambda _: pytest.fail("it is known already"))
        for trial, recorded in enumerate(whole._oracle.trials.values()):
            resumed.replay(trial, resumed._space.complete(recorded.hyperparameters.values))
            if trial in told:
                resumed.tell(told[trial].trial, score(told[trial]))
    points = [one._oracle._points(list(one._oracle.trials.values())) for one in (whole, resumed)]
    np.testing.assert_array_equal(*points)
    assert resumed.ask() == whole.ask()


def test_hyperband_promotes_the_best_third_and_goes_on_where_they_stopped(composed: Callable[..., Job]) -> None:
    config = composed("tuner=hyperband", "trials=13", "epochs=10").config
    _, *proposals = searched(config, workers=1)
    rounds = {(p.initial_epoch, p.epochs): [q.trial for q in proposals if q.epochs == p.epochs] for p in proposals}
    assert {steps: len(trials) for steps, trials in rounds.items()} == {(0, 2): 12, (2, 4): 4, (4, 10): 2}
    first = [p for p in proposals if p.initial_epoch == 0]
    best = sorted(first, key=score, reverse=True)
    assert set(rounds[2, 4]) == {p.trial for p in best[:4]}
    assert set(rounds[4, 10]) == {p.trial for p in best[:2]}
    assert all(p.values == first[p.trial - 1].values for p in proposals)


@pytest.mark.parametrize("trials", [1, 2, 5, 14, 23, 40])
@pytest.mark.parametrize("epochs", [1, 3, 10])
def test_hyperband_starts_as_many_configurations_as_asked(
    trials: int, epochs: int, composed: Callable[..., Job]
) -> None:
    proposals = searched(composed("tuner=hyperband", f"trials={trials}", f"epochs={epochs}").config)
    assert {p.trial for p in proposals} == set(range(trials))
    assert proposals[0].epochs == epochs
    assert max(p.epochs for p in proposals) == epochs
    for proposal in proposals:
        earlier = [p.epochs for p in proposals if p.trial == proposal.trial and p.epochs < proposal.epochs]
        assert proposal.initial_epoch == max(earlier, default=0)


@pytest.mark.parametrize("tuner", TUNERS)
def test_failed_trials_do_not_end_the_search(tuner: str, composed: Callable[..., Job]) -> None:
    proposals = searched(composed(f"tuner={tuner}", "trials=9").config, failing=frozenset(range(7)))
    assert {p.trial for p in proposals} == set(range(9))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["trials=7"], "7 trials"),
        (["tuner=bayesian"], "4 of 12 trials are initial points, then a Gaussian process"),
        (["tuner=bayesian", "tuner.initial_points=6"], "6 of 12 trials are initial points, then a Gaussian process"),
        (["tuner=grid"], "12 trials of a grid of 14,080: only the last hyperparameters will vary"),
        (["tuner=hyperband"], "12 configurations; the baseline and the last survivors train for 10 epochs"),
    ],
)
def test_what_the_tuner_will_do_is_said(arguments: list[str], expected: str, composed: Callable[..., Job]) -> None:
    config = composed(*arguments).config
    assert description(config, space.read(config.model, config.optimizer)) == expected


@pytest.mark.parametrize("tuner", TUNERS)
def test_nothing_is_written(tuner: str, composed: Callable[..., Job]) -> None:
    searched(composed(f"tuner={tuner}", "trials=3").config)
    assert list(Path().iterdir()) == []
