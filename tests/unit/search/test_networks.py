"""Searches of several networks: each trial has the hyperparameters of one."""

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import pytest

from conf.schema import Buildable, Config, ConfigError, Data, Job
from sweeps.search import space
from sweeps.search.ask_tell import Proposal
from sweeps.search.bayesian import BayesianOracle
from tests import searches
from tests.searches import TUNERS, oracle

NAMES = ["bag", "cnn", "lstm"]
SEVERAL = f"model=[{','.join(NAMES)}]"
SMALL = (
    "model=[bag,lstm]",
    "model.space.embedding_dim=8",
    "networks.bag.space.word_dropout=0.1",
    "networks.bag.space.pairs=[0,5000]",
    "networks.bag.space.dropout={kind: Float, min_value: 0.0, max_value: 0.3, step: 0.1, default: 0.3}",
    "networks.lstm.space.dropout={kind: Choice, values: [0.5, 0.6, 0.7], default: 0.6}",
    "networks.lstm.space.lstm_units={kind: Int, min_value: 8, max_value: 10, default: 10}",
    "optimizer.space.learning_rate=0.01",
)


def score(proposal: Proposal) -> float:
    of_network = {"bag": 0.5, "cnn": 0.6, "lstm": 0.4}[str(proposal.values["model"])]
    return of_network + float(proposal.values["dropout"]) / 10 + proposal.epochs / 1000


def proposals_of(config: Config, workers: int = 1, failing: Collection[int] = ()) -> list[Proposal]:
    return searches.proposals_of(config, workers, failing, score)


@pytest.mark.parametrize("tuner", TUNERS)
@pytest.mark.parametrize("workers", [1, 3])
def test_the_defaults_of_each_network_come_first_and_no_trial_has_anothers_hyperparameters(
    tuner: str, workers: int, composed: Callable[..., Job]
) -> None:
    config = composed(SEVERAL, f"tuner={tuner}", "trials=9").config
    searched = space.read(config.parts("imdb"))
    proposals = proposals_of(config, workers)
    assert [p.values for p in proposals[:3]] == [searched.networks[name].defaults() for name in NAMES]
    assert proposals[0].values == searched.defaults()
    assert all(p.epochs == config.epochs for p in proposals[:3])
    for proposal in proposals:
        assert proposal.values.keys() == searched.networks[str(proposal.values["model"])].defaults().keys()
    assert len({tuple(p.values.items()) for p in proposals}) == 9


@pytest.mark.parametrize("tuner", ["random", "grid", "bayesian"])
def test_the_spaces_of_all_networks_are_exhausted_and_no_trial_is_repeated(
    tuner: str, composed: Callable[..., Job]
) -> None:
    proposals = proposals_of(composed(*SMALL, f"tuner={tuner}", "trials=50").config)
    by_network = [[p.values for p in proposals if p.values["model"] == name] for name in ("bag", "lstm")]
    assert [len({tuple(values.items()) for values in each}) for each in by_network] == [2 * 4, 3 * 3]
    assert len(proposals) == 17


def test_a_grid_takes_the_networks_in_turn(composed: Callable[..., Job]) -> None:
    config = composed(SEVERAL, "tuner=grid", "trials=12").config
    assert [p.values["model"] for p in proposals_of(config)] == NAMES * 4
    expected = "12 trials of a grid of 86,944: only the last hyperparameters of each network will vary"
    assert oracle(config).description == expected
    assert oracle(composed(*SMALL, "tuner=grid", "trials=17").config).description == "a grid of 17"


@pytest.mark.parametrize("tuner", TUNERS)
@pytest.mark.parametrize("known", [1, 2, 7])
def test_a_replayed_search_goes_on_as_it_would_have(tuner: str, known: int, composed: Callable[..., Job]) -> None:
    config = composed(SEVERAL, f"tuner={tuner}", "trials=10").config
    proposals = proposals_of(config)
    resumed = oracle(config)
    for proposal in proposals[:known]:
        resumed.replay(proposal.trial, proposal.values)
        resumed.tell(proposal.trial, score(proposal))
    rest = []
    while (proposal := resumed.ask()) is not None:
        rest.append(proposal)
        resumed.tell(proposal.trial, score(proposal))
    assert rest == proposals[known:]


@pytest.mark.parametrize("tuner", TUNERS)
def test_failed_trials_of_one_network_leave_the_others(tuner: str, composed: Callable[..., Job]) -> None:
    proposals = proposals_of(composed(SEVERAL, f"tuner={tuner}", "trials=9").config, failing=[0, 3])
    assert {p.trial for p in proposals} == set(range(9))


