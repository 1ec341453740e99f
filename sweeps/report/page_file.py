"""The file of a page: its name, and the sign by which it is known to be this project's."""

from __future__ import annotations

from pathlib import Path

FILE = "report.html"  # of a sweep
SIGN = b"--best: #"  # in the style of all pages


def is_ours(path: Path) -> bool:
    """Say whether a file is a page of this project."""
    return path.is_file() and SIGN in path.read_bytes()
