"""The program that lets mishaps befall sweeps, of which `make chaos` runs hundreds for an hour: it must work itself."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT


@pytest.mark.long
def test_sweeps_to_which_anything_happens_lose_nothing() -> None:
    command = [sys.executable, "-m", "tests.chaos", "2", "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=580)
    assert done.returncode == 0, done.stdout
    assert " 0 sweeps without an end" in done.stdout
    assert " 0 trials lost" in done.stdout
