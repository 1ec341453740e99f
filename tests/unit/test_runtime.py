"""The settings of a process; each test asks a fresh one."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sweeps import runtime
from tests.conftest import ROOT

CODE = """
import atexit, gc, os
atexit.register(lambda: print(gc.get_freeze_count() > 1000))  # runs last
default = gc.get_threshold()
from sweeps import runtime
print(gc.get_threshold() == default)
runtime.prepare()
runtime.prepare()
print(gc.isenabled() and gc.get_threshold()[0] > 10 * default[0])
names = ("MLFLOW_DISABLE_TELEMETRY", "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "TF_FORCE_GPU_ALLOW_GROWTH")
print(*map(os.environ.get, names))
"""


@pytest.mark.parametrize("growth", [None, "false"])
def test_a_prepared_process_collects_less_often_and_nothing_at_its_end_and_takes_no_whole_gpu(
    growth: str | None,
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "7"}
    environment.pop("TF_FORCE_GPU_ALLOW_GROWTH", None)
    environment |= {"TF_FORCE_GPU_ALLOW_GROWTH": growth} if growth else {}
    ended = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines() == ["True", "True", f"true 7 {growth or 'true'}", "True"]


def test_imports_find_no_package_that_is_hidden_from_them_unless_it_was_loaded_before() -> None:
    loaded = sys.modules["pytest"]
    sys.modules.pop("wave", None)
    with runtime.without("wave", "pytest"):
        with pytest.raises(ImportError):
            importlib.import_module("wave")
        assert importlib.import_module("pytest") is loaded
    assert importlib.import_module("wave").__name__ == "wave"
    assert sys.modules["pytest"] is loaded


def test_a_setting_of_the_users_for_another_backend_does_not_keep_keras_from_being_imported(tmp_path: Path) -> None:
    (tmp_path / "keras.json").write_text('{"backend": "jax", "nnx_enabled": true}')
    code = "from sweeps import runtime; runtime.prepare(); import keras; print(keras.backend.backend())"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "KERAS_HOME": str(tmp_path)}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert ended.stdout == "tensorflow\n"
