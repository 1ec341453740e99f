"""A worker's software is compared with the driver's: what it names, and what it leaves to the driver alone."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweeps import software
from sweeps.trials import identity
from sweeps.trials.identity import difference

# Everything that a worker imports before it calls a builder.
WORKER = """
import json, sys
import sweeps.trials.dask_engine.worker, sweeps.trials.training, pipelines.data.dataset, pipelines.data.table_dataset
print(json.dumps([module.__file__ for module in sys.modules.values() if getattr(module, "__file__", None)]))
"""


@pytest.fixture(autouse=True)
def _read_anew() -> Iterator[None]:
    read_anew()
    yield
    read_anew()


def read_anew() -> None:
    for answer in (software._of_this_project, software._of_module, identity.identity):
        answer.cache_clear()


def test_every_file_of_this_project_that_a_worker_imports_counts() -> None:
    answer = subprocess.run(
        [sys.executable, "-c", WORKER], capture_output=True, text=True, check=True, cwd=software.root()
    ).stdout
    files = (Path(file) for file in json.loads(answer))
    names = {file.relative_to(software.root()).as_posix() for file in files if file.is_relative_to(software.root())}
    ours = {name for name in names if name.partition("/")[0] in software.CODE and not name.endswith("__init__.py")}
    assert {"sweeps/trials/training.py", "sweeps/text_encoder.py"} <= ours
    assert [name for name in ours if not name.startswith(identity.ON_WORKERS)] == []


def test_a_builder_outside_this_project_counts_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    for name in ("mine/nets.py", "mine/layers.py"):
        (tmp_path / name).write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    functions = ("mine.nets.build", "models.optimizers.adam")
    before = identity.identity(functions)
    (tmp_path / "mine" / "layers.py").write_text("x = 2\n")
    assert identity.identity(functions) == before  # this process goes on with what it has imported
    read_anew()
    after = identity.identity(functions)
    assert difference(before, after).startswith("mine/layers.py ")
    assert difference(before, identity.identity()).count(".py none instead of ") == 2
    assert difference(identity.identity(), after) == ""


def test_a_change_of_what_the_driver_alone_runs_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    before, code = identity.identity(), software.code()
    identity.identity.cache_clear()
    monkeypatch.setattr(software, "code", lambda _: code | {"sweeps/terminal.py": "0", "pipelines/sweep.py": "0"})
    assert identity.identity() == before
    identity.identity.cache_clear()
    monkeypatch.setattr(software, "code", lambda _: code | {"sweeps/metrics.py": "0"})
    assert "other code of this project: " in difference(before, identity.identity())
