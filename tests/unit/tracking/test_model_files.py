"""A model that is loaded from a registry is exactly what this project puts into it."""

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from sweeps.tracking import model_files
from sweeps.tracking.model_files import ForeignModelError
from tests.conftest import ROOT

ENCODER = {"tokens": "words", "num_words": 20, "maxlen": 5, "keep": "last", "unlisted": "skip"}
FLAVOR: dict[str, Any] = {
    "artifacts": {
        "network": {"path": "artifacts/network.keras", "uri": "elsewhere/network.keras"},
        "vocabulary": {"path": "artifacts/vocabulary.json", "uri": "elsewhere/vocabulary.json"},
        "encoder": {"path": "artifacts/text_encoder.py", "uri": "elsewhere/text_encoder.py"},
    },
    "cloudpickle_version": "3.1.2",
    "code": None,
    "config": {"labels": ["bad", "good"], "encoder": ENCODER},
    "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
    "loader_module": "mlflow.pyfunc.loaders.code_model",
    "model_code_path": "elsewhere/served_model.py",
    "python_version": "3.11.7",
    "streamable": False,
}
DESCRIPTION: dict[str, Any] = {
    "flavors": {"python_function": FLAVOR},
    "is_signature_from_type_hint": False,
    "mlflow_version": "3.17.2",
    "model_id": "m-1",
    "prompts": None,
    "signature": {"inputs": None, "outputs": "[]", "params": None},
}


def write_network(folder: Path, *names: str) -> None:
    with zipfile.ZipFile(folder / "artifacts" / "network.keras", "w") as network:
        for name in names:
            network.writestr(name, "{}")


def describe(folder: Path, *, flavor: dict[str, Any] | None = None, **changes: Any) -> None:
    flavors = {"python_function": {**FLAVOR, **(flavor or {})}}
    (folder / "MLmodel").write_text(yaml.safe_dump({**DESCRIPTION, "flavors": flavors, **changes}))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "artifacts").mkdir(parents=True)
    describe(folder)
    write_network(folder, *model_files.IN_NETWORK)
    (folder / "artifacts" / "vocabulary.json").write_text('{"word": 1}')
    shutil.copy(model_files.SERVED, folder)
    shutil.copy(model_files.ENCODER, folder / "artifacts")
    (folder / "requirements.txt").write_text("keras==3.15.1\ntensorflow==2.21.0")
    return folder


EARLIER: dict[str, Any] = {
    "artifacts": {
        "network": {"path": "artifacts/network.keras", "uri": "elsewhere/network.keras"},
        "words": {"path": "artifacts/words.json", "uri": "elsewhere/words.json"},
    },
    "config": {"labels": ["bad", "good"], "maxlen": 5, "num_words": 20},
}


def as_earlier(model: Path) -> None:
    """Turn the model into one that an earlier version of this project saved."""
    describe(model, flavor=EARLIER)
    shutil.copy(ROOT / "tests" / "earlier" / "served_model.py", model)
    (model / "artifacts" / "vocabulary.json").rename(model / "artifacts" / "words.json")
    (model / "artifacts" / "text_encoder.py").unlink()


def test_a_model_of_this_version_and_of_an_earlier_one_is_known(model: Path) -> None:
    model_files.check(model)
    as_earlier(model)
    model_files.check(model)
    (model / "served_model.py").rename(model / "served.py")
    describe(model, flavor={**EARLIER, "model_code_path": "/home/x/sweeps/served.py"})
    model_files.check(model)


WITH_ENCODER = ROOT / "tests" / "earlier" / "with_encoder"


def test_a_model_is_known_that_an_earlier_version_saved_with_its_encoder(model: Path) -> None:
    shutil.copy(WITH_ENCODER / "served_model.py", model)
    shutil.copy(WITH_ENCODER / "text_encoder.py", model / "artifacts")
    model_files.check(model)


@pytest.mark.parametrize("own", [("served_model.py", "text_encoder.py"), ("text_encoder.py", "served_model.py")])
def test_earlier_code_is_known_with_its_own_encoder_only(own: tuple[str, str], model: Path) -> None:
    earlier, changed = own
    places = {"served_model.py": model / "served_model.py", "text_encoder.py": model / "artifacts" / "text_encoder.py"}
    shutil.copy(WITH_ENCODER / earlier, places[earlier])
    places[changed].write_text("# other code")
    with pytest.raises(ForeignModelError, match="is other code"):
        model_files.check(model)


def test_code_of_this_version_is_not_loaded_with_the_files_of_an_earlier_one(model: Path) -> None:
    as_earlier(model)
    shutil.copy(model_files.SERVED, model)
    with pytest.raises(ForeignModelError, match="is other code"):
        model_files.check(model)


def other_code(model: Path) -> None:
    with (model / "served_model.py").open("a") as code:
        code.write("\n")


def link(model: Path) -> None:
    (model / "artifacts" / "vocabulary.json").unlink()
    (model / "artifacts" / "vocabulary.json").symlink_to("/etc/passwd")


