"""Contents -> one HTML file that needs nothing else: figures and style are in it, scripts there are none."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).parent / "templates"


class Figure(NamedTuple):
    name: str  # of its file
    title: str
    alt: str
    png: bytes


def render(template: str, **content: Any) -> str:
    """Fill in a template of `templates/`; whatever is filled in is escaped."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["embedded"] = lambda png: f"data:image/png;base64,{base64.b64encode(png).decode()}"
    return environment.get_template(template).render(**content)
