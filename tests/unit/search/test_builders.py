"""Keywords and bounds are read from a function's source; the modules written here would fail if they were imported."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from conf.schema import ConfigError, Job
from sweeps.search.builders import check_tuner, keywords_of
from tests.searches import TUNERS

SIZE = "from models.hyperparameters import Size\n"
MODULE = "from models import hyperparameters as h\n"
TYPING = "import typing as t\nfrom typing import TYPE_CHECKING, Optional, TypeAlias, Union\n"
RANDOM = "sweeps.search.random_search"
NO_FUNCTION = f"oracle={RANDOM}.orakle: {RANDOM} has no function 'orakle'"
ONE_ARGUMENT = "must take one positional argument, the settings of the search"
MISSING = object()  # an option that is not in the configuration
Build = Callable[..., str]


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    """Writes a module of a package and returns the dotted name of its function `build`."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(source: str, name: str = "nets/net") -> str:
        path = tmp_path / "package" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{source}\nraise RuntimeError('imported')\n")
        return "package.nets.net.build"

    write("from .kinds import Units as Width\nfrom models import hyperparameters as numbers", "__init__")
    write(f"{SIZE}Units = Size", "kinds")
    write("from ..kinds import Units", "nets/__init__")
    return write


@pytest.mark.parametrize(
    ("names", "annotation"),
    [
        ("from models.hyperparameters import Pooling", "Pooling"),
        ("from models import lstm", "lstm.Pooling"),
        ("from typing import Literal", "Literal['last', 'maximum', 'mean']"),
        ("import typing as t", '\'t.Literal["last", "maximum"] | t.Literal["mean"]\''),
        ("from typing import Literal\nWay = Literal['last', 'maximum', 'mean']", "Way | None"),
    ],
)
def test_names_hold_however_the_annotation_is_spelled(names: str, annotation: str, build: Build) -> None:
    limits = keywords_of("model.build", build(f"{names}\ndef build(*, way: {annotation}): ..."))["way"]
    for value in ("last", "maximum", "mean"):
        limits.check("model.space.way", value)
    for wrong in ("max", "", 1, True, 0.5, ["last"]):
        with pytest.raises(ConfigError) as error:
            limits.check("model.space.way", wrong)
        assert str(error.value) == f"model.space.way={wrong}: must be last or maximum or mean"


def test_a_number_among_names_is_not_its_equal_of_another_type(build: Build) -> None:
    source = "from typing import Literal\ndef build(*, way: Literal[1, 'x']): ..."
    limits = keywords_of("model.build", build(source))["way"]
    limits.check("key", 1)
    for wrong in (True, 1.0):
        with pytest.raises(ConfigError, match="must be 1 or x"):
            limits.check("key", wrong)


def test_keywords_with_a_default_are_known(build: Build) -> None:
    limits = keywords_of("model.build", build("def build(a, b=1, *, c, d=None): ..."))
    assert {name: limit.has_default for name, limit in limits.items()} == {"a": False, "b": True, "c": False, "d": True}


@pytest.mark.parametrize(
    ("names", "annotation"),
    [
        (SIZE, "Size"),
        (SIZE, "'Size'"),
        (SIZE, "Size | None"),
        (SIZE, "'Size | None'"),
        (SIZE + TYPING, "Optional[Size]"),
        (SIZE + TYPING, "t.Union[Size, None]"),
        ("from models.hyperparameters import Size as S", "S"),
        ("from models.hyperparameters import *", "Size"),
        (MODULE, "h.Size"),
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
        ("from package.kinds import *", "Units"),
        ("from package import kinds", "kinds.Units"),
        ("from package import Width", "Width"),
        ("import package", "package.numbers.Size"),
        ("from . import Units", "Units"),
        ("from ..kinds import Units", "Units"),
        ("from .. import kinds", "kinds.Units"),
    ],
)
def test_bounds_hold_however_the_annotation_is_spelled(names: str, annotation: str, build: Build) -> None:
    limits = keywords_of("model.build", build(f"{names}\ndef build(*, units: {annotation}): ..."))["units"]
    for value in (1, 200):
        limits.check("model.space.units", value)
    for value in (0, -3, 1.5, True, "many", [1], float("inf")):
        with pytest.raises(ConfigError) as error:
            limits.check("model.space.units", value)
        assert str(error.value) == f"model.space.units={value}: must be an integer of at least 1"


