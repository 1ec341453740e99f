"""The errors that end a sweep or a trial although the user asked for nothing wrong."""

from __future__ import annotations

import re
import traceback

from conf import secrets

# What Keras and TensorFlow put before the line that names the cause.
PREAMBLES = re.compile(
    r"Exception encountered when calling |Could not automatically infer the output shape|Arguments received by "
    r"|Graph execution error|Detected at node |File \"|\[\[\{\{node"
)
# What they put around its words: colours, and the operation's place in a graph.
AROUND = re.compile(r"\x1b\[[0-9;]*m|\{\{function_node [^}]*\}\} ?| \[Op:\w+\](?: name: *[\w/]*)?")


class SweepError(Exception):
    """A sweep cannot go on, for a reason outside the configuration; the message is one line without passwords."""

    def __init__(self, message: str) -> None:
        super().__init__(secrets.hidden(" ".join(message.split())))

    def _render_traceback_(self) -> list[str]:
        """Return what a notebook shows instead of a traceback, whose frames are this project's."""
        return [f"{type(self).__name__}: {self}"]


class TrialFailedError(Exception):
    """The trial itself is at fault and would fail again; the message is the trial's `reason`."""


class HostFailedError(TrialFailedError):
    """The trial failed, and might not on another host: for want of memory there, or of the driver's data."""


def reason_of(error: BaseException) -> str:
    """Return one line that names an error's type and its cause, also where Keras or another error wraps it."""
    innermost = error
    while innermost.__cause__ is not None:
        innermost = innermost.__cause__
    line = _with_type(error)
    return line if _message(innermost) in line else f"{line} ({_with_type(innermost)})"


def _with_type(error: BaseException) -> str:
    kind = "" if type(error) is Exception else type(error).__name__
    return ": ".join(filter(None, (kind, _message(error)))) or "Exception"


def _message(error: BaseException) -> str:
    """Return the line of an error's text that names its cause."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    lines = [line for line in map(str.strip, AROUND.sub("", text).splitlines()) if line]
    meaningful = [line for line in lines if not PREAMBLES.match(line)]
    return next(iter(meaningful or lines), "")


def traceback_of(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))
