"""Pages as HTML files that need nothing else: figures, their data, style and the script that sorts are embedded."""

from __future__ import annotations

import base64
import time
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from sweeps.analysis.wording import number, percent
from sweeps.errors import SweepError
from sweeps.report.page_file import is_ours

TEMPLATES = Path(__file__).parent / "templates"


class Figure(NamedTuple):
    """A figure of a page; `name` is also its files' name without the suffix."""

    name: str
    title: str
    alt: str  # the result that it shows, for whoever cannot see it
    png: bytes
    csv: bytes = b""  # its data


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
    environment.filters |= {
        "embedded": _embedded,
        "download": _download,
        "breakable": _breakable,
        "number": number,
        "percent": percent,
        "date": _date,
    }
    return environment.get_template(template).render(**content)


def refuse_foreign(path: Path) -> None:
    """Raise `SweepError` if there is a page that is none of this project's: it must not be written over."""
    if path.exists() and not is_ours(path):
        raise SweepError(f"{path}: not a page of this command; move it away")


def _embedded(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _download(csv: bytes) -> str:
    return f"data:text/csv;charset=utf-8;base64,{base64.b64encode(csv).decode()}"


def _breakable(name: str) -> Markup:
    """Let a name break after each underscore."""
    return Markup("_<wbr>").join(map(escape, name.split("_")))


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
