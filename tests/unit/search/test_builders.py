"""Keywords and bounds are read from a function's source; the modules written here would fail if they were imported."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conf.schema import Buildable, ConfigError, Job
from sweeps.search import space
from sweeps.search.builders import check_tuner, keywords_of
from tests.searches import TUNERS

SIZE = "from models.hyperparameters import Size\n"
MODULE = "from models import hyperparameters as h\n"
TYPING = "import typing as t\nfrom typing import TYPE_CHECKING, Annotated, Optional, TypeAlias, Union\n"


@pytest.fixture
def write_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Writes a module that can be found by its name."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(source: str, path: str = "written.py") -> None:
        file = tmp_path / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"{source}\nraise RuntimeError('imported')\n")

    return write


@pytest.mark.parametrize(
    ("names", "annotation"),
    [
        (SIZE, "Size"),
        (SIZE, "'Size'"),
        (SIZE, "Size | None"),
        (SIZE, "None | Size"),
        (SIZE, "'Size | None'"),
        (SIZE + TYPING, "Optional[Size]"),
        (SIZE + TYPING, "t.Union[Size, None]"),
        ("from models.hyperparameters import Size as S", "S"),
        ("from models.hyperparameters import *", "Size"),
        (MODULE, "h.Size"),
        (MODULE, "'h.Size'"),
        (MODULE, "h.Size | None"),
        ("from models import hyperparameters", "hyperparameters.Size"),
        ("import models.hyperparameters as x", "x.Size"),
        ("import models.hyperparameters", "models.hyperparameters.Size"),
        ("import models as m\nimport models.hyperparameters", "m.hyperparameters.Size"),
        ("from models.lstm import Size", "Size"),  # by way of a module that imports Keras
        ("from models import lstm", "lstm.Size"),
        (SIZE + "Units = Size", "Units"),
        (SIZE + "Units = 'Size'", "Units"),
        (SIZE + "Units = Size | None", "Units"),
        (SIZE + TYPING + "Units: TypeAlias = Size", "Units"),
        (TYPING + "if TYPE_CHECKING:\n    from models.hyperparameters import Size", "Size"),
        ("try:\n    from models.hyperparameters import Size\nexcept ImportError:\n    raise", "Size"),
        ("from package.kinds import Units", "Units"),
        ("from package import kinds", "kinds.Units"),
        ("from package import Width", "Width"),
        ("import package", "package.numbers.Size"),
    ],
)
def test_bounds_hold_however_the_annotation_is_spelled(
    names: str, annotation: str, write_module: Callable[..., None]
) -> None:
    write_module(
        "from .kinds import Units as Width\nfrom models import hyperparameters as numbers", "package/__init__.py"
    )
    write_module("from models.hyperparameters import Size\nUnits = Size", "package/kinds.py")
    write_module(f"{names}\ndef build(*, units: {annotation}): ...")
    limits = keywords_of("model.build", "written.build")["units"]
    for value in (1, 200):
        limits.check("model.space.units", value)
    for value in (0, -3, 1.5, True, "many", [1], float("inf")):
        with pytest.raises(ConfigError) as error:
            limits.check("model.space.units", value)
        assert str(error.value) == f"model.space.units={value}: must be an integer of at least 1"


def test_a_relative_import_leads_to_its_own_package(write_module: Callable[..., None]) -> None:
    write_module("", "package/__init__.py")
    write_module("from models.hyperparameters import Fraction as Share", "package/kinds.py")
    write_module(
        "from . import kinds\nfrom .kinds import Share\ndef build(*, a: Share, b: kinds.Share): ...", "package/net.py"
    )
    for limits in keywords_of("model.build", "package.net.build").values():
        with pytest.raises(ConfigError, match="must be a number of at least 0 and less than 1"):
            limits.check("key", 1)


def test_a_search_space_is_held_against_bounds_of_any_spelling(write_module: Callable[..., None]) -> None:
    write_module(f"{MODULE}def build(*, num_words, units: h.Size, dropout: h.Fraction | None): ...")
    optimizer = Buildable("adam", "models.optimizers.adam", {"learning_rate": 0.001})
    units = {"kind": "Choice", "values": [8, -3], "default": 8}
    with pytest.raises(ConfigError, match=r"^model\.space\.units\.values=-3: must be an integer of at least 1$"):
        space.read(Buildable("written", "written.build", {"units": units, "dropout": 0.1}), optimizer)
    with pytest.raises(ConfigError, match=r"^model\.space\.dropout=1: must be a number of at least 0 and less than 1$"):
        space.read(Buildable("written", "written.build", {"units": 8, "dropout": 1}), optimizer)


@pytest.mark.parametrize(
    ("annotation", "allowed", "refused"),
    [
        ("h.Size | h.Fraction", (0.5, 3), (1.5, -1)),
    ],
)
def test_bounds_add_up_as_the_annotation_says(
    annotation: str, allowed: tuple[float, ...], refused: tuple[float, ...], write_module: Callable[..., None]
) -> None:
    write_module(f"{MODULE}{TYPING}def build(*, units: {annotation}): ...")
    limits = keywords_of("model.build", "written.build")["units"]
    for value in allowed:
        limits.check("units", value)
    for value in refused:
        with pytest.raises(ConfigError):
            limits.check("units", value)


@pytest.mark.parametrize(
    ("names", "annotation"),
    [
        ("", "int"),
        ("", "float | None"),
        ("", "Size"),
        ("", "'a note, not a type'"),
        (SIZE, "Size | str"),
        (SIZE, "list[Size]"),
        ("Units = 'Units'", "Units"),
        ("from written import Units", "Units"),
        ("from written import *", "Units"),
        ("import numpy as np", "np.ndarray"),
        ("from nowhere import Units", "Units"),
        ("from typing import Literal", "Literal['relu', 'tanh']"),
    ],
)
def test_an_annotation_that_leads_to_no_bounds_allows_any_value(
    names: str, annotation: str, write_module: Callable[..., None]
) -> None:
    write_module(f"{names}\ndef build(*, units: {annotation}): ...")
    keywords_of("model.build", "written.build")["units"].check("model.space.units", -3)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            f"{MODULE}def build(*, units: h.Sise): ...",
            "model.build=written.build: units: h.Sise: models.hyperparameters has no 'Sise'; did you mean 'Size'?",
        ),
        (
            "from models.hyperparameters import Sise\nUnits = Sise | None\ndef build(*, units: Units): ...",
            "model.build=written.build: units: Units: models.hyperparameters has no 'Sise'; did you mean 'Size'?",
        ),
        ("def bild(): ...", "model.build=written.build: written has no function 'build'; did you mean 'bild'?"),
        ("async def build(*, units: int): ...", "model.build=written.build: written has no function 'build'"),
        ("build = dict", "model.build=written.build: written has no function 'build'"),
        ("if True:\n    def build(): ...", "model.build=written.build: written has no function 'build'"),
        ("def build(:", "cannot be read: invalid syntax"),
        ("\0", "cannot be read"),
    ],
)
def test_a_builder_that_cannot_be_read_is_refused_in_one_line(
    source: str, message: str, write_module: Callable[..., None]
) -> None:
    write_module(source)
    with pytest.raises(ConfigError) as error:
        keywords_of("model.build", "written.build")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("build", "datasets.imdb.read=build: must be the dotted name of a function, module.function"),
        ("nowhere.build", "datasets.imdb.read=nowhere.build: there is no module 'nowhere' with a source"),
        ("models.lstn.build", "datasets.imdb.read=models.lstn.build: there is no module 'models.lstn' with a source"),
        ("models.lstm.deep.build", "there is no module 'models.lstm.deep' with a source"),
        ("math.sqrt", "datasets.imdb.read=math.sqrt: there is no module 'math' with a source"),
        ("..build", "there is no module '.' with a source"),
    ],
)
def test_a_name_of_no_function_is_refused(target: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        keywords_of("datasets.imdb.read", target)
    assert message in str(error.value)


def test_keywords_are_listed_in_their_order(write_module: Callable[..., None]) -> None:
    write_module("def read(name, *, source: 'str', limit: int | None = None): ...")
    assert list(keywords_of("datasets.imdb.read", "written.read")) == ["name", "source", "limit"]


@pytest.mark.parametrize("tuner", TUNERS)
def test_the_options_of_every_configured_tuner_are_right(tuner: str, composed: Callable[..., Job]) -> None:
    check_tuner(composed(f"tuner={tuner}").config.tuner)


@pytest.mark.parametrize(
    ("tuner", "options"),
    [
        ("bayesian", {"initial_points": 1, "alpha": 1, "beta": 0}),
        ("bayesian", {"initial_points": 11, "alpha": 1e-9, "beta": 10.5}),
        ("hyperband", {"factor": 2}),
    ],
)
def test_right_options_are_taken(tuner: str, options: dict[str, Any], composed: Callable[..., Job]) -> None:
    check_tuner(composed(f"tuner={tuner}").config.tuner | options)


@pytest.mark.parametrize(
    ("tuner", "options", "message"),
    [
        ("random", {"factor": 3}, "tuner.factor=3: tuner=random takes no options"),
        ("grid", {"size": 3}, "tuner.size=3: tuner=grid takes no options"),
        ("hyperband", {"beta": 1}, "tuner.beta=1: tuner=hyperband takes factor"),
        ("hyperband", {"factr": 4}, "tuner.factr=4: tuner=hyperband takes factor; did you mean 'factor'?"),
        ("hyperband", {"factor": None}, "tuner.factor=null: tuner=hyperband needs a number"),
        ("hyperband", {"factor": 1}, "tuner.factor=1: must be an integer of at least 2"),
        ("hyperband", {"factor": 2.5}, "tuner.factor=2.5: must be an integer of at least 2"),
        ("bayesian", {"alpha": 0}, "tuner.alpha=0: must be a number greater than 0"),
        ("bayesian", {"alpha": "small"}, "tuner.alpha=small: must be a number greater than 0"),
        ("bayesian", {"alpha": [1]}, "tuner.alpha=[1]: must be a number greater than 0"),
        ("bayesian", {"beta": -1}, "tuner.beta=-1: must be a number of at least 0"),
        ("bayesian", {"beta": float("inf")}, "tuner.beta=inf: must be a number of at least 0"),
        ("bayesian", {"beta": None}, "tuner.beta=null: tuner=bayesian needs a number"),
        ("bayesian", {"initial_points": 0}, "tuner.initial_points=0: must be an integer of at least 1"),
        (
            "random",
            {"oracle": "sweeps.search.random_search.orakle"},
            "tuner.oracle=sweeps.search.random_search.orakle: sweeps.search.random_search has no function 'orakle'; "
            "did you mean 'oracle'?",
        ),
        (
            "random",
            {"oracle": "oracle"},
            "tuner.oracle=oracle: must be the dotted name of a function, module.function",
        ),
        (
            "random",
            {"oracle": "models.lstm.build"},
            "tuner.oracle=models.lstm.build: must take one positional argument, the settings of the search",
        ),
    ],
)
def test_a_wrong_option_of_a_tuner_is_named(
    tuner: str, options: dict[str, Any], message: str, composed: Callable[..., Job]
) -> None:
    with pytest.raises(ConfigError) as error:
        check_tuner(composed(f"tuner={tuner}").config.tuner | options)
    assert str(error.value) == message


def test_an_option_that_the_configuration_lacks_is_named(composed: Callable[..., Job]) -> None:
    with pytest.raises(ConfigError, match=r"^tuner\.factor=null: tuner=hyperband needs a number$"):
        check_tuner(composed("tuner=hyperband", "~tuner.factor").config.tuner)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": "random"}, None),
        ({"order": "random", "size": 3, "limit": 4}, None),
        ({"order": None}, "tuner.order=null: tuner=own needs a value"),
        ({}, "tuner.order=null: tuner=own needs a value"),
        ({"order": "random", "size": None}, "tuner.size=null: tuner=own needs a number"),
        ({"order": "random", "limit": None}, None),
        ({"order": "random", "limit": 0}, "tuner.limit=0: must be an integer of at least 1"),
    ],
)
def test_an_option_may_have_a_default_or_be_null(
    options: dict[str, Any], message: str | None, write_module: Callable[..., None]
) -> None:
    write_module(f"{MODULE}def oracle(settings, *, order: str, size: h.Size = 2, limit: h.Size | None = None): ...")
    tuner = {"name": "own", "oracle": "written.oracle", "ends_trials": False, **options}
    if message is None:
        check_tuner(tuner)
        return
    with pytest.raises(ConfigError) as error:
        check_tuner(tuner)
    assert str(error.value) == message
