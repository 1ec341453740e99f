import gc
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from conf.arguments import GROUPS
from conf.compose import compose
from conf.compose import job as check
from conf.schema import Config, ConfigError, Job
from tests.conftest import ROOT
from tests.typed import typed

EXPERIMENTS = sorted(path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml"))
UNITS = {"kind": "Int", "min_value": 20, "max_value": 200, "step": 20, "default": 100}


@pytest.fixture(autouse=True, scope="module")
def few_objects_to_collect() -> Iterator[None]:
    """Hydra makes so many objects that the collector would go through all of TensorFlow's again and again."""
    gc.freeze()
    yield
    gc.unfreeze()


def jobs(*arguments: str) -> list[Job]:
    """The jobs that a command line asks for."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "argv", ["sweep", *arguments])
        return compose()


def mistake(*arguments: str) -> str:
    """The message for a wrong command line."""
    with pytest.raises(ConfigError) as error:
        jobs(*arguments)
    return str(error.value)


def test_every_job_of_a_multirun_is_checked_before_the_first_is_returned() -> None:
    assert mistake("-m", "model=lstm", "trials=1,0") == "trials=0: must be at least 1"


@pytest.fixture(scope="module")
def plain() -> DictConfig:
    """The configuration of an empty command line, to be changed without composing anew."""
    (job,) = jobs()
    read = OmegaConf.merge(OmegaConf.structured(Config), OmegaConf.create(job.yaml))
    assert isinstance(read, DictConfig)
    return read


@given(
    trials=st.integers(-2, 2) | st.integers(),
    seed=st.sampled_from([0, 1, 2**31 - 1, 2**31]) | st.integers(-(2**40), 2**40),
)
def test_trials_and_seeds_are_taken_exactly_where_they_are_in_range(plain: DictConfig, trials: int, seed: int) -> None:
    configuration = OmegaConf.merge(plain, {"trials": trials, "seed": seed})
    assert isinstance(configuration, DictConfig)
    if trials >= 1 and 1 <= seed < 2**31:
        config = check(configuration).config
        assert (config.trials, config.seed) == (trials, seed)
    else:
        wrong = f"trials={trials}" if trials < 1 else f"seed={seed}"
        with pytest.raises(ConfigError, match=f"^{wrong}: must be at least 1"):
            check(configuration)


@settings(max_examples=10)
@given(typed.filter(lambda text: text.strip() not in ("lstm", "conv_lstm")))
def test_no_text_as_an_option_gives_anything_but_one_line(option: str) -> None:
    assert len(mistake(f"model={option}").splitlines()) == 1


KNOWN = {*OmegaConf.structured(Config), *GROUPS, "hydra"}
unknown = st.from_regex(r"[a-z_]{1,12}(\.[a-z_]{1,12}){0,2}", fullmatch=True).filter(
    lambda key: key.partition(".")[0] not in KNOWN
)


@settings(max_examples=8)
@given(unknown, st.integers())
def test_an_unknown_key_is_named(key: str, value: int) -> None:
    message = mistake(f"{key}={value}")
    assert len(message.splitlines()) == 1
    assert message.startswith(f"{key.partition('.')[0]}: no such key")


def test_a_key_of_a_dataset_alone_is_given_the_datasets_name() -> None:
    Path("messages.csv").write_text("message,topic\nhello,a\n")
    assert mistake("data=messages.csv", "label=topic").endswith("; of a dataset: datasets.messages.label")
    assert mistake("label=topic").endswith("; of a dataset: datasets.<name>.label")


def test_without_arguments_both_datasets_are_searched(composed: Callable[..., Job]) -> None:
    config = composed().config
    assert list(config.datasets) == ["reuters", "imdb"]
    assert (config.model.name, config.tuner["name"], config.objective) == ("conv_lstm", "random", "val/accuracy")


@pytest.mark.parametrize(
    ("option", "datasets"),
    [("imdb", ["imdb"]), ("[reuters]", ["reuters"]), ("[imdb,reuters]", ["imdb", "reuters"])],
)
def test_data_names_the_datasets(option: str, datasets: list[str], composed: Callable[..., Job]) -> None:
    config = composed(f"data={option}").config
    assert list(config.datasets) == datasets
    assert {name: data.num_classes for name, data in config.datasets.items()}.items() <= {
        "imdb": 2,
        "reuters": 46,
    }.items()


def test_a_multirun_is_a_job_for_each_combination() -> None:
    pairs = [(job.config.model.name, job.config.seed) for job in jobs("-m", "model=lstm,conv_lstm", "seed=3,4")]
    assert pairs == [("lstm", 3), ("lstm", 4), ("conv_lstm", 3), ("conv_lstm", 4)]


def test_every_job_of_a_multirun_has_its_own_space() -> None:
    spaces = [job.config.model.space for job in jobs("-m", "model=lstm,conv_lstm", "model.space.lstm_units=128")]
    assert ["conv_filters" in space for space in spaces] == [False, True]
    assert [space["lstm_units"] for space in spaces] == [128, 128]


DROPOUT = {"kind": "Choice", "values": [0.1, 0.2], "default": 0.1}


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("model.space.lstm_units=128", {"lstm_units": 128}),
        ("model.space.lstm_units.max_value=300", {"lstm_units": {**UNITS, "max_value": 300}}),
        ("model.space.lstm_units={max_value: 300}", {"lstm_units": {**UNITS, "max_value": 300}}),
        ("model.space.dropout={kind: Choice, values: [0.1, 0.2], default: 0.1}", {"dropout": DROPOUT}),
        ("++model.space.dropout={kind: Choice, values: [0.1, 0.2], default: 0.1}", {"dropout": DROPOUT}),
    ],
)
def test_an_override_changes_its_hyperparameter_and_no_other(
    override: str, changed: dict[str, Any], composed: Callable[..., Job]
) -> None:
    before = composed("model=lstm").config
    after = composed("model=lstm", override).config
    assert before.model.space["lstm_units"] == UNITS
    assert after.model.space == {**before.model.space, **changed}
    assert after.optimizer == before.optimizer


@pytest.mark.parametrize(("later", "expected"), [("lstm_units.max_value=50", 50), ("lstm_units=5", 5)])
def test_of_two_overrides_of_a_hyperparameter_the_later_holds(
    later: str, expected: int, composed: Callable[..., Job]
) -> None:
    whole = "model.space.lstm_units={kind: Int, min_value: 1, max_value: 100, default: 20}"
    entry = composed(whole, f"model.space.{later}").config.model.space["lstm_units"]
    assert (entry["max_value"] if isinstance(entry, dict) else entry) == expected
    assert composed(f"model.space.{later}", whole).config.model.space["lstm_units"]["max_value"] == 100


@pytest.mark.parametrize(
    ("overrides", "units"),
    [
        (["lstm_units=[32,100]"], {"kind": "Choice", "values": [32, 100], "default": 100}),
        (["lstm_units=[32,100]", "lstm_units.default=32"], {"kind": "Choice", "values": [32, 100], "default": 32}),
        (["lstm_units=32", "lstm_units=[32,64]"], {"kind": "Choice", "values": [32, 64], "default": 32}),
    ],
)
def test_a_list_is_a_choice_with_the_default_that_is_there(
    overrides: list[str], units: dict[str, Any], composed: Callable[..., Job]
) -> None:
    config = composed("model=lstm", *(f"model.space.{override}" for override in overrides)).config
    assert config.model.space["lstm_units"] == units
    assert config.model.space["dropout"] == composed("model=lstm").config.model.space["dropout"]


def test_lists_of_a_multirun_are_a_choice_in_each_job() -> None:
    several = jobs("-m", "model=lstm", "model.space.lstm_units=[32,100],[100,7]")
    assert [job.config.model.space["lstm_units"]["values"] for job in several] == [[32, 100], [100, 7]]


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (
            "model.space.lstm_units=[32,64]",
            "model.space.lstm_units=[32,64]: the default is 100, which is not in the list; with another default: "
            "'model.space.lstm_units={kind: Choice, values: [32,64], default: 32}'",
        ),
        (
            "model.space.embedding_dim.values={a: 1}",
            "model.space.embedding_dim.values={a: 1}: a list and a mapping cannot be merged; a choice is written ",
        ),
        (
            "model.space=[1]",
            "model.space=[1]: a list and a mapping cannot be merged; a choice is written {kind: Choice",
        ),
        (
            "model.space.lstm_units=32,64",
            "model.space.lstm_units=32,64: one value only; a list: model.space.lstm_units=[",
        ),
        ("model.space.lstm_units@x=3", "Override model.space.lstm_units@x=3 looks like a config group override"),
        ("~model.space.nothing", "Could not delete from config. 'model.space.nothing' does not exist."),
    ],
)
def test_an_override_of_another_kind_is_named(argument: str, message: str) -> None:
    assert mistake("model=lstm", argument).startswith(message)


@pytest.mark.parametrize("prefix", ["", "+", "++"])
def test_a_hyperparameter_is_overridden_with_any_of_hydras_prefixes(prefix: str, composed: Callable[..., Job]) -> None:
    assert composed("model=lstm", f"{prefix}model.space.lstm_units=7").config.model.space["lstm_units"] == 7


def test_a_multirun_leaves_nothing_behind() -> None:
    assert len(jobs("-m", "model=lstm,conv_lstm")) == 2
    assert list(Path().iterdir()) == []


def test_a_space_of_the_optimizer_is_overridden_the_same_way(composed: Callable[..., Job]) -> None:
    rate = {"kind": "Choice", "values": [0.1, 0.01], "default": 0.1}
    config = composed("optimizer.space.learning_rate={kind: Choice, values: [0.1, 0.01], default: 0.1}").config
    assert config.optimizer.space["learning_rate"] == rate


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_composes_and_still_takes_overrides(experiment: str, composed: Callable[..., Job]) -> None:
    config = composed(f"experiment={experiment}", "trials=77").config
    plain = composed(f"data=[{','.join(config.datasets)}]", f"model={config.model.name}").config
    assert config.trials == 77
    assert config.model.space != plain.model.space
    assert config.model.space.keys() == plain.model.space.keys()


@pytest.mark.parametrize("name", [name for name in EXPERIMENTS if name.startswith("article_")])
def test_the_articles_own_runs_search_nothing(name: str, composed: Callable[..., Job]) -> None:
    config = composed(f"experiment={name}").config
    entries = {**config.model.space, **config.optimizer.space}
    assert [key for key, entry in entries.items() if isinstance(entry, dict)] == []
    assert (config.trials, config.stopping.name) == (1, "none")
    assert [data.validation for data in config.datasets.values()] == ["test"]


@pytest.mark.parametrize(
    "line",
    [
        (),
        ("data=imdb", "model=lstm", "trials=5", "model.space.lstm_units.max_value=300", "epochs=${trials}"),
        ("model.space.dropout={kind: Choice, values: [0.1, 0.2], default: 0.1}", "tuner=bayesian", "optimizer=sgd"),
        ("engine=cluster", "engine.scheduler=tcp://host:8786", "tracking.experiment=null"),
        ("experiment=article_imdb",),
    ],
)
def test_the_yaml_of_a_job_reproduces_it(line: tuple[str, ...], composed: Callable[..., Job]) -> None:
    job = composed(*line)
    read = OmegaConf.merge(OmegaConf.structured(Config), OmegaConf.create(job.yaml))
    assert OmegaConf.to_object(read) == job.config
    assert "${" not in job.yaml


@pytest.mark.parametrize("arguments", [("--cfg", "job", "trials=5"), ("trials=5", "--cfg", "job")])
def test_cfg_job_prints_the_configuration_and_composes_no_job(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str], composed: Callable[..., Job]
) -> None:
    assert jobs(*arguments) == []
    stored = OmegaConf.create(composed("trials=5").yaml)
    assert OmegaConf.create(capsys.readouterr().out) == OmegaConf.merge(stored, {"networks": {}})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tuner.name=bayesian",), "tuner.name=bayesian: would only rename the tuner; to choose one: tuner=bayesian"),
        (("tuner.oracle=3",), "tuner.oracle=3: must be a name"),
        (("tuner.ends_trials=maybe",), "tuner.ends_trials=maybe: must be true or false"),
        (("~tuner",), "tuner.name=None: must be a name"),
    ],
)
def test_the_keys_of_every_tuner_are_checked(arguments: tuple[str, ...], message: str) -> None:
    assert mistake(*arguments) == message


def test_a_configuration_in_a_folder_of_the_users_own_is_composed(tmp_path: Path) -> None:
    (tmp_path / "own" / "experiment").mkdir(parents=True)
    experiment = "# @package _global_\ndefaults:\n  - override /model: lstm\n\ntrials: 3\n"
    (tmp_path / "own" / "experiment" / "mine.yaml").write_text(experiment)
    (job,) = jobs(f"--config-dir={tmp_path / 'own'}", "experiment=mine", "epochs=7")
    assert (job.config.model.name, job.config.trials, job.config.epochs) == ("lstm", 3, 7)


def test_flags_leave_the_logging_of_the_process_as_it_is(tmp_path: Path) -> None:
    handler = logging.FileHandler(tmp_path / "log")
    (job,) = jobs("model=lstm")
    (tmp_path / "config.yaml").write_text(job.yaml)
    jobs("--config-path", str(tmp_path), "--config-name", "config")
    assert handler.stream is not None
    handler.close()


@pytest.mark.parametrize("flag", [["--config-dir={}"], ["--config-dir", "{}"], ["-cd", "{}"]])
def test_a_flag_may_stand_anywhere_among_the_overrides(flag: list[str], tmp_path: Path) -> None:
    own = [part.format(tmp_path) for part in flag]
    listed = "model.space.lstm_units=[50,100]"
    for line in (["model=lstm", *own, "epochs=7", listed], [listed, "model=lstm", "epochs=7", *own]):
        (job,) = jobs(*line)
        assert job.config.epochs == 7
        assert job.config.model.space["lstm_units"] == {"kind": "Choice", "values": [50, 100], "default": 100}


@pytest.mark.parametrize("flags", [["-m"], ["--cfg", "job"]])
def test_a_list_with_a_flag_that_cannot_take_it_is_refused(flags: list[str], tmp_path: Path) -> None:
    message = mistake(f"--config-dir={tmp_path}", "model=lstm", *flags, "model.space.lstm_units=[50,100]")
    assert "a choice is written {kind: Choice, values: [1, 2], default: 1}" in message


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("model.space=3", "model.space=3: must be a mapping, {key: value}"),
        ("tracking=x", "tracking=x: must be a mapping, {key: value}"),
        ("tracking=null", "tracking=null: must have a value, not null"),
        ("~model.space", "model.space: must be there; to change it, give its keys other values"),
    ],
)
def test_a_value_that_the_place_of_a_mapping_cannot_hold_is_refused_in_our_words(argument: str, message: str) -> None:
    assert mistake("model=lstm", argument) == message


def test_a_listed_setting_of_a_dataset_is_a_choice_whose_default_is_the_setting(composed: Callable[..., Job]) -> None:
    line = ("datasets.imdb.space.maxlen=[100,200]", "datasets.imdb.maxlen=200", "datasets.imdb.space.keep=[last,both]")
    data = composed("data=imdb", *line).config.datasets["imdb"]
    assert data.space == {
        "maxlen": {"kind": "Choice", "values": [100, 200], "default": 200},
        "keep": {"kind": "Choice", "values": ["last", "both"], "default": "last"},
    }


def test_a_range_of_a_setting_has_the_setting_as_its_default(composed: Callable[..., Job]) -> None:
    entry = "{kind: Int, min_value: 50, max_value: 400}"
    data = composed("data=imdb", f"datasets.imdb.space.maxlen={entry}").config.datasets["imdb"]
    assert data.space == {"maxlen": {"kind": "Int", "min_value": 50, "max_value": 400, "default": 100}}


def test_a_fixed_entry_of_a_dataset_is_the_setting_itself(composed: Callable[..., Job]) -> None:
    line = "data=imdb", "datasets.imdb.space.maxlen=[100,200]", "datasets.imdb.space.maxlen=200"
    job = composed(*line)
    data = job.config.datasets["imdb"]
    assert (data.maxlen, data.space) == (200, {})
    assert job == composed("data=imdb", "datasets.imdb.maxlen=200")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (
            "datasets.imdb.space.maxlen=[200,400]",
            "datasets.imdb.space.maxlen=[200,400]: the default is 100, which is not in the list; "
            "with another default: datasets.imdb.maxlen=200",
        ),
        (
            "datasets.imbd.space.maxlen=[100,200]",
            "datasets.imbd.space.maxlen=[100, 200]: data= names no such dataset; did you mean 'imdb'?",
        ),
        ("datasets.imbd.space.maxlen=100", "datasets.imbd.space.maxlen=100: data= names no such dataset"),
        ("datasets.imdb.space=3", "datasets.imdb.space=3: must be a mapping, {key: value}"),
        ("datasets.imdb.space.maxlen=long", "datasets.imdb.maxlen: 'long' is not a whole number"),
        ("datasets.imdb.space.tokens=bpe", "datasets.imdb.tokens=bpe: a dataset without files does not take it"),
    ],
)
def test_a_setting_that_cannot_be_searched_is_named(argument: str, message: str) -> None:
    assert mistake("data=imdb", argument).startswith(message)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("engine=slurm engine.workers=2", "engine.workers=2: engine=slurm does not take it"),
        ("engine=slurm engine.min=9", "engine.min=9: must be at most engine.max=8"),
        ("engine=slurm engine.memory=null", "engine.memory=null: engine=slurm asks for memory"),
        ("engine=slurm engine.walltime=4h", "engine.walltime=4h: must be a time of SLURM's"),
        ("engine=slurm engine.partition=a;b", "engine.partition=a;b: must be a name"),
        ("engine=slurm engine.gpus=2", "engine.gpus=2: must be at least 0 and at most 1"),
        ("engine=kubernetes", "engine.image=null: must be the image that workers run"),
        ("engine=kubernetes engine.image=x engine.account=y", "engine.account=y: engine=kubernetes does not take it"),
        ("engine.max=4", "engine.max=4: engine=local does not take it"),
    ],
)
def test_a_key_of_an_engine_out_of_place_or_range_is_named(line: str, message: str) -> None:
    assert mistake(*line.split()).startswith(message)


def test_times_of_slurm_are_taken_as_they_are_written(composed: Callable[..., Job]) -> None:
    for time in ("04:00:00", "1-12:00:00", "30"):
        assert composed("engine=slurm", f"engine.walltime={time}").config.engine.walltime == time
    assert composed("engine=slurm").config.engine.walltime == "04:00:00"
