"""Stores and drivers as other processes see them."""

import json
import multiprocessing
import subprocess
import sys
from pathlib import Path

from sweeps.tracking import driver_process, store
from sweeps.tracking.tracker import Tracker
from tests.servers import Start

IDENTITY = """
import json
from sweeps.tracking import driver_process
print(json.dumps(driver_process.identity()), flush=True)
input()
"""


def open_store(_: int) -> str:
    tracker = Tracker(store.uri(None))
    assert tracker.close()
    return tracker.uri


def test_processes_that_open_a_new_store_at_once_all_succeed(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert pool.map(open_store, range(2), chunksize=1) == [f"sqlite:///{tmp_path}/mlflow.db"] * 2


def test_a_process_is_known_to_be_dead_even_while_its_parent_has_not_noticed(start: Start) -> None:
    child = start([sys.executable, "-c", IDENTITY], stdin=subprocess.PIPE)
    assert child.stdout is not None
    identity = json.loads(child.stdout.readline())
    assert identity["pid"] == str(child.pid)
    assert not driver_process.known_dead(identity)
    child.kill()
    while not driver_process.known_dead(identity):  # a zombie from here on
        pass
    child.communicate()
    assert driver_process.known_dead(identity)
