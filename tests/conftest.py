import copy
import functools
import os
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from omegaconf import DictConfig, OmegaConf

# Before anything imports TensorFlow or MLflow.
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # the same tests on every machine
os.environ["TF_NUM_INTRAOP_THREADS"] = "1"  # trials that run in this process do as in a worker

from conf.compose import compose, job
from conf.schema import Config, Job
from sweeps import runtime

runtime.prepare()
# Below `nohup`, or as a shell's background job, the commands that tests start would ignore these, and tests that send
# one would wait for ever.
for number in (signal.SIGHUP, signal.SIGQUIT):
    signal.signal(number, signal.SIG_DFL)

ROOT = Path(__file__).parent.parent

# Settings that no other one depends on while Hydra composes.
NUMBER = re.compile(r"(trials|epochs|minutes|retries|max_failures)=\d+")

# The time of an example says nothing about the code: the first one may import TensorFlow, and a disk may be busy.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def composed_job(*arguments: str) -> Job:
    """The job that a command line asks for; one that names no file and no address is composed once."""
    if any(re.search("=/|://|resume=|archive=", argument) for argument in arguments):
        return _composed(arguments)
    numbers = tuple(argument for argument in arguments if NUMBER.fullmatch(argument))
    composed = _composed_once(tuple(argument for argument in arguments if argument not in numbers))
    return copy.deepcopy(_with_numbers(composed.yaml, numbers) if numbers else composed)


@functools.cache
def _with_numbers(yaml: str, numbers: tuple[str, ...]) -> Job:
    """The same job with other numbers, checked as any: it takes half the time of composing it anew."""
    changed = OmegaConf.merge(OmegaConf.structured(Config), OmegaConf.create(yaml), OmegaConf.from_dotlist([*numbers]))
    assert isinstance(changed, DictConfig)
    return job(changed)


def _composed(arguments: tuple[str, ...]) -> Job:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("sys.argv", ["sweep", *arguments])
        (composed,) = compose()
    return composed


_composed_once = functools.cache(_composed)


@pytest.fixture
def composed() -> Callable[..., Job]:
    """Composes the job that a command line asks for."""
    return composed_job


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Name no waits: whether one is long enough to be named depends on the machine's other work."""
    monkeypatch.setattr("sweeps.terminal.waiting.QUIET", 600.0)


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test works in a folder and with caches of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)


@pytest.fixture
def home(own_folder: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with both caches of `own_folder`; archives may be fetched from this machine."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow store, which takes seconds to make; tests copy it."""
    from sweeps.tracking.tracker import Tracker

    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)  # MLflow puts the artifacts of the experiment Default below the working folder
        assert Tracker(f"sqlite:///{folder}/mlflow.db").close()
    return folder / "mlflow.db"


@pytest.fixture
def fresh_store(empty_store: Path, tmp_path: Path, own_folder: None) -> None:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
