"""The states of a sweep, and the reasons why it ends before all of its trials have run."""

from __future__ import annotations

MINUTES, TARGET, MAX_FAILURES = "minutes", "target", "max_failures"
EXHAUSTED = "exhausted"  # the tuner has no more trials, although the budget has
# The reasons that the running trials are given, too.
STOPPING = {MINUTES: "the time is up", TARGET: "the target is reached"}
IN_WORDS = {**STOPPING, EXHAUSTED: "the space is exhausted", MAX_FAILURES: "too many trials failed in a row"}
# Of a sweep that has not ended; one that has ended is in the state with which it did.
RUNNING, INTERRUPTED = "running", "interrupted"


def state(status: str | None, *, running: bool) -> str:
    """Return the state of a sweep that ended with a status, or None, and that a process runs or not."""
    return status or (RUNNING if running else INTERRUPTED)
