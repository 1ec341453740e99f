"""Configurations of the user's own, which are tried after the defaults."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from conf.schema import ConfigError, Job
from sweeps.search import given, space
from sweeps.search.oracle import Oracle
from sweeps.session import checks
from tests.fakes import plan
from tests.searches import oracle, proposals_of

OF_LSTM = "model=lstm", "first=[{lstm_units: 60, dropout: 0.3}, {embedding_dim: 50}]"
OF_SEVERAL = "first=[{model: lstm, lstm_units: 60}, {dropout: 0.3}]"  # the second is of the baseline's network


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("tuner", ["random", "bayesian", "hyperband"])
def test_they_follow_the_baseline_with_the_defaults_of_what_they_do_not_name(
    tuner: str, workers: int, composed: Callable[..., Job]
) -> None:
    config = composed(*OF_LSTM, f"tuner={tuner}", "trials=8").config
    defaults = space.read(config.parts("imdb")).defaults()
    proposals = proposals_of(config, workers)
    assert [each.values for each in proposals[:3]] == [
        defaults,
        {**defaults, "lstm_units": 60, "dropout": 0.3},
        {**defaults, "embedding_dim": 50},
    ]
    assert all(each.epochs == config.epochs for each in proposals[:3])
    assert len({tuple(each.values.items()) for each in proposals}) == 8


def test_one_of_several_networks_is_named_by_the_hyperparameter_that_chooses_it(composed: Callable[..., Job]) -> None:
    config = composed("model=[bag,lstm]", OF_SEVERAL, "trials=4").config
    networks = space.read(config.parts("imdb")).networks
    assert [each.values for each in proposals_of(config, score=lambda _: 0.5)] == [
        networks["bag"].defaults(),
        networks["lstm"].defaults(),
        {**networks["lstm"].defaults(), "lstm_units": 60},
        {**networks["bag"].defaults(), "dropout": 0.3},
    ]


def test_a_sweep_that_goes_on_replays_them(composed: Callable[..., Job]) -> None:
    config = composed(*OF_LSTM, "tuner=bayesian", "trials=6").config
    proposals = proposals_of(config)
    again = oracle(config)
    for each in proposals[:4]:
        again.replay(each.trial, each.values)
        again.tell(each.trial, 0.5)
    assert again.ask() is not None


def test_they_decide_a_sweep_and_none_leave_it_as_it_was_recorded(composed: Callable[..., Job]) -> None:
    job = composed()
    without = plan(job).fingerprint()
    assert plan(job._replace(config=replace(job.config, first=[]))).fingerprint() == without
    assert plan(composed("first=[{lstm_units: 80}]")).fingerprint() != without


def test_the_description_counts_them(composed: Callable[..., Job]) -> None:
    config = composed(*OF_LSTM).config
    searched = space.read(config.parts("imdb"))
    assert Oracle(config, searched).description == "12 trials; after the defaults 2 of first="


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["first=[{lstm_units: 500}]"], "first[0].lstm_units=500: must lie between 20 and 200, which are searched"),
        (["first=[{lstm_units: 60.5}]"], "first[0].lstm_units=60.5: must be an integer"),
        (["first=[{lstm_units: many}]"], "first[0].lstm_units=many: must be an integer"),
        (["first=[{dropout: true}]"], "first[0].dropout=True: must be a number"),
        (
            ["first=[{lstm_unit: 60}]"],
            "first[0].lstm_unit=60: searched: embedding_dim, lstm_units, dropout, learning_rate; "
            "did you mean 'lstm_units'?",
        ),
        (
            ["first=[{dropout: 0.3}]", "model.space.dropout=0.5"],
            "first[0].dropout=0.3: it is fixed at 0.5; searched: embedding_dim, lstm_units, learning_rate",
        ),
        (
            ["first=[{embedding_dim: 70}]", "model.space.embedding_dim=[50,100]"],
            "first[0].embedding_dim=70: must be one of [50, 100]",
        ),
        (["first=[{}]"], "first[0]: is the same as the defaults, which are tried anyway"),
        (
            ["first=[{lstm_units: 60}, {dropout: 0.3}, {lstm_units: 60}]"],
            "first[2]: is the same as first[0]",
        ),
        (
            ["first=[{lstm_units: 60}]", "trials=1"],
            "trials=1: must be at least 2, as first= has 1 and the baseline comes before",
        ),
        (
            ["model=[bag,lstm]", "first=[{dropout: 0.3}]", "trials=2"],
            "trials=2: must be at least 3, as first= has 1 and each network's defaults come before",
        ),
        (["model=[bag,lstm]", "first=[{model: gru}]"], "first[0].model=gru: allowed: bag, lstm"),
        (["model=[bag,lstm]", "first=[{lstm_units: 60}]"], "first[0].lstm_units=60: searched: "),
    ],
)
def test_what_is_outside_of_the_space_is_named(
    arguments: list[str], expected: str, composed: Callable[..., Job]
) -> None:
    network = () if arguments[0].startswith("model=") else ("model=lstm",)
    config = composed("data=imdb", *network, *arguments).config
    with pytest.raises(ConfigError) as error:
        checks.check(config)
    assert str(error.value).startswith(expected)


def test_a_value_between_the_steps_of_a_range_is_taken(composed: Callable[..., Job]) -> None:
    config = composed("first=[{dropout: 0.25}, {lstm_units: 77}]", "trials=5", "tuner=bayesian").config
    assert [each.values["dropout"] for each in proposals_of(config)][1] == 0.25
    searched = space.read(config.parts("imdb"))
    assert [each["lstm_units"] for each in given.values(config.first, searched)] == [
        searched.defaults()["lstm_units"],
        77,
    ]


def test_a_grid_does_not_take_them(composed: Callable[..., Job]) -> None:
    with pytest.raises(ConfigError, match="tuner=grid takes the values in their order"):
        oracle(composed("tuner=grid", "first=[{lstm_units: 60}]").config)
