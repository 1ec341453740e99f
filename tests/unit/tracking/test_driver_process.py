import json
import subprocess
import sys
from pathlib import Path

from sweeps.tracking import driver_process


def test_this_process_is_not_dead() -> None:
    assert not driver_process.known_dead(driver_process.identity())


def test_a_process_is_known_to_be_dead_once_it_is_even_while_its_parent_has_not_looked() -> None:
    code = "from sweeps import process; import json; print(json.dumps(driver_process.identity()), flush=True); input()"
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    )
    assert child.stdout is not None
    identity = json.loads(child.stdout.readline())
    assert identity["pid"] == str(child.pid)
    assert not driver_process.known_dead(identity)
    child.kill()
    while not driver_process.known_dead(identity):  # a zombie from here on
        pass
    child.communicate()
    assert driver_process.known_dead(identity)


def test_of_another_machine_nothing_is_known() -> None:
    dead = driver_process.identity() | {"start": "1"}
    assert driver_process.known_dead(dead)
    assert not driver_process.known_dead(dead | {"host": "elsewhere"})
    assert not driver_process.known_dead(dead | {"pid_namespace": "another container"})


def test_a_boot_ends_every_process() -> None:
    assert driver_process.known_dead(driver_process.identity() | {"boot_id": "the one before"})


def test_what_is_not_a_whole_identity_is_not_known_to_be_dead() -> None:
    assert not driver_process.known_dead({})
    assert not driver_process.known_dead({"host": driver_process.identity()["host"]})
