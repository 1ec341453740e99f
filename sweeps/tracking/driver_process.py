"""Who runs a sweep, written down so that another process can tell later whether it still does."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path

import psutil


def identity() -> dict[str, str]:
    """What no other process ever was: an id alone is given again."""
    return {
        "host": socket.gethostname(),
        "boot_id": _boot_id(),
        "pid_namespace": _pid_namespace(),
        "pid": str(os.getpid()),
        "start": _start(os.getpid()),
    }


def known_dead(driver: Mapping[str, str]) -> bool:
    """Whether the process with this `identity` was one of this machine and is no more; False if that cannot be told."""
    here = identity()
    if driver.keys() != here.keys() or driver["host"] != here["host"]:
        return False
    if driver["boot_id"] != here["boot_id"]:
        return True
    if driver["pid_namespace"] != here["pid_namespace"]:  # another container: its ids mean nothing here
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
    """When a process began: in clock ticks since the boot where /proc says so, as the wall clock may be set."""
    try:
        # From the third field on; the second, in brackets, may hold blanks.
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if state in "ZX" else rest[18]  # field 22; a zombie is dead, its parent only has not looked
    except FileNotFoundError:
        try:
            return str(psutil.Process(pid).create_time())
        except psutil.NoSuchProcess:
            return ""
