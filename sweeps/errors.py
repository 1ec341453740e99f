"""The errors that end a sweep or a trial although the user asked for nothing wrong."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator

# What Keras and TensorFlow put before the line that names the cause.
PREAMBLES = re.compile(
    r"Exception encountered when calling |Could not automatically infer the output shape|Arguments received by "
    r"|Graph execution error|Detected at node |File \"|\[\[\{\{node"
)
CONTROL = re.compile(r"\x1b\[[0-9;]*m")


class SweepError(Exception):
    """A sweep cannot go on, for a reason outside the configuration; the message is one line."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class TrialFailedError(Exception):
    """The trial itself is at fault and would fail again; the message is the trial's `reason`."""


def reason_of(error: BaseException) -> str:
    """Return one line that names an error's type and its cause, also where Keras or another error wraps it."""
    line = _type_and_line(error)
    causes = [_type_and_line(cause) for cause in _causes(error)]
    return f"{line} ({causes[-1]})" if causes and causes[-1] not in line else line


def _causes(error: BaseException) -> Iterator[BaseException]:
    while error.__cause__ is not None:
        error = error.__cause__
        yield error


def _type_and_line(error: BaseException) -> str:
    name = type(error).__name__
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    lines = [line.strip() for line in CONTROL.sub("", text).splitlines()]
    meaningful = [line for line in lines if line and not PREAMBLES.match(line)]
    line = next(iter(meaningful or filter(None, lines)), "")
    return f"{name}: {line}" if line else name


def traceback_of(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))
