"""Stores and drivers as other processes see them."""

import json
import multiprocessing
import subprocess
import sys
from multiprocessing.synchronize import Barrier
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


def open_store(together: Barrier) -> None:
    together.wait(120)  # each has imported MLflow by now, which takes longer than making a store
    tracker = Tracker(store.uri(None))
    tracker.wait_until_opened()
    assert tracker.close()


def test_processes_that_open_a_new_store_at_once_all_succeed(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(3)
    processes = [context.Process(target=open_store, args=(together,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert {path.name for path in tmp_path.iterdir()} <= {"mlflow.db", "mlflow.db-wal", "mlflow.db-shm"}


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
