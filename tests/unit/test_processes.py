"""The processes of tests end with them, also those that got away."""

import subprocess
import sys

import psutil
import pytest

from tests.servers import processes

# Starts a process in a session of its own, prints its id and goes.
GETS_AWAY = """
import subprocess
nothing = subprocess.DEVNULL
print(subprocess.Popen(["sleep", "600"], start_new_session=True, stdout=nothing, stderr=nothing).pid)
"""


def test_what_a_command_left_behind_ends_although_the_test_fails() -> None:
    left = 0

    def fail() -> None:
        nonlocal left
        with processes() as start:
            left = int(start([sys.executable, "-c", GETS_AWAY]).communicate(timeout=60)[0])
            assert not psutil.pid_exists(left)

    with pytest.raises(AssertionError):
        fail()
    assert not psutil.pid_exists(left) or psutil.Process(left).status() == psutil.STATUS_ZOMBIE


def test_a_process_of_others_goes_on() -> None:
    with subprocess.Popen(["sleep", "600"]) as other:
        with processes() as start:
            start(["sleep", "600"])
        assert other.poll() is None
        other.kill()
