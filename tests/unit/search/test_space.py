import inspect
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from importlib import import_module
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from conf.schema import Buildable, ConfigError, Data, Job
from sweeps.search import space
from tests.conftest import ROOT

OPTIMIZER = Buildable("adam", "models.optimizers.adam", {"learning_rate": 0.001})
INT = {"kind": "Int", "min_value": 8, "max_value": 32, "default": 16}
MODELS = sorted(path.stem for path in (ROOT / "conf" / "model").glob("*.yaml"))
OPTIMIZERS = sorted(path.stem for path in (ROOT / "conf" / "optimizer").glob("*.yaml"))


def lstm(**entries: Any) -> Buildable:
    return Buildable("lstm", "models.lstm.build", {"embedding_dim": 8, "lstm_units": 8, "dropout": 0.1, **entries})


def wide(*, width: float) -> None:
    """A builder whose keyword takes any number."""


WIDE = Buildable("wide", f"{__name__}.wide", {"width": 8})


def choice_entries() -> st.SearchStrategy[dict[str, Any]]:
    numbers = st.integers(1, 10**6) | st.floats(0.001, 1e6).map(lambda v: float(f"{v:.6g}"))
    return st.lists(numbers, min_size=1, max_size=6, unique=True).flatmap(
        lambda values: st.fixed_dictionaries(
            {"kind": st.just("Choice"), "values": st.just(values), "default": st.sampled_from(values)}
        )
    )


@st.composite
def range_entries(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["Int", "Float"]))
    steps, step = draw(st.integers(1, 20)), draw(st.integers(1, 50))
    low = draw(st.integers(1, 100))
    scale = 1 if kind == "Int" else 0.1
    entry = {"kind": kind, "min_value": low * scale, "max_value": (low + steps * step) * scale, "step": step * scale}
    return {**entry, "default": entry["min_value"]}


@given(st.one_of(choice_entries(), range_entries()))
@example({"kind": "Float", "min_value": 0.0, "max_value": 0.7, "step": 0.1, "default": 0.5})  # 0.7 // 0.1 is 6
def test_keras_tuner_proposes_every_value_of_an_entry_and_no_other(entry: dict[str, Any]) -> None:
    read = space.read({"model": replace(WIDE, space={"width": entry}), "optimizer": OPTIMIZER})
    (hp,) = read.hyperparameters().space
    tried = {read.complete({"width": hp.random_sample(seed)})["width"] for seed in range(400)}
    if entry["kind"] == "Choice":
        expected = {float(f"{v:.6g}") for v in entry["values"]}
    else:
        count = round((entry["max_value"] - entry["min_value"]) / entry["step"])
        expected = {float(f"{entry['min_value'] + i * entry['step']:.6g}") for i in range(count + 1)}
    assert {float(v) for v in tried} == expected
    small, default, large = (float(v["width"]) for v in (read.smallest(), read.defaults(), read.largest()))
    assert (small, large) == (min(expected), max(expected))
    assert small <= default <= large


def test_scalars_are_fixed_and_rounded() -> None:
    read = space.read({"model": lstm(dropout=0.123456789, lstm_units=17), "optimizer": OPTIMIZER})
    assert read.searched == ()
    assert read.defaults() == {"embedding_dim": 8, "lstm_units": 17, "dropout": 0.123457, "learning_rate": 0.001}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_configured_builder_takes_its_space(model: str, optimizer: str, composed: Callable[..., Job]) -> None:
    config = composed(f"model={model}", f"optimizer={optimizer}").config
    read = space.read(config.parts("imdb"))
    for part, section in ((config.model, "model"), (config.optimizer, "optimizer")):
        module, _, name = part.build.rpartition(".")
        parameters = inspect.signature(getattr(import_module(module), name)).parameters
        assert set(parameters) == {*part.space, *space.GIVEN_KEYWORDS[section]}
    assert {hp.name for hp in read.searched} >= {"dropout", "embedding_dim", "learning_rate"}


def test_every_model_and_optimizer_is_tested() -> None:
    assert {"lstm", "conv_lstm"} <= set(MODELS)
    assert {"adam", "rmsprop", "sgd"} <= set(OPTIMIZERS)


