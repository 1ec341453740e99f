"""The terminal's text: names, labels, paths and messages from outside are shown, and never obeyed.

A control character could move the cursor, change what stands above, or set the window's title; Rich would take
`[draft]` for a style and `:smile:` for a picture.
"""

from __future__ import annotations

import logging
import sys
import unicodedata
from typing import IO, Any

import rich.console
from rich.text import Text

EMBEDDINGS = range(0x202A, 0x202F)  # bidirectional embeddings and overrides, which reorder the text around them
ISOLATES = range(0x2066, 0x206A)
ESCAPED = ("Cc", "Cs", "Zl", "Zp")  # categories: controls, halves of surrogate pairs, separators of lines
SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def escaped(text: str) -> str:
    """Return a text as one line without control characters; these are escaped as in JSON."""
    return text if text.isascii() and text.isprintable() else "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    code = ord(character)
    if unicodedata.category(character) in ESCAPED or code in EMBEDDINGS or code in ISOLATES:
        return SHORT.get(character, f"\\u{code:04x}")
    return character


class Console(rich.console.Console):
    """A console that shows every string as it is, on one line, in what its terminal can encode.

    The lines and the style of a `Text` are the program's own.
    """

    def __init__(self, file: IO[str] | None = None, width: int | None = None, *, terminal: bool | None = None) -> None:
        super().__init__(file=file, width=width, force_terminal=terminal, markup=False, emoji=False, highlight=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """Make a renderable of a string; Rich calls this for everything that is printed and for a table's cells."""
        encodable = text.encode(self.encoding, "backslashreplace").decode(self.encoding)
        return super().render_str(escaped(encodable), **options)


def say(console: rich.console.Console, sentence: str) -> None:
    """Print a sentence: a terminal's lines break between its words; anywhere else it is one line."""
    console.print(sentence, soft_wrap=not console.is_terminal)


def prepare_streams() -> None:
    """Let the standard streams escape what their encoding lacks, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a test's stream has no encoding
            stream.reconfigure(errors="backslashreplace")


class Lines(logging.Formatter):
    """The format of log messages: each is one line."""

    def format(self, record: logging.LogRecord) -> str:
        return escaped(super().format(record))
