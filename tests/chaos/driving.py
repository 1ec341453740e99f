"""The sessions of one sweep, and what happens to them, until one has come to its end."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from tests.chaos import claims
from tests.chaos.cases import Case, Outcome
from tests.chaos.differences import has_ended
from tests.chaos.mishaps import Strike, ends
from tests.chaos.processes import Process

AFTER_SIGNAL = 90.0  # seconds until a process that was sent one must have ended
AT_MOST = 600.0  # seconds of a process to which nothing happens any more
ATTEMPTS = 60  # sessions of a sweep


class Sessions(NamedTuple):
    """How the processes of a case are started, and what may happen to them when."""

    start: Callable[[str, list[str]], Process]  # by the command's name and its arguments
    first: Sequence[str]  # arguments
    strikes: Mapping[str, Strike]  # what can happen, by its name
    span: tuple[float, float]  # seconds after the start, or after the first line
    most: int = 1000  # mishaps


def until_done(case: Case, sessions: Sessions) -> Outcome:
    """Run a sweep in as many processes as it takes."""
    chance = random.Random(case.number)
    outcome = Outcome(case)
    for _ in range(ATTEMPTS):
        process = sessions.start("sweep", _arguments(case, sessions))
        struck = _disturb(process, case, sessions, outcome, chance)
        claims.check(process, struck, outcome)
        is_done = process.status == 0
        if "pipelines.sync" in process.output:
            is_done = _synchronise(case, sessions, outcome) and all(map(has_ended, case.directories))
        if is_done:
            outcome.faults += claims.counted(outcome)
            return outcome
        if not struck:
            outcome.add("sessions that failed", process.output)
        if "renamed" in struck:
            _rename(case, chance)
    raise RuntimeError(f"no end in {ATTEMPTS} sessions: {outcome.mishaps}")


def _arguments(case: Case, sessions: Sessions) -> list[str]:
    begun = sorted(path.parent for path in case.folder.glob("outputs/*/config.yaml"))
    return [f"resume={directory.relative_to(case.folder)}" for directory in begun[:1]] or list(sessions.first)


def _disturb(
    process: Process, case: Case, sessions: Sessions, outcome: Outcome, chance: random.Random
) -> dict[str, float]:
    """Let mishaps happen until one has ended the process, or it ended; returns when which happened."""
    struck: dict[str, float] = {}
    began = time.monotonic()
    while True:
        happened = outcome.mishaps.total()
        kind = case.mishap if happened == 0 or chance.random() < 0.3 else chance.choice(list(sessions.strikes))
        if not ends(kind) and not struck:  # in mid-sweep: behind the line that names the journals and the store
            process.wait_for_line(began + AT_MOST)
            began = time.monotonic()
        instant = began + chance.uniform(*sessions.span) * 1.25**happened  # or it might never come to an end
        quiet = happened >= sessions.most or (len(struck) == 1 and chance.random() < 0.5) or len(struck) > 1
        if process.wait(began + AT_MOST if quiet else instant):
            return struck
        if quiet:
            raise RuntimeError(f"run {case.number} hangs: {process.output}")
        struck[kind] = time.monotonic()
        sessions.strikes[kind](process)
        outcome.mishaps[kind] += 1
        if ends(kind):
            if not process.wait(time.monotonic() + AFTER_SIGNAL):
                raise RuntimeError(f"run {case.number} outlives that it was {kind}: {process.output}")
            return struck


def _synchronise(case: Case, sessions: Sessions, outcome: Outcome) -> bool:
    (directory,) = case.directories
    process = sessions.start("sync", [str(directory.relative_to(case.folder))])
    process.wait(time.monotonic() + AT_MOST)
    claims.check(process, {}, outcome)
    if process.status != 0:
        outcome.add("syncs that failed", process.output)
    return process.status == 0


def _rename(case: Case, chance: random.Random) -> None:
    for directory in case.directories:
        directory.rename(directory.with_name(f"mine-{chance.randrange(10**6)}"))
