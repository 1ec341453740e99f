"""Several networks in one sweep, from the command line to the configuration."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from conf import stored
from conf.compose import compose
from conf.schema import ConfigError, Job

SEVERAL = "model=[bag,cnn,lstm]"


def mistake(*arguments: str) -> str:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "argv", ["sweep", *arguments])
        with pytest.raises(ConfigError) as error:
            compose()
    return str(error.value)


def test_each_network_has_a_section_of_its_own_and_together_they_have_a_name(composed: Callable[..., Job]) -> None:
    several, alone = composed(SEVERAL).config, [composed(f"model={name}").config for name in ("bag", "cnn", "lstm")]
    assert several.model.name == "bag-cnn-lstm"
    assert list(several.networks.values()) == [config.model for config in alone]
    assert [*several.parts("imdb")] == ["networks.bag", "networks.cnn", "networks.lstm", "optimizer", "datasets.imdb"]
    assert several.network({"model": "cnn"}).build == "models.cnn.build"


def test_a_list_of_one_is_that_network_and_is_stored_as_it_always_was(composed: Callable[..., Job]) -> None:
    assert composed("model=[lstm]") == composed("model=lstm")
    assert "networks" not in OmegaConf.create(composed("model=lstm").yaml)


def test_the_stored_configuration_is_read_back(composed: Callable[..., Job]) -> None:
    job = composed(SEVERAL, "networks.cnn.space.filters=64")
    assert stored.parsed(job.yaml) == stored.foreign(job.yaml) == job.config
    assert stored.as_yaml(job.config) == job.yaml
    assert OmegaConf.create(job.yaml).model == {"name": "bag-cnn-lstm"}
    assert [network.name for network in stored.models(job.yaml)] == ["bag", "cnn", "lstm"]
    assert [*stored.parts(job.yaml, "imdb")] == [*job.config.parts("imdb")]


def test_a_hyperparameter_is_given_for_one_network_or_for_all(composed: Callable[..., Job]) -> None:
    config = composed(
        "model=[bag,cnn]",
        "networks.cnn.space.filters=64",
        "networks.bag.space.pairs=[0,5000]",
        "model.space.dropout=[0.1,0.5]",
        "model.space.embedding_dim=50",
        "networks.cnn.space.embedding_dim=100",  # the later one holds
    ).config
    bag, cnn = config.networks["bag"].space, config.networks["cnn"].space
    assert (cnn["filters"], bag["embedding_dim"], cnn["embedding_dim"]) == (64, 50, 100)
    assert bag["pairs"] == {"kind": "Choice", "values": [0, 5000], "default": 5000}
    assert bag["dropout"] == cnn["dropout"] == {"kind": "Choice", "values": [0.1, 0.5], "default": 0.5}


def test_an_experiment_holds_for_all_networks_and_the_command_line_above_it(composed: Callable[..., Job]) -> None:
    config = composed("experiment=smoke", "model=[bag,lstm]", "networks.bag.space.dropout.max_value=0.3").config
    assert {name: network.space["embedding_dim"]["values"] for name, network in config.networks.items()} == {
        "bag": [16, 32],
        "lstm": [16, 32],
    }
    assert [network.space["dropout"]["max_value"] for network in config.networks.values()] == [0.3, 0.2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model=[bag,bag]"], "model=[bag,bag]: bag is listed twice"),
        (["model=[bag,foo]"], "model=foo: no such option; allowed: attention, bag, bi_lstm"),
        (["model=[]"], "model=[]: must be a list of networks, e.g. model=[bag,lstm]"),
        (["model=[bag,[cnn]]"], "model=[bag,[cnn]]: must be a list of networks"),
        (["model=[bag,1]"], "model=[bag,1]: must be a list of networks"),
        (["model=[bag,${x}]"], "model=[bag,${x}]: must be a list of networks"),
        (["model=[bag,cnn]", "model=lstm"], "model=lstm: model=[bag,cnn] is given too"),
        (["+model=[bag,cnn]"], "+model=[bag,cnn]: would be merged into another option; to choose it: model=[bag,cnn]"),
        (["+model=bag"], "+model=bag: would be merged into another option; to choose it: model=bag"),
        (["optimizer=[adam,sgd]"], "optimizer=[adam,sgd]: one option only"),
        (["model=bag,cnn"], "model=bag,cnn: one value only; a list: model=[bag,cnn]"),
        (
            ["model=[bag,cnn]", "networks.lstm.space.lstm_units=50"],
            "networks.lstm.space.lstm_units: model=[bag,cnn] has no such network",
        ),
        (
            ["model=[bag,cnn]", "networks.cn.space.filters=[50]"],
            "networks.cn.space.filters: model=[bag,cnn] has no such network; did you mean 'cnn'?",
        ),
        (["model=[bag,cnn]", "networks.lstm.build=x.y"], "networks.lstm: no such key"),
        (["model=bag", "networks.bag.space.pairs=0"], "networks.bag.space.pairs=0: model= lists no such network"),
        (
            ["model=[bag,cnn]", "model.build=x.y"],
            "model.build=x.y: several networks have a builder each: networks.bag.build, networks.cnn.build",
        ),
        (
            ["model=[bag,cnn]", "networks.bag.name=cnn"],
            "networks.bag.name=cnn: another network has that name",
        ),
        (["model=[bag,cnn]", "networks.bag.name=a/b"], "networks.bag.name=a/b: must be a name"),
        (
            ["model=[bag,cnn,lstm]", "trials=2"],
            "trials=2: model=[bag,cnn,lstm] needs at least 3, one for the defaults of each network",
        ),
    ],
)
def test_what_is_no_list_of_networks_is_refused_in_one_line(arguments: list[str], message: str) -> None:
    assert mistake(*arguments).startswith(message)


def test_the_name_of_many_networks_may_be_given(composed: Callable[..., Job]) -> None:
    assert composed("model=[bag,cnn]", "model.name=quick").config.model.name == "quick"


def test_no_file_merges_networks_unseen(tmp_path: Path, composed: Callable[..., Job]) -> None:
    experiments = tmp_path / "experiment"
    experiments.mkdir()
    header = "# @package _global_\ndefaults:\n"
    (experiments / "merged.yaml").write_text(f"{header}  - override /model: [bi_lstm, lstm]\n")
    (experiments / "several.yaml").write_text(
        f"{header}  - /model@networks.bag: bag\n  - /model@networks.cnn: cnn\n  - override /model: null\n"
    )
    flag = f"--config-dir={tmp_path}"
    assert mistake(flag, "experiment=merged") == "model: Hydra would merge bi_lstm and lstm into one; one option only"
    assert mistake("-m", flag, "model=[bi_lstm,lstm],bag").startswith("model: Hydra would merge bi_lstm and lstm")
    assert composed(flag, "experiment=several").config == composed("model=[bag,cnn]").config
    assert composed(flag, "model=[bag,cnn]", "networks.cnn.space.filters=[50,100]").config.networks["cnn"].space[
        "filters"
    ] == {"kind": "Choice", "values": [50, 100], "default": 100}


def test_a_multirun_has_a_job_for_each_network_and_for_each_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["sweep", "-m", "model=[bag,cnn],lstm"])
    assert [job.config.model.name for job in compose()] == ["bag-cnn", "lstm"]


def test_a_resumed_sweep_keeps_its_networks(tmp_path: Path, composed: Callable[..., Job]) -> None:
    job = composed("model=[bag,cnn]", "networks.cnn.space.filters=50")
    (tmp_path / stored.FILE).write_text(job.yaml)
    resume = f"resume={tmp_path}"
    assert composed(resume, "trials=20").config.networks == job.config.networks
    assert composed(resume, "model=[bag,cnn]", "networks.cnn.space.filters=50").config.networks == job.config.networks
    assert "model.name=bag-lstm" in mistake(resume, "model=[bag,lstm]")
    assert "networks.cnn.space.filters=100" in mistake(resume, "model=[bag,cnn]", "networks.cnn.space.filters=100")
    assert mistake(resume, "trials=1").startswith("trials=1: model=[bag,cnn] needs at least 2")