def test_a_union_takes_what_any_of_its_types_takes(build: Build) -> None:
    limits = keywords_of("model.build", build(f"{MODULE}def build(units: h.Size | h.Fraction | None): ..."))["units"]
    limits.check("units", 0.5)
    limits.check("units", 3)
    with pytest.raises(
        ConfigError, match=r"^units=1\.5: must be an integer of at least 1 or a number of at least 0 an"
    ):
        limits.check("units", 1.5)


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
        ("from package.nets.net import Units", "Units"),
        ("from package.nets.net import *", "Units"),
        ("import numpy as np", "np.ndarray"),
        ("from nowhere import Units", "Units"),
        ("from typing import Literal", "Literal[Units]"),
    ],
)
def test_an_annotation_that_leads_to_no_bounds_allows_any_value(names: str, annotation: str, build: Build) -> None:
    limits = keywords_of("model.build", build(f"{names}\ndef build(*, units: {annotation}): ..."))["units"]
    limits.check("model.space.units", -3)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (f"{MODULE}def build(*, units: h.Sise): ...", "units: h.Sise: models.hyperparameters has no 'Sise'; did you"),
        (
            "from models.hyperparameters import Sise\nUnits = Sise | None\ndef build(*, units: Units): ...",
            "units: Units: models.hyperparameters has no 'Sise'; did you mean 'Size'?",
        ),
        ("def bild(): ...", "package.nets.net has no function 'build'; did you mean 'bild'?"),
        ("async def build(*, units: int): ...", "package.nets.net has no function 'build'"),
        ("build = dict", "package.nets.net has no function 'build'"),
        ("if True:\n    def build(): ...", "package.nets.net has no function 'build'"),
        ("def build(:", "cannot be read: invalid syntax"),
        ("\0", "cannot be read"),
    ],
)
def test_a_builder_that_cannot_be_read_is_refused_in_one_line(source: str, message: str, build: Build) -> None:
    with pytest.raises(ConfigError) as error:
        keywords_of("model.build", build(source))
    assert str(error.value).startswith("model.build=package.nets.net.build: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("build", "must be the dotted name of a function, module.function"),
        ("nowhere.build", "there is no module 'nowhere' with a source"),
        ("models.lstn.build", "there is no module 'models.lstn' with a source"),
        ("models.lstm.deep.build", "there is no module 'models.lstm.deep' with a source"),
        ("math.sqrt", "there is no module 'math' with a source"),
        ("..build", "there is no module '.' with a source"),
    ],
)
def test_a_name_of_no_function_is_refused(target: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        keywords_of("datasets.imdb.read", target)
    assert str(error.value) == f"datasets.imdb.read={target}: {message}"


def test_keywords_are_listed_in_their_order(build: Build) -> None:
    target = build("def build(name, *, source: 'str', limit: int | None = None): ...")
    assert list(keywords_of("datasets.imdb.read", target)) == ["name", "source", "limit"]


@pytest.mark.parametrize("tuner", TUNERS)
def test_the_configured_options_of_a_tuner_are_right(tuner: str, composed: Callable[..., Job]) -> None:
    check_tuner(composed(f"tuner={tuner}").config.tuner)


@pytest.mark.parametrize(
    ("tuner", "options", "message"),
    [
        ("bayesian", {"initial_points": 1, "alpha": 1, "beta": 0}, None),
        ("bayesian", {"initial_points": 11, "alpha": 1e-9, "beta": 10.5}, None),
        ("hyperband", {"factor": 2}, None),
        ("own", {}, None),
        ("own", {"size": 3, "limit": 4}, None),
        ("own", {"limit": None}, None),
        ("random", {"factor": 3}, "factor=3: tuner=random takes no options"),
        ("hyperband", {"beta": 1}, "beta=1: tuner=hyperband takes factor"),
        ("hyperband", {"factr": 4}, "factr=4: tuner=hyperband takes factor; did you mean 'factor'?"),
        ("hyperband", {"factor": None}, "factor=null: tuner=hyperband needs a number"),
        ("hyperband", {"factor": 1}, "factor=1: must be an integer of at least 2"),
        ("hyperband", {"factor": 2.5}, "factor=2.5: must be an integer of at least 2"),
        ("bayesian", {"alpha": 0}, "alpha=0: must be a number greater than 0"),
        ("bayesian", {"alpha": "small"}, "alpha=small: must be a number greater than 0"),
        ("bayesian", {"beta": -1}, "beta=-1: must be a number of at least 0"),
        ("bayesian", {"beta": float("inf")}, "beta=inf: must be a number of at least 0"),
        ("bayesian", {"initial_points": 0}, "initial_points=0: must be an integer of at least 1"),
        ("own", {"order": None}, "order=null: tuner=own needs a value"),
        ("own", {"order": MISSING}, "order=null: tuner=own needs a value"),
        ("own", {"width": MISSING}, "width=null: tuner=own needs a number"),
        ("own", {"size": None}, "size=null: tuner=own needs a number"),
        ("own", {"limit": 0}, "limit=0: must be an integer of at least 1"),
        ("random", {"oracle": "oracle"}, "oracle=oracle: must be the dotted name of a function, module.function"),
        ("random", {"oracle": f"{RANDOM}.orakle"}, f"{NO_FUNCTION}; did you mean 'oracle'?"),
        ("random", {"oracle": "models.lstm.build"}, f"oracle=models.lstm.build: {ONE_ARGUMENT}"),
    ],
)
def test_options_are_held_against_the_keywords_of_the_oracle(
    tuner: str, options: dict[str, Any], message: str | None, build: Build, composed: Callable[..., Job]
) -> None:
    if tuner == "own":
        keywords = "order: str, width: h.Size, size: h.Size = 2, limit: h.Size | None = None"
        oracle = build(f"{MODULE}def build(settings, *, {keywords}): ...")
        configured = {"name": "own", "oracle": oracle, "order": "random", "width": 1}
    else:
        configured = composed(f"tuner={tuner}").config.tuner
    options = {key: value for key, value in {**configured, **options}.items() if value is not MISSING}
    with nullcontext() if message is None else pytest.raises(ConfigError) as error:
        check_tuner(options)
    assert message is None or str(error.value) == f"tuner.{message}"
