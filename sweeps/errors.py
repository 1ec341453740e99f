"""The errors that end a sweep or a trial although the user asked for nothing wrong."""

from __future__ import annotations

from conf import secrets


class SweepError(Exception):
    """A sweep cannot go on, for a reason outside the configuration; the message is one line without passwords."""

    def __init__(self, message: str) -> None:
        super().__init__(secrets.hidden(" ".join(message.split())))


class TrialFailedError(Exception):
    """The trial itself is at fault and would fail again; the message is the trial's `reason`."""
