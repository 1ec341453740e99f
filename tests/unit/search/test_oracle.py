"""The rules that every tuner follows."""

from collections.abc import Callable
from pathlib import Path

import pytest

from conf.schema import Job
from sweeps.search import space
from sweeps.search.ask_tell import Proposal
from tests.searches import SMALL_SPACE, TUNERS, oracle, proposals_of


@pytest.mark.parametrize("tuner", TUNERS)
def test_the_baseline_comes_first_and_no_configuration_twice(tuner: str, composed: Callable[..., Job]) -> None:
    trials = 8 if tuner == "bayesian" else 30  # a Gaussian process takes longer
    config = composed(f"tuner={tuner}", f"trials={trials}").config
    proposals = proposals_of(config)
    defaults = space.read(config.parts("imdb")).defaults()
    assert proposals[0] == Proposal(0, defaults, 0, config.epochs)
    configurations = {proposal.trial: tuple(proposal.values.items()) for proposal in proposals}
    assert sorted(configurations) == list(range(trials))
    assert len(set(configurations.values())) == trials
    assert list(Path().iterdir()) == []  # Keras Tuner's own oracles write files


@pytest.mark.parametrize("tuner", TUNERS)
@pytest.mark.parametrize("workers", [1, 3])
def test_the_same_seed_gives_the_same_trials_and_another_seed_others(
    tuner: str, workers: int, composed: Callable[..., Job]
) -> None:
    arguments = f"tuner={tuner}", "trials=4"
    first = proposals_of(composed(*arguments).config, workers)
    assert proposals_of(composed(*arguments).config, workers) == first
    if tuner != "grid":
        assert proposals_of(composed(*arguments, "seed=2").config, workers) != first


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in (2, 3))])
@pytest.mark.parametrize("tuner", ["random", "grid", "bayesian"])
def test_a_small_space_is_exhausted_without_repeating_a_trial(
    tuner: str, seed: int, composed: Callable[..., Job]
) -> None:
    # Keras Tuner's own Bayesian oracle would propose the same point again and again.
    config = composed(
        *SMALL_SPACE,
        "model.space.dropout={kind: Float, min_value: 0.0, max_value: 0.3, step: 0.1, default: 0.3}",
        f"tuner={tuner}",
        f"seed={seed}",
        "trials=50",
    ).config
    proposals = proposals_of(config)
    assert len({tuple(p.values.items()) for p in proposals}) == len(proposals) == 12


@pytest.mark.parametrize("tuner", TUNERS)
def test_failed_trials_do_not_end_the_search(tuner: str, composed: Callable[..., Job]) -> None:
    proposals = proposals_of(composed(f"tuner={tuner}", "trials=9").config, failing=range(7))
    assert {p.trial for p in proposals} == set(range(9))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["trials=7"], "7 trials"),
        (["tuner=bayesian"], "4 of 12 trials are initial points, then a Gaussian process"),
        (["tuner=bayesian", "tuner.initial_points=6"], "6 of 12 trials are initial points, then a Gaussian process"),
        (["tuner=grid"], "12 trials of a grid of 14,080: only the last hyperparameters will vary"),
        (["tuner=grid", "trials=20000"], "a grid of 14080"),
        (["tuner=hyperband"], "12 configurations; the baseline and the last survivors train for 10 epochs"),
        (["tuner=mobster"], "12 configurations, the baseline for 10 epochs, the others for 1, 2, 4, 10 if they lead"),
    ],
)
def test_the_tuner_describes_its_use_of_the_budget(
    arguments: list[str], expected: str, composed: Callable[..., Job]
) -> None:
    assert oracle(composed(*arguments).config).description == expected


@pytest.mark.parametrize("tuner", TUNERS)
def test_the_description_is_that_of_an_extended_budget(tuner: str, composed: Callable[..., Job]) -> None:
    search = oracle(composed(f"tuner={tuner}").config)
    search.extend(17)
    assert "17" in search.description
