"""What importing `sweeps` settles for the process."""

import subprocess
import sys

CODE = """
import atexit, gc
atexit.register(lambda: print("at the end", gc.get_freeze_count() > 1000))  # called last
default = gc.get_threshold()[0]
import sweeps
print("called", gc.isenabled() and gc.get_threshold()[0] > 10 * default)
"""


def test_the_collector_is_called_less_often_and_not_as_the_process_ends() -> None:
    ended = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines() == ["called True", "at the end True"]
