"""Pages as HTML files that need nothing else: figures and style are embedded, and there are no scripts."""

from __future__ import annotations

import base64
import time
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from sweeps.analysis.wording import number, percent
from sweeps.errors import SweepError
from sweeps.report.page_file import is_ours

TEMPLATES = Path(__file__).parent / "templates"


class Figure(NamedTuple):
    """A figure of a page; `name` is also its file's name without the suffix."""

    name: str
    title: str
    alt: str
    png: bytes


class Report(NamedTuple):
    """A page and the figures that are embedded in it."""

    html: str
    figures: tuple[Figure, ...]


def render(template: str, **content: Any) -> str:
    """Fill in a template of `templates/`; all content is escaped."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"embedded": _embedded, "number": number, "percent": percent, "date": _date}
    return environment.get_template(template).render(**content)


def refuse_foreign(path: Path) -> None:
    """Raise `SweepError` if there is a page that is none of this project's: it must not be written over."""
    if path.exists() and not is_ours(path):
        raise SweepError(f"{path}: not a page of this command; move it away")


def _embedded(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
