"""Raw texts that a user wants classified: on the command line, in a file, or on standard input."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from conf.schema import ConfigError


def read_texts(on_command_line: Sequence[str], file: str | None) -> list[str]:
    """Return the texts, read to their end; raises `ConfigError` for none, for two sources and for other encodings."""
    if on_command_line and file is not None:
        raise ConfigError(f"file={file}: there is a text on the command line too; give one of them")
    if on_command_line:
        return [_checked(argument) for argument in on_command_line]
    if file is None:
        if sys.stdin.isatty():
            raise ConfigError(
                'no text: give one, e.g. "a film to remember", or file=…, or one text a line on standard input'
            )
        return _lines("standard input", sys.stdin.buffer.read())
    try:
        return _lines(f"file={file}", Path(os.path.expanduser(file)).read_bytes())
    except OSError as error:
        raise ConfigError(f"file={file}: cannot be read ({error.strerror})") from error


def _checked(argument: str) -> str:
    """Return the argument; raises `ConfigError` for bytes that are not UTF-8, which could not be printed again."""
    try:
        argument.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"{argument!a}: the text is not UTF-8") from error
    return argument


def _lines(name: str, content: bytes) -> list[str]:
    """Return one text a line, empty ones too, so that the answers have the same places."""
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if not lines[-1]:
        lines.pop()
    if not lines:
        raise ConfigError(f"{name}: holds no text")
    texts = []
    for number, line in enumerate(lines, start=1):
        try:
            texts.append(line.removesuffix(b"\r").decode())
        except UnicodeDecodeError as error:
            raise ConfigError(f"{name}: line {number} is not UTF-8; nothing was classified") from error
    return texts
