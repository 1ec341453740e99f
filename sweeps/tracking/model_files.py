"""The files of a registered model, held against those that this project saves.

Loading a model runs code that lies beside it, and anybody who may write to the store can put some there. So everything
is checked first, on the very copy that is loaded: its code is ours to the last byte, and all else is data.
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from sweeps import text_encoder
from sweeps.errors import SweepError

SERVED = Path(__file__).with_name("served_model.py")
ENCODER = Path(text_encoder.__file__)
# SHA-256 of the code that earlier versions of this project served; their models still load, with a word index alone.
EARLIER = {
    "79193943496b555703b4efc66831a0d26f65d3b0c30d80ce0aa79b2f9961dbc0",
    "1ae39f1e0760aeed0a22bc7bcbd46c128159606a04ba53299c7edcba19308673",
    "19ca8706b41461de555633c69161801ce45229d6c480a59c219c5b3c9ad922dc",
    "cf4fd9c63b5e9f3b787fff11692dd2d50ab34aa1984eaab37345bfcdeea09116",
}
# The same of those that served with an encoder beside them -> the encoders.
EARLIER_PAIRS = {
    "99942ee562b04e3e419fe2ba6e87e3c3e585f32fe6bf77396a8ebe8c0430578b": {
        "ef53a8244cfeab347cc6778b8d422401c1d0b20d732bc6179887d20d26fdf3a1",
        "31b7dd71183b7cb402ae8ced8027e7a8227ccc6fbc59bfe1ea9aeb62140abb24",
        "cc588978a835e2b4dfa9eaa9348fe3a40e3b30fd06e411a7166b2276bf03885a",
    },
}
CODE = ("served_model.py", "served.py")  # the names of that file
REQUIREMENTS = ("keras", "mlflow", "numpy", "tensorflow")  # and tokenizers, for subwords
TAGS = {"sweep", "trial", "epochs", "data.digest"}  # of every version that this project registers
MIB = 2**20
NETWORK, WORDS = "artifacts/network.keras", "artifacts/words.json"
ARTIFACTS = {"network": NETWORK, "vocabulary": "artifacts/vocabulary.json", "encoder": "artifacts/text_encoder.py"}
EARLIER_ARTIFACTS = {"network": NETWORK, "words": WORDS}
SIZES = {  # file -> bytes that it may have at most
    **dict.fromkeys(CODE, MIB),
    **dict.fromkeys(("MLmodel", "conda.yaml", "python_env.yaml", "requirements.txt"), MIB),
    **dict.fromkeys(("input_example.json", "serving_input_example.json"), MIB),
    "registered_model_meta": MIB,  # MLflow puts it there when it loads a model by its name
    WORDS: 256 * MIB,
    ARTIFACTS["vocabulary"]: 256 * MIB,
    ARTIFACTS["encoder"]: MIB,
    NETWORK: 16 * 1024 * MIB,
}
IN_NETWORK = ["config.json", "metadata.json", "model.weights.h5"]
# The keys of MLmodel that describe, and do nothing.
DESCRIPTIONS = {
    *("mlflow_version", "model_id", "model_size_bytes", "model_uuid", "run_id", "signature", "utc_time_created")
}
FIXED: dict[str, Any] = {
    "is_signature_from_type_hint": False,
    "prompts": None,
    "saved_input_example_info": {
        "artifact_path": "input_example.json",
        "serving_input_path": "serving_input_example.json",
        "type": "json_object",
    },
    "type_hint_from_example": False,
}
FLAVOR_DESCRIPTIONS = {"artifacts", "cloudpickle_version", "config", "model_code_path", "python_version"}
FIXED_IN_FLAVOR: dict[str, Any] = {
    "code": None,
    "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
    "loader_module": "mlflow.pyfunc.loaders.code_model",
    "streamable": False,
}


class ForeignModelError(SweepError):
    """The model is none that this project saved; the message says what is foreign in it."""


def check_tags(tags: Iterable[str]) -> None:
    """Raise `ForeignModelError` unless a version has the tags that this project gives its versions."""
    if missing := sorted(TAGS - set(tags)):
        raise ForeignModelError(f"it has no tag {', '.join(missing)}")


def check_names(sizes: Mapping[str, int | None]) -> None:
    """Raise `ForeignModelError` unless the files, by their paths, are the known ones; a size may be unknown."""
    for name, size in sizes.items():
        if name not in SIZES:
            raise ForeignModelError(f"{name} is none of its files")
        if size is not None and size > SIZES[name]:
            raise ForeignModelError(f"{name} has {size:,} bytes, more than {SIZES[name]:,}")
    artifacts = EARLIER_ARTIFACTS if WORDS in sizes else ARTIFACTS
    for name in ("MLmodel", *artifacts.values()):
        if name not in sizes:
            raise ForeignModelError(f"{name} is missing")


def check(folder: Path) -> None:
    """Raise `ForeignModelError` unless a downloaded model is one that this project saved, or an earlier version."""
    entries = list(folder.rglob("*"))
    if links := [entry for entry in entries if entry.is_symlink()]:
        raise ForeignModelError(f"{links[0].name} is a link")
    files = {entry.relative_to(folder).as_posix(): entry for entry in entries if not entry.is_dir()}
    check_names({name: file.stat().st_size for name, file in files.items()})
    artifacts = EARLIER_ARTIFACTS if WORDS in files else ARTIFACTS
    try:
        code = _check_description(yaml.safe_load(files["MLmodel"].read_bytes()), artifacts)
        _check_vocabulary(files[WORDS if WORDS in files else ARTIFACTS["vocabulary"]])
        _check_network(files[NETWORK])
        _check_requirements(folder / "requirements.txt")
        _check_code(folder / code, files.get(ARTIFACTS["encoder"]))
    except ForeignModelError:
        raise
    except (yaml.YAMLError, ValueError, RecursionError, zipfile.BadZipFile, OSError) as error:
        raise ForeignModelError(f"its files cannot be read: {error}") from error


def _check_code(code: Path, encoder: Path | None) -> None:
    """Raise `ForeignModelError` unless the files are those of one version of this project, to the last byte."""
    served = _digest(code)
    if served in EARLIER if encoder is None else _digest(encoder) in EARLIER_PAIRS.get(served, ()):
        return
    for file, own in ((code, SERVED), (encoder, ENCODER)):
        if file is None or _digest(file) != _digest(own):
            raise ForeignModelError(f"{(file or code).name} is other code")


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _check_description(description: Any, artifacts: Mapping[str, str]) -> str:
    """Check the content of MLmodel; return the name of the file with the code."""
    _check_keys("MLmodel", description, DESCRIPTIONS | {"flavors"}, FIXED)
    _check_keys("flavors of MLmodel", description["flavors"], {"python_function"}, {})
    flavor = description["flavors"]["python_function"]
    _check_keys("MLmodel", flavor, FLAVOR_DESCRIPTIONS, FIXED_IN_FLAVOR)
    named = flavor.get("artifacts")
    paths = {key: value.get("path") for key, value in named.items()} if _is_of_mappings(named) else None
    if paths != artifacts:
        raise ForeignModelError(f"MLmodel names other artifacts than {', '.join(artifacts.values())}")
    _check_settings(flavor.get("config"))
    code = Path(str(flavor.get("model_code_path"))).name  # MLflow, too, takes only the name
    if code not in CODE:
        raise ForeignModelError(f"MLmodel names other code: {code}")
    return code


def _check_keys(where: str, mapping: Any, free: set[str], fixed: Mapping[str, Any]) -> None:
    if not isinstance(mapping, dict):
        raise ForeignModelError(f"{where} is no mapping")
    for key, value in mapping.items():
        if key not in free and not (key in fixed and value == fixed[key]):
            # Few lines of YAML can hold lists of lists without end; those are not shown.
            shown = value if isinstance(value, str | int | None) else type(value).__name__
            raise ForeignModelError(f"{where} has {key}={shown}")


def _is_of_mappings(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(each, dict) for each in value.values())


def _check_settings(settings: Any) -> None:
    """Raise `ForeignModelError` unless the settings are labels, and those of an encoder or of an earlier version's."""
    match settings:
        case {"labels": [*labels], "encoder": {"num_words": int(), "maxlen": int(maxlen), **more}, **others}:
            known = not others and more.keys() == {"tokens", "keep", "unlisted"}
        case {"labels": [*labels], "num_words": int(), "maxlen": int(maxlen), **others}:
            known = not others
        case _:
            raise ForeignModelError("MLmodel has other settings than labels and an encoder's")
    if not known or not all(isinstance(label, str) for label in labels) or not 0 < maxlen <= 10**6:
        raise ForeignModelError("MLmodel has other settings than labels and an encoder's")


def _check_vocabulary(path: Path) -> None:
    """Raise `ForeignModelError` unless the file holds ranks of words, or a tokenizer of Hugging Face's."""
    content = json.loads(path.read_bytes())
    is_tokenizer = isinstance(content, dict) and isinstance(content.get("model"), dict)
    if not is_tokenizer and not (isinstance(content, dict) and all(type(rank) is int for rank in content.values())):
        raise ForeignModelError(f"{path.name} is no vocabulary")


def _check_network(path: Path) -> None:
    with zipfile.ZipFile(path) as network:
        members = network.infolist()
    names = sorted(member.filename for member in members)
    if names != IN_NETWORK:
        raise ForeignModelError(f"{NETWORK} holds {', '.join(names) or 'nothing'}")
    if sum(member.file_size for member in members) > SIZES[NETWORK]:
        raise ForeignModelError(f"{NETWORK} is too large when unpacked")


def _check_requirements(path: Path) -> None:
    packages = "|".join((*REQUIREMENTS, "tokenizers"))
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        if not re.fullmatch(rf"({packages})==[\w.+!]+", line):
            raise ForeignModelError(f"requirements.txt asks for {line}")
