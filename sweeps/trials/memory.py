"""The memory of this machine, or of the control group (container) that this process lies in, as Linux counts it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil

PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")


def kills() -> int:
    """Count the processes that the system has ended for want of memory; 0 where it does not tell."""
    files = [group / name for group in _groups() for name in ("memory.events", "memory.oom_control")]
    counters = [PROC / "vmstat", *files]
    return sum(int(value) for file in counters for name, _, value in _pairs(file) if name == "oom_kill")


def limit() -> int:
    """Return the bytes that the processes of this control group may take together."""
    limits = [_number(group / name) for group in _groups() for name in ("memory.max", "memory.limit_in_bytes")]
    return min([int(psutil.virtual_memory().total), *(number for number in limits if number)])


def in_words(size: float) -> str:
    """Write bytes in the unit that `engine.memory` is usually given in: `512 MB`."""
    return f"{size / 1e6:.0f} MB" if size < 1e10 else f"{size / 1e9:.0f} GB"


def _groups() -> Iterator[Path]:
    """Yield the folders of this process's control group, of both versions; inside a container it is the topmost one."""
    for line in _lines(PROC / "self" / "cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):
            top = CGROUPS / controllers
            yield top if path == "/" or not (top / path[1:]).is_dir() else top / path[1:]


def _pairs(file: Path) -> Iterator[tuple[str, str, str]]:
    yield from (line.partition(" ") for line in _lines(file))


def _number(file: Path) -> int | None:
    text = "".join(_lines(file))
    return int(text) if text.isdecimal() else None


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:
        return []
