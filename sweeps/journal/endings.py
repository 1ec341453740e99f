"""The reasons why a sweep ends before all of its trials have run."""

from __future__ import annotations

MINUTES, TARGET, MAX_FAILURES = "minutes", "target", "max_failures"
# Those that end the running trials too, for this reason.
IN_WORDS = {MINUTES: "the time is up", TARGET: "the target is reached"}