FOREIGN: dict[str, tuple[Callable[[Path], object], str]] = {
    "other code": (other_code, "served_model.py is other code"),
    "another encoder": (lambda m: (m / "artifacts/text_encoder.py").write_text("x"), "text_encoder.py is other code"),
    "no encoder": (lambda m: (m / "artifacts/text_encoder.py").unlink(), r"artifacts/text_encoder\.py is missing"),
    "a pickle": (lambda m: (m / "python_model.pkl").write_bytes(b""), r"python_model\.pkl is none of its files"),
    "more code": (lambda m: (m / "artifacts" / "x.py").write_text(""), r"artifacts/x\.py is none of its files"),
    "no network": (lambda m: (m / "artifacts" / "network.keras").unlink(), r"artifacts/network\.keras is missing"),
    "a link": (link, r"vocabulary\.json is a link"),
    "another loader": (lambda m: describe(m, flavor={"loader_module": "os"}), "MLmodel has loader_module=os"),
    "code paths": (lambda m: describe(m, flavor={"code": "artifacts"}), "MLmodel has code=artifacts"),
    "a pickled model": (lambda m: describe(m, flavor={"python_model": "x.pkl"}), r"MLmodel has python_model=x\.pkl"),
    "another function": (lambda m: describe(m, flavor={"predict_fn": "load"}), "MLmodel has predict_fn=load"),
    "code elsewhere": (lambda m: describe(m, flavor={"model_code_path": "x.py"}), r"other code: x\.py"),
    "another flavor": (lambda m: describe(m, flavors={"keras": {}}), "flavors of MLmodel has keras="),
    "no flavor": (lambda m: describe(m, flavors=None), "flavors of MLmodel is no mapping"),
    "external files": (lambda m: describe(m, metadata={"x": 1}), "MLmodel has metadata="),
    "artifacts outside": (
        lambda m: describe(m, flavor={"artifacts": {"network": {"path": "../x"}, "words": {"path": "y"}}}),
        "other artifacts",
    ),
    "artifacts of another kind": (lambda m: describe(m, flavor={"artifacts": ["x"]}), "other artifacts"),
    "artifacts without a path": (
        lambda m: describe(m, flavor={"artifacts": {"network": "x", "words": 3}}),
        "other artifacts",
    ),
    "other settings": (lambda m: describe(m, flavor={"config": {"labels": [1], "maxlen": 5}}), "other settings"),
    "huge settings": (
        lambda m: describe(m, flavor={"config": {"labels": ["bad"], "encoder": {**ENCODER, "maxlen": 10**9}}}),
        "other settings",
    ),
    "no YAML": (lambda m: (m / "MLmodel").write_text("{"), "cannot be read"),
    "an object in YAML": (lambda m: (m / "MLmodel").write_text("!!python/object/apply:os.system [id]"), "cannot be"),
    "no mapping": (lambda m: (m / "MLmodel").write_text("[]"), "MLmodel is no mapping"),
    "a large MLmodel": (lambda m: (m / "MLmodel").write_bytes(b" " * (2**20 + 1)), "MLmodel has 1,048,577 bytes"),
    "no word index": (lambda m: (m / "artifacts" / "vocabulary.json").write_text("[1]"), "is no vocabulary"),
    "nested words": (lambda m: (m / "artifacts" / "vocabulary.json").write_text("[" * 10**5), "cannot be read"),
    "no network file": (lambda m: (m / "artifacts" / "network.keras").write_text("PK"), "cannot be read"),
    "a network with more": (
        lambda m: write_network(m, *model_files.IN_NETWORK, "assets/x.pkl"),
        r"network\.keras holds assets/x\.pkl, config",
    ),
    "foreign packages": (
        lambda m: (m / "requirements.txt").write_text("keras==3.15.1\n-r others.txt\n"),
        r"requirements\.txt asks for -r others\.txt",
    ),
}


@pytest.mark.parametrize("change", FOREIGN)
def test_everything_else_is_foreign(change: str, model: Path) -> None:
    apply, message = FOREIGN[change]
    apply(model)
    with pytest.raises(ForeignModelError, match=message) as error:
        model_files.check(model)
    assert "\n" not in str(error.value)


def test_a_listing_shows_what_is_foreign_before_anything_is_downloaded() -> None:
    known: dict[str, int | None] = dict.fromkeys(("MLmodel", model_files.NETWORK, model_files.WORDS))
    model_files.check_names(known)
    for foreign in ({"python_model.pkl": 3}, {"../MLmodel": 3}, {"/etc/passwd": 3}, {"MLmodel": 10**9}):
        with pytest.raises(ForeignModelError):
            model_files.check_names({**known, **foreign})


def test_a_version_without_the_tags_of_this_project_is_foreign() -> None:
    tags = {"sweep": "s/imdb", "trial": "1", "epochs": "2", "data.digest": "d", "more": ""}
    model_files.check_tags(tags)
    with pytest.raises(ForeignModelError, match=r"it has no tag data\.digest, sweep"):
        model_files.check_tags(tags.keys() - {"sweep", "data.digest"})


def test_no_bomb_of_aliases_is_unfolded(model: Path) -> None:
    doubled = [f"- &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60)]
    for place in ("bomb: *a59", "model_id: 1\nprompts: *a59"):
        (model / "MLmodel").write_text("\n".join(["model_uuid:", "- &a0 [x, x]", *doubled, place]))
        with pytest.raises(ForeignModelError, match=r"MLmodel has (bomb|prompts)=list"):
            model_files.check(model)
