import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from conf import stored
from conf.schema import ConfigError, Data, Job
from tests.records import BEFORE_FORMATS

OLD = (BEFORE_FORMATS / stored.FILE).read_text()


def test_a_configuration_from_before_tuners_had_oracles_is_upgraded() -> None:
    assert "load: pipelines.data.load" in OLD
    config = stored.parsed(OLD)
    assert config.tuner == {
        "name": "hyperband",
        "oracle": "sweeps.search.hyperband.oracle",
        "ends_trials": True,
        "factor": 3,
    }
    assert config.datasets["imdb"].read == Data.read
    assert (config.trials, config.datasets["imdb"].source) == (12, "standin")
    assert config.datasets["imdb"].class_weight == "none"


def test_the_options_of_an_upgraded_tuner_are_those_it_was_stored_with() -> None:
    assert stored.parsed(OLD.replace("factor: 3", "factor: 4")).tuner["factor"] == 4


def test_a_configuration_that_is_missing_is_taken_from_the_journal(tmp_path: Path) -> None:
    shutil.copytree(BEFORE_FORMATS / "imdb", tmp_path / "imdb")
    assert stored.read(tmp_path).tuner == stored.parsed(OLD).tuner
    lines = ("7", '{"config": 7}', '{"config": "["}')
    for line in lines:
        (tmp_path / "imdb" / "journal.jsonl").write_text(f"{line}\n")
        with pytest.raises(ConfigError, match=r"config\.yaml: not a configuration|no sweep was started there"):
            stored.read(tmp_path)


def test_a_dataset_with_a_loader_of_its_own_keeps_its_name() -> None:
    config = stored.parsed(OLD.replace("load: pipelines.data.load", "load: mine.load"))
    assert config.datasets["imdb"].read == "mine.load"


def test_a_sweep_may_go_on_with_its_upgraded_configuration_and_with_no_other() -> None:
    now = stored.as_yaml(stored.parsed(OLD))
    stored.refuse_changes(Path("outputs/x"), OLD, now.replace("trials: 12", "trials: 20"))
    with pytest.raises(ConfigError, match=r"^tuner\.factor=5: outputs/x was started with tuner\.factor=3; on resume "):
        stored.refuse_changes(Path("outputs/x"), OLD, now.replace("factor: 3", "factor: 5"))
    with pytest.raises(ConfigError, match=r"^datasets\.imdb\.class_weight=balanced: outputs/x was started with "):
        stored.refuse_changes(Path("outputs/x"), OLD, now.replace("class_weight: none", "class_weight: balanced"))


def test_a_resumed_command_line_has_the_stored_configuration_and_the_keys_that_may_change(
    tmp_path: Path, composed: Callable[..., Job]
) -> None:
    shutil.copy(BEFORE_FORMATS / stored.FILE, tmp_path)
    config = composed(f"resume={tmp_path}", "trials=15", "tuner=hyperband").config
    assert (config.trials, config.epochs, config.tuner["name"], config.model.name) == (15, 9, "hyperband", "conv_lstm")
    for argument in ("tuner=random", "epochs=3", "tuner.factor=4", "data=reuters", "experiment=article_imdb"):
        with pytest.raises(ConfigError, match="on resume only trials, minutes, target, references, order, engine, tra"):
            composed(f"resume={tmp_path}", argument)


NESTED = f"tuner: {'[' * 400}1{']' * 400}"  # deeper than its reader goes


@pytest.mark.parametrize("text", ["a: [", "[]", "x: 1", "datasets: i", "datasets: {imdb: 3}", "tuner: []", NESTED])
def test_a_damaged_configuration_is_named(text: str, tmp_path: Path, composed: Callable[..., Job]) -> None:
    (tmp_path / stored.FILE).write_text(text)
    with pytest.raises(ConfigError, match=f"{stored.FILE}: not a configuration"):
        composed(f"resume={tmp_path}")


def test_the_parts_of_a_recorded_configuration_are_read_whatever_else_it_holds() -> None:
    parts = stored.parts(OLD + "key_of_the_future: 3\n", "imdb")
    assert [model.build for model in stored.models(OLD)] == ["models.conv_lstm.build"]
    assert list(parts) == ["model", "optimizer", "datasets.imdb"]
    assert isinstance(parts["model"].space["lstm_units"], dict)
    assert parts["model"].space["kernel_size"] == 5
    assert parts["datasets.imdb"].space == {}


@pytest.mark.parametrize("argument", ["epochs=3", "model=lstm", "model.space.dropout=0.1", "seed=4", "engine=cluster"])
def test_a_repeated_trial_takes_no_other_settings(argument: str) -> None:
    stored.refuse_changes_of_a_trial(["reproduce=x", "tracking.uri=y", "engine.threads=2", "datasets.imdb.archive=/a"])
    stored.refuse_changes_of_a_trial(["engine.memory=4GiB", "engine.workers=1", "engine=local"])
    with pytest.raises(
        ConfigError, match=r"^engine\.workers=2: reproduce= trains one trial, on one worker; allowed: 1$"
    ):
        stored.refuse_changes_of_a_trial(["reproduce=x", "engine.workers=2"])
    with pytest.raises(ConfigError, match=f"{argument}: reproduce= trains what the run recorded"):
        stored.refuse_changes_of_a_trial(["reproduce=x", argument])


def test_what_a_registered_model_needs_may_be_given_when_a_sweep_goes_on(
    tmp_path: Path, composed: Callable[..., Job]
) -> None:
    shutil.copy(BEFORE_FORMATS / stored.FILE, tmp_path)
    (dataset,) = stored.read(tmp_path).datasets
    text = f"datasets.{dataset}.text"
    given = composed(f"resume={tmp_path}", f"{text}.words={tmp_path}/w.json", f"{text}.labels=[bad,good]")
    now = given.config.datasets[dataset].text
    assert (now.words, now.labels) == (f"{tmp_path}/w.json", ["bad", "good"])
    before = (tmp_path / stored.FILE).read_text()
    stored.refuse_changes(tmp_path, before, given.yaml)  # the sweep is still the same one
    with pytest.raises(ConfigError, match=rf"^{text.replace('.', '[.]')}\.columns=\['a'\]: .* was started with "):
        composed(f"resume={tmp_path}", f"{text}.columns=[a]")
    with pytest.raises(ConfigError, match=r"datasets\.reuters\.text\.words=\S*w\.json: .* was started with "):
        composed(f"resume={tmp_path}", "datasets.reuters.text.words=w.json")


def test_only_the_texts_of_a_configurations_own_datasets_are_given(composed: Callable[..., Job]) -> None:
    config = composed("data=imdb", "model=lstm").config
    overrides = ["datasets.imdb.text.words=a=1.json", "datasets.imdb.text.labels=[bad,good]", "datasets.x.text.words=b"]
    changed = stored.with_serving(config, overrides)
    assert (changed.datasets["imdb"].text.words, changed.datasets["imdb"].text.labels) == ("a=1.json", ["bad", "good"])
    assert list(changed.datasets) == ["imdb"]
    with pytest.raises(ConfigError, match=r"^datasets\.imdb\.text\.labels=a: 1 different names"):
        stored.with_serving(config, ["datasets.imdb.text.labels=[a]"])
    with pytest.raises(ConfigError, match=r"^datasets\.imdb\.text\.labels=\{: "):
        stored.with_serving(config, ["datasets.imdb.text.labels={"])
