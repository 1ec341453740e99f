"""The system's own counters, invented."""

from pathlib import Path

import psutil
import pytest

from sweeps.trials import memory


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(memory, "PROC", tmp_path / "proc")
    monkeypatch.setattr(memory, "CGROUPS", tmp_path / "groups")
    (tmp_path / "proc" / "self").mkdir(parents=True)
    return tmp_path


def test_kills_and_limit_are_those_of_the_own_control_group(system: Path) -> None:
    (system / "proc" / "self" / "cgroup").write_text("0::/a/b\n")
    (system / "proc" / "vmstat").write_text("oom_kill 2\nother 7\n")
    group = system / "groups" / "a" / "b"
    group.mkdir(parents=True)
    (group / "memory.events").write_text("low 0\noom 9\noom_kill 3\n")
    (group / "memory.max").write_text("4000000000\n")
    assert (memory.kills(), memory.limit()) == (5, 4_000_000_000)
    (group / "memory.max").write_text("max\n")
    assert memory.limit() == psutil.virtual_memory().total


def test_the_first_version_of_control_groups_is_read_too(system: Path) -> None:
    (system / "proc" / "self" / "cgroup").write_text("5:memory:/gone\n4:cpu:/gone\n")
    group = system / "groups" / "memory"
    group.mkdir(parents=True)
    (group / "memory.oom_control").write_text("oom_kill_disable 0\noom_kill 4\n")
    (group / "memory.limit_in_bytes").write_text("512000000\n")
    assert (memory.kills(), memory.limit()) == (4, 512_000_000)


def test_a_system_that_counts_nothing_has_killed_nothing(system: Path) -> None:
    assert (memory.kills(), memory.limit()) == (0, psutil.virtual_memory().total)


def test_sizes_are_written_as_a_user_gives_them() -> None:
    assert [memory.in_words(size) for size in (52_000_000, 4.2e9, 25e9)] == ["52 MB", "4200 MB", "25 GB"]
