"""The environment that `make install` makes: what it is said to bring, and that it never has two TensorFlows."""

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import ROOT

LOCKS = ("run", "cpu", "cuda", "dev", "slurm", "kubernetes")
TENSORFLOWS = {"tensorflow", "tensorflow-cpu"}


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("requirements", ROOT / "requirements" / "__main__.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pinned(lock: str) -> dict[str, set[str]]:
    """The versions of each package in a lock file; some Pythons get another."""
    versions: dict[str, set[str]] = {}
    for name, version in re.findall(r"^(\S+)==(\S+)", (ROOT / "requirements" / f"{lock}.lock").read_text(), re.M):
        versions.setdefault(name, set()).add(version)
    return versions


def test_only_the_choice_of_tensorflow_brings_one() -> None:
    packages = {lock: pinned(lock) for lock in LOCKS}
    assert not TENSORFLOWS & (packages["run"].keys() | packages["dev"].keys())
    assert TENSORFLOWS & packages["cuda"].keys() == {"tensorflow"}
    assert packages["cpu"].keys() - TENSORFLOWS <= packages["cuda"].keys()  # both need the same besides
    for name in packages["cpu"].keys() & packages["cuda"].keys():
        assert packages["cpu"][name] == packages["cuda"][name]


def test_the_locks_divide_what_the_project_needs_and_running_needs_no_tools() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    names = {key: {re.split(r"[\[<>= ;]", each)[0].lower() for each in extras[key]} for key in extras}
    run, cpu, dev = (pinned(lock).keys() for lock in ("run", "cpu", "dev"))
    own = {re.split(r"[\[<>= ;]", each)[0].lower() for each in project["dependencies"]}
    assert own | names["server"] <= run
    assert names["dev"] - {"text-sweeps"} <= dev | cpu
    assert not dev & (run | cpu)
    for engine in ("slurm", "kubernetes"):
        own = pinned(engine)
        assert names[engine] <= own.keys()
        assert not own.keys() & run
        # The tests need them in the same versions; TensorFlow brings a few as well.
        assert own.items() <= {**pinned("dev"), **pinned("cpu")}.items()
    assert {"pytest", "mypy", "ruff", "selenium", "hypothesis"} <= dev


def test_every_package_has_its_digests() -> None:
    for lock in LOCKS:
        entries = re.split(r"^(?=\S)", (ROOT / "requirements" / f"{lock}.lock").read_text(), flags=re.M)
        assert [entry for entry in entries if entry.strip() and "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize(
    ("installed", "choice", "expected"),
    [
        ({"numpy"}, "cpu", []),
        ({"numpy", "tensorflow-cpu"}, "cpu", []),
        ({"numpy", "tensorflow"}, "cuda", []),
        ({"numpy", "tensorflow"}, "cpu", ["tensorflow"]),
        ({"numpy", "tensorflow-cpu", "wrapt"}, "cuda", ["tensorflow-cpu"]),
        # Each has written over the other's files, and either may lack some.
        ({"tensorflow-cpu", "tensorflow"}, "cuda", ["tensorflow", "tensorflow-cpu"]),
        ({"tensorflow", "nvidia-cudnn-cu12", "wrapt"}, "cpu", ["nvidia-cudnn-cu12", "tensorflow"]),
        ({"tensorflow", "nvidia-cudnn-cu12"}, "cuda", []),
    ],
)
def test_another_tensorflow_goes_before_one_comes(
    installed: set[str], choice: str, expected: list[str], script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr("sys.platform", "linux")
    assert script.foreign(installed, choice) == expected


def test_where_processors_have_no_package_of_their_own_tensorflow_stays(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert script.foreign({"tensorflow"}, "cpu") == []


def test_what_is_installed_is_read_from_the_environment(script: ModuleType, tmp_path: Path) -> None:
    for name in ("tensorflow_cpu-2.21.0.dist-info", "numpy-2.4.6.dist-info", "numpy"):
        (tmp_path / "lib/python3.11/site-packages" / name).mkdir(parents=True)
    assert script.installed(str(tmp_path)) == {"tensorflow-cpu", "numpy"}


def test_the_size_and_the_time_are_given_first(script: ModuleType) -> None:
    first, second = script.introduction(".venv", "cpu", []).splitlines()
    assert first.startswith("installing what running needs into .venv, with TensorFlow for processors alone")
    assert re.search(r"\d GB on the disk, \d\.\d GB of them fetched .*; about \d+ minutes", second)
    assert "the tools of development" in script.introduction(".venv", "cuda", ["dev"])


def test_pip_is_followed(script: ModuleType) -> None:
    fetching = "Collecting numpy==2.4.6 (from …)\n  Downloading numpy\nRequirement already satisfied: six==1.17\n"
    assert script.progress(fetching, 0, 144) == "fetched 2 of 144 packages"
    unpacking = f"{fetching}Installing collected packages: numpy, rich, dask\n"
    assert script.progress(unpacking, 1, 144) == "unpacked 1 of 3 packages"


def test_an_unsupported_python_is_refused(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.version_info", (3, 9, 2, "final", 0))
    with pytest.raises(SystemExit, match=r"Python 3\.11 to 3\.13 is needed, .* is 3\.9: make PYTHON=python3\.12"):
        script.main()
