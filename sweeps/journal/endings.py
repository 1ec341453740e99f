"""The reasons why a sweep ends before all of its trials have run."""

from __future__ import annotations

MINUTES, TARGET, MAX_FAILURES = "minutes", "target", "max_failures"
EXHAUSTED = "exhausted"  # the tuner has no more trials, although the budget has
# The first two are also the reasons that the running trials are given.
IN_WORDS = {MINUTES: "the time is up", TARGET: "the target is reached", EXHAUSTED: "the space is exhausted"}