def test_the_gaussian_process_finds_the_better_network(composed: Callable[..., Job]) -> None:
    proposals = proposals_of(composed(SEVERAL, "tuner=bayesian", "trials=18").config)
    assert [p.values["model"] for p in proposals[6:]].count("cnn") > 6


def test_hyperparameters_of_other_networks_do_not_move_a_point(composed: Callable[..., Job]) -> None:
    search = oracle(composed(SEVERAL, "tuner=bayesian").config)._oracle
    assert isinstance(search, BayesianOracle)
    names = [hp.name for hp in search.hyperparameters.space]
    points = np.random.default_rng(0).uniform(size=(50, len(names)))
    placed = search._as_of_trials(points)
    for point, there in zip(points, placed, strict=True):
        network = NAMES[int(point[0] * 3)]
        own = [n == "learning_rate" or n.startswith(f"{network}.") for n in names]
        assert (there[own] == point[own]).all()
        values = search._vector_to_values(there)
        assert values == search._vector_to_values(point)
        trial = type("Trial", (), {"hyperparameters": type("Hps", (), {"values": values})})
        others = [not mine and n != "model" for mine, n in zip(own, names, strict=True)]
        trials: Any = [trial]
        assert (search.points(trials)[0][others] == there[others]).all()


def test_the_bound_is_that_of_points_that_a_trial_can_have(composed: Callable[..., Job]) -> None:
    search = oracle(composed(SEVERAL, "tuner=bayesian").config)._oracle
    assert isinstance(search, BayesianOracle)
    asked: list[Any] = []

    class Process:
        def predict(self, points: Any, *, return_std: bool) -> tuple[Any, Any]:
            asked.append(points)
            return points.sum(axis=1), np.zeros(len(points))

    process: Any = Process()
    search._lowest_first(process, np.random.default_rng(0).uniform(size=(5, len(search.hyperparameters.space))))
    points = np.vstack(asked)
    assert (points == search._as_of_trials(points.copy())).all()


def test_a_network_that_cannot_be_gone_through_does_not_hide_what_is_left_of_another(
    composed: Callable[..., Job],
) -> None:
    rate = "networks.bag.space.dropout={kind: Float, min_value: 0.0, max_value: 0.3, default: 0.3}"
    search = oracle(composed(*SMALL, rate).config)._oracle
    untried = search._first_untried()
    assert untried is not None
    assert untried["model"] == "lstm"


def test_initial_points_do_not_replace_the_defaults(composed: Callable[..., Job]) -> None:
    config = composed(SEVERAL, "tuner=bayesian", "trials=9", "tuner.initial_points=1").config
    assert [p.values["model"] for p in proposals_of(config)[:3]] == NAMES


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"model": 1}, "networks.b.space.model: the choice of the network has a hyperparameter of that name too"),
        ({"learning_rate": 0.5}, "optimizer.space.learning_rate: networks.b.space has a hyperparameter of that name"),
    ],
)
def test_names_that_would_mean_two_things_are_refused(part: dict[str, Any], message: str) -> None:
    networks = {"networks.b": Buildable("b", f"{__name__}.builder", part)}
    parts = {**networks, "optimizer": Buildable("o", "models.optimizers.adam", {"learning_rate": 0.1})}
    with pytest.raises(ConfigError, match=message):
        space.read(parts)


def builder(num_words: int, maxlen: int, num_classes: int, *, model: int = 1, learning_rate: float = 0.1) -> None:
    """A builder whose keywords have the names of others."""


def test_a_network_without_a_search_is_one_configuration(composed: Callable[..., Job]) -> None:
    values = {"embedding_dim": 8, "pairs": 0, "word_dropout": 0.1, "dropout": 0.1}
    fixed = [f"networks.bag.space.{name}={value}" for name, value in values.items()]
    config = composed("model=[bag,lstm]", *fixed, "optimizer.space.learning_rate=0.01", "trials=20").config
    assert [p.values["model"] for p in proposals_of(config)].count("bag") == 1
    assert len(proposals_of(config)) == 20


def test_one_models_own_hyperparameter_may_be_named_model() -> None:
    parts = {"model": Buildable("m", f"{__name__}.builder", {"model": 3}), "datasets.d": Data(files=["d.csv"])}
    assert space.read(parts) == space.Space((), {"model": 3})
