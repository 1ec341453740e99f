"""The identity of a process, and whether another process can know that it has died."""

from sweeps.tracking import driver_process


def test_this_process_is_not_dead() -> None:
    assert not driver_process.known_dead(driver_process.identity())


def test_nothing_is_known_of_another_machine() -> None:
    dead = driver_process.identity() | {"start": "1"}
    assert driver_process.known_dead(dead)
    assert not driver_process.known_dead(dead | {"host": "elsewhere"})
    assert not driver_process.known_dead(dead | {"pid_namespace": "another container"})


def test_a_boot_ends_every_process() -> None:
    assert driver_process.known_dead(driver_process.identity() | {"boot_id": "the one before"})


def test_an_incomplete_identity_is_not_known_to_be_dead() -> None:
    assert not driver_process.known_dead({})
    assert not driver_process.known_dead({"host": driver_process.identity()["host"]})


def test_the_tags_of_a_run_tell_its_process() -> None:
    tags = driver_process.tags()
    assert all(key.startswith("driver.") for key in tags)
    assert not driver_process.is_known_dead({**tags, "kind": "sweep"})
    assert driver_process.is_known_dead({**tags, "kind": "sweep", "driver.start": "1"})
    assert not driver_process.is_known_dead({"kind": "sweep"})