@pytest.mark.parametrize("model", ["lstm", "conv_lstm"])
def test_a_configuration_from_before_there_were_options_is_read(model: str, composed: Callable[..., Job]) -> None:
    parts = composed(f"model={model}").config.parts("imdb")
    options = ("spatial_dropout", "padding", "pooling", "weight_decay", "global_clipnorm", "schedule", "warmup")
    before = {section: replace(part, space=without(part.space, options)) for section, part in parts.items()}
    assert space.read(before).defaults() == without(space.read(parts).defaults(), options)
    for part in parts.values():
        if isinstance(part, Buildable):
            module, _, name = part.build.rpartition(".")
            parameters = inspect.signature(getattr(import_module(module), name)).parameters
            taken = {option: part.space[option] for option in options if option in part.space}
            assert {option: parameters[option].default for option in taken} == taken


def without(values: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def test_a_recorded_space_is_read_without_its_builders() -> None:
    rate = {"kind": "Float", "min_value": 0.001, "max_value": 1, "sampling": "log", "default": 0.01, "step": None}
    model = Buildable("gone", "gone.build", {"depth": 3, "units": INT})
    optimizer = Buildable("gone", "gone.optimizer", {"learning_rate": rate})
    searched = space.recorded({"model": model, "optimizer": optimizer})
    assert [(hp.key, hp.name, hp.kind, hp.default) for hp in searched] == [
        ("model.space.units", "units", "Int", 16),
        ("optimizer.space.learning_rate", "learning_rate", "Float", 0.01),
    ]
    assert searched[1].bounds == (0.001, 1.0)
    assert searched[1].logarithmic


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({**INT, "kind": "int"}, ".kind=int: allowed: Choice, Int, Float, Boolean; did you"),
        ({**INT, "mn_value": 3}, ".mn_value: Int takes min_value, max_value, step"),
        ({**INT, "default": None}, ".default: missing"),
        ({**INT, "max_value": 8}, ".max_value=8: must be greater than min_value=8"),
        ({**INT, "default": 64}, ".default=64: must lie between min_value=8 and max_value=32"),
        ({**INT, "min_value": 0.5}, ".min_value=0.5: must be an integer"),
        ({**INT, "step": 0}, ".step=0: must be greater than 0"),
        ({**INT, "sampling": "log", "step": 1}, ".step=1: must be greater than 1"),
        ({**INT, "sampling": "exp"}, ".sampling=exp: allowed: linear, log, reverse_log"),
        ({**INT, "min_value": 0, "sampling": "log"}, ".min_value=0: must be greater than 0"),
        ({"kind": "Choice", "values": [], "default": 1}, ".values=[]: must be a list"),
        ({"kind": "Choice", "values": [1, "a"], "default": 1}, ".values=[1, 'a']: must be all numbers or all names"),
        ({"kind": "Choice", "values": [1, 1], "default": 1}, ".values=[1, 1]: must differ from each other"),
        ({"kind": "Choice", "values": [1, 2], "default": 3}, ".default=3: must be one of [1, 2]"),
        ({"kind": "Boolean", "default": 1}, ".default=1: must be true or false"),
        (
            [1, 2],
            "=[1, 2]: must be a number or a name (fixed) or a mapping (searched), {kind: Choice, values: [1, 2], d",
        ),
        (None, "=None: must be a number"),
        (math.nan, "=nan: must be finite"),
        (-3, "=-3: must be an integer of at least 1"),
        ({**INT, "min_value": 0}, ".min_value=0: must be an integer of at least 1"),
        ({"kind": "Choice", "values": [1, -1], "default": 1}, ".values=-1: must be an integer of at least 1"),
    ],
)
def test_a_wrong_entry_is_named(entry: Any, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        space.read({"model": lstm(lstm_units=entry), "optimizer": OPTIMIZER})
    assert str(error.value).startswith(f"model.space.lstm_units{message}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("model", "optimizer", "message"),
    [
        (
            lstm(learning_rate=0.01),
            OPTIMIZER,
            "given 0.01; did you mean optimizer.space.learning_rate?",
        ),
        (lstm(lstm_unit=3), OPTIMIZER, "model.space.lstm_unit: models.lstm.build takes embedding_dim, lstm_units"),
        (lstm(num_words=3), OPTIMIZER, "model.space.num_words: models.lstm.build takes"),
        (Buildable("m", "models.lstm.build", {"dropout": 0.1}), OPTIMIZER, "model.space.embedding_dim: missing"),
        (Buildable("m", "models.lstn.build"), OPTIMIZER, "model.build=models.lstn.build: there is no module"),
        (Buildable("m", "models.lstm.bild"), OPTIMIZER, "has no function 'bild'; did you mean 'build'?"),
        (lstm(), Buildable("o", "models.optimizers.adam", {"learning_rate": 0.1, "beta": 1}), "optimizer.space.beta"),
        (WIDE, WIDE, "optimizer.space.width: model.space has a hyperparameter of that name too"),
    ],
)
def test_a_space_that_the_builder_does_not_take_is_named(model: Buildable, optimizer: Buildable, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        space.read({"model": model, "optimizer": optimizer})
    assert message in str(error.value)


MAXLEN = {"kind": "Int", "min_value": 50, "max_value": 400, "default": 100}
TOKENS = {"kind": "Choice", "values": ["words", "bpe"], "default": "words"}


def with_data(**entries: Any) -> dict[str, Buildable | Data]:
    """The parts of a sweep on a table, with these entries in the dataset's space."""
    data = Data(files=["reviews.csv"], num_words=1000, maxlen=100, space=entries)
    return {"model": lstm(), "optimizer": OPTIMIZER, "datasets.reviews": data}


def test_settings_of_the_dataset_are_hyperparameters_after_all_others() -> None:
    parts = {**with_data(maxlen=MAXLEN, tokens=TOKENS), "model": lstm(lstm_units=INT)}
    read = space.read(parts)
    assert [hp.name for hp in read.searched] == ["lstm_units", "maxlen", "tokens"]
    assert [hp.name for hp in space.recorded(parts)] == ["lstm_units", "maxlen", "tokens"]
    assert read.searched[1].key == "datasets.reviews.space.maxlen"
    assert (read.defaults()["maxlen"], read.defaults()["tokens"]) == (100, "words")
    assert (read.smallest()["maxlen"], read.largest()["maxlen"]) == (50, 400)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"split_seed": MAXLEN}, "split_seed: of a table these can be searched: tokens, num_words, maxlen, keep, "),
        ({"num_words": {"kind": "Choice", "values": [4, 1000], "default": 1000}}, ".values=4: must be at least 5"),
        ({"maxlem": MAXLEN}, "did you mean 'maxlen'?"),
        ({"maxlen": 200}, "maxlen=200: must be a mapping (searched); to set it: datasets.reviews.maxlen"),
        ({"maxlen": {**MAXLEN, "min_value": 0}}, "maxlen.min_value=0: must be at least 1 and at most 1000000"),
        ({"maxlen": {**MAXLEN, "max_value": 10**7}}, "maxlen.max_value=10000000: must be at least 1"),
        ({"maxlen": {**MAXLEN, "kind": "Float"}}, "maxlen.min_value=50.0: must be an integer"),
        ({"maxlen": {**MAXLEN, "default": 200}}, "maxlen.default=200: must be datasets.reviews.maxlen=100"),
        (
            {"num_words": {"kind": "Choice", "values": [3, 1000], "default": 1000}},
            "num_words.values=3: must be at least",
        ),
        ({"tokens": {**TOKENS, "values": ["words", "bytes"]}}, "tokens.values=bytes: allowed: words, characters"),
    ],
)
def test_a_wrong_entry_of_a_dataset_is_named(entries: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        space.read(with_data(**entries))
    assert str(error.value).startswith("datasets.reviews.space.")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_documents_of_word_ranks_have_no_tokens_to_choose() -> None:
    data = Data(num_classes=2, num_words=1000, maxlen=100, space={"tokens": TOKENS})
    with pytest.raises(ConfigError, match="of a dataset without files these can be searched: num_words, maxlen, "):
        space.read({"model": lstm(), "datasets.reuters": data})


def keeping(*, num_words: int, keep: float) -> None:
    """A builder with a keyword that a dataset's setting has too."""


def test_a_setting_with_the_name_of_another_hyperparameter_is_refused() -> None:
    parts = {**with_data(keep={"kind": "Choice", "values": ["last", "both"], "default": "last"})}
    parts["model"] = Buildable("keeping", f"{__name__}.keeping", {"keep": 0.5})
    with pytest.raises(
        ConfigError, match=r"^datasets\.reviews\.space\.keep: model\.space has a hyperparameter of that"
    ):
        space.read(parts)
