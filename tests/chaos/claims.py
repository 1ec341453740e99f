"""The claims of a process about itself, held against the store."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Mapping

from pipelines.command import INTERRUPTED
from tests.chaos.cases import Outcome
from tests.chaos.differences import COUNTED, differences
from tests.chaos.processes import Process, result

# Seconds between the last look at the store and the line about it; what happens to the store then is not known.
GRACE = 0.25
WHOLE = ("To compare the trials", "registered trial", "all of it is in")
STORE_AT_ONCE = ("store removed", "store replaced")
# What a message says has happened, and what must have happened.
CAUSES: Mapping[str, tuple[str, ...]] = {
    "was removed or replaced": STORE_AT_ONCE,
    "no longer has": (*STORE_AT_ONCE, "store emptied", "server emptied"),
    "does not answer": ("server emptied",),
    "there is no such store": STORE_AT_ONCE,
    "not everything could be logged": (
        *STORE_AT_ONCE,
        "store emptied",
        "server emptied",
        "interrupted",
        "hung up",
        "terminated",
    ),
    "cannot run trials": ("stranger joined",),
    "interrupted": ("interrupted", "hung up", "terminated"),
    "is in use": (),
    "was left unfinished": STORE_AT_ONCE,
    "Traceback": (),
    "error:": (*STORE_AT_ONCE, "store emptied", "server emptied", "stranger joined"),
}
# These are also said by a later process: what removes a store may leave an empty file.
LATER = ("was left unfinished", "there is no such store")


def check(process: Process, struck: Mapping[str, float], outcome: Outcome) -> None:
    """Count what a process claims that is not so, at an instant at which no other works on the sweep."""
    if process.status == -signal.SIGINT:  # Python's own end, with its own words, before the command has begun
        return
    for text, kinds in CAUSES.items():
        wrong = [line for _, line in process.lines if text in line and not line.startswith("  ")]
        happened = struck.keys() | ({outcome.case.mishap} if text in LATER else set())
        if wrong and not happened & {*kinds}:
            outcome.add("false claims", f"{wrong[0]!r} after {', '.join(struck) or 'nothing'}\n{process.output}")
    last = max((when for kind, when in struck.items() if kind.startswith(("store", "server"))), default=0.0) + GRACE
    claimed = [line for when, line in process.lines if when > last and any(text in line for text in WHOLE)]
    if process.status == 0 and process.ended > last:
        claimed.append("exit status 0")
    if claimed:
        counts = counted(outcome)
        if faults := [f"{counts[name]} {name}" for name in counts.keys() - {*COUNTED} if counts[name]]:
            outcome.add("false claims", f"{claimed[0]!r}, but {faults} after {', '.join(struck)}\n{process.output}")
    if (process.status or 0) > 0 and process.status != INTERRUPTED and not process.output and "unread" not in struck:
        outcome.add("ends without a word", f"status {process.status} after {', '.join(struck)}")


def counted(outcome: Outcome) -> Counter[str]:
    """Return the faults that the store has at this moment."""
    case = outcome.case
    faults: Counter[str] = Counter()
    for directory in case.directories:
        faults += Counter(json.loads(result(lambda d=directory: json.dumps(differences(d, case.store)))))
    return faults
