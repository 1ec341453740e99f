"""The origin of a sweep's numbers: data, seed, code and machine."""

from __future__ import annotations

from sweeps.journal import SweepStarted


def rows(started: SweepStarted) -> list[tuple[str, str]]:
    """The rows of a page's table: a label and a text each."""
    environment = started.environment
    commit = f"{environment.git_commit}{' with uncommitted changes' if environment.git_dirty else ''}"
    return [
        ("data", f"{started.dataset}, {started.source}, digest {started.digest}"),
        ("examples", ", ".join(f"{n:,} {part}" for part, n in started.sizes.items()) or "not recorded"),
        ("seed", str(started.seed)),
        ("code", commit if environment.git_commit else "not a git checkout"),
        ("versions", ", ".join(f"{name} {version}" for name, version in environment.versions.items())),
        *environment.machine.items(),
    ]
