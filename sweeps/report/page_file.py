"""The file of a page: its name, the sign by which it is known to be this project's, and the script that it may run."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

FILE = "report.html"  # of a sweep
SIGN = b"--best: #"  # in the style of all pages
BEGINNING = 2**16  # bytes, in which the style lies


def is_ours(path: Path) -> bool:
    """Say whether a file is a page of this project."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return SIGN in file.read(BEGINNING)


@cache
def script() -> str:
    """Return the one script of all pages as a Content-Security-Policy allows it: by its digest."""
    template = Path(__file__).parent / "templates" / "script.html"
    content = re.search("<script>(.*)</script>", template.read_text(encoding="utf-8"), re.DOTALL)
    assert content is not None
    digest = base64.b64encode(hashlib.sha256(content[1].encode()).digest()).decode()
    return f"'sha256-{digest}'"
