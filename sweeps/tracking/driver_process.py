"""The identity of the process that runs a sweep, recorded in tags so that another process can tell whether it lives."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path

import psutil

TAG = "driver."  # prefix


def tags() -> dict[str, str]:
    """Return the tags of a run that this process works on."""
    return {f"{TAG}{key}": value for key, value in identity().items()}


def is_known_dead(tags: Mapping[str, str]) -> bool:
    """Whether the process that these tags of a run name has died; False if that cannot be known."""
    return known_dead({key.removeprefix(TAG): value for key, value in tags.items() if key.startswith(TAG)})


def identity() -> dict[str, str]:
    """Identify this process across hosts, reboots, containers and reused process ids."""
    return {
        "host": socket.gethostname(),
        "boot_id": _boot_id(),
        "pid_namespace": _pid_namespace(),
        "pid": str(os.getpid()),
        "start": _start(os.getpid()),
    }


def known_dead(driver: Mapping[str, str]) -> bool:
    """Whether the process with this `identity` ran on this machine and has died; False if that cannot be known."""
    here = identity()
    if driver.keys() != here.keys() or driver["host"] != here["host"] or not driver["pid"].isdecimal():
        return False
    if driver["boot_id"] != here["boot_id"]:
        return True
    if driver["pid_namespace"] != here["pid_namespace"]:  # another container, whose process ids mean nothing here
        return False
    pid = int(driver["pid"])
    return not psutil.pid_exists(pid) or _start(pid) != driver["start"]


def _boot_id() -> str:
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else str(int(psutil.boot_time()))


def _pid_namespace() -> str:
    path = Path("/proc/self/ns/pid")
    return str(path.readlink()) if path.is_symlink() else ""


def _start(pid: int) -> str:
    """Return when a process began: in clock ticks since the boot on Linux, as the wall clock may be set."""
    try:
        # The fields from the third on; the second, in brackets, may hold blanks.
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if state in "ZX" else rest[18]  # field 22; a zombie is dead although its parent has not noticed
    except FileNotFoundError:
        try:
            return str(psutil.Process(pid).create_time())
        except psutil.NoSuchProcess:
            return ""
