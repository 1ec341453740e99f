"""Commands in an environment that has everything but TensorFlow, as `pip install .` makes it."""

import subprocess
import sys

import pytest

WITHOUT = """
import sys
from importlib import import_module

sys.modules["tensorflow"] = None
sys.argv = ["text-sweeps", *sys.argv[1:]]
import_module("pipelines.__main__").main()
"""


@pytest.mark.usefixtures("fresh_store")
@pytest.mark.parametrize(
    "command",
    [("sweep", "experiment=smoke"), ("sweep", "dry_run=true", "data=imdb"), ("predict", "a film")],
    ids=lambda command: command[0],
)
def test_the_remedy_is_one_line(command: tuple[str, ...]) -> None:
    ended = subprocess.run([sys.executable, "-c", WITHOUT, *command], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        "error: TensorFlow is not installed: make install, or pip install '.[cpu]', or '.[cuda]' for NVIDIA's GPUs\n"
    )
