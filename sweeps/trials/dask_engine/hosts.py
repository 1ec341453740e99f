"""The hosts of a cluster, and how trials fare on them.

A full disk or a broken library is not a trial's fault: what fails on one host is tried on another before it counts.
A host on which several trials in a row fail that others complete gets no more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

IN_A_ROW = 3  # failures on a host, without a trial that it completes, after which it gets no trial for the present

Trial = tuple[str, int]  # the sweep's name and the number


class Hosts:
    """A record of which trials failed, and which were completed, on each host of one command."""

    def __init__(self) -> None:
        self.refused: dict[str, str] = {}  # host -> why it gets no trial any more
        self._failures: dict[str, dict[Trial, str]] = {}  # host -> trial -> reason, since it last completed one
        self._well: set[str] = set()  # hosts that completed the last trial of theirs that ended
        self._worse: set[str] = set()  # hosts where a trial failed that another host completed
        self._at_fault: set[Trial] = set()  # trials that failed on hosts that were well

    def usable(self, present: Collection[str]) -> set[str]:
        """Return the hosts that may get a trial: if many fail everywhere, that speaks against no host."""
        kept = set(present) - self.refused.keys()
        return {host for host in kept if len(self._failures.get(host, ())) < IN_A_ROW} or kept

    def places(self, trial: Trial, present: Collection[str]) -> set[str]:
        """Return the hosts that may get a certain trial."""
        usable = self.usable(present)
        return {host for host in usable if trial not in self._failures.get(host, ())} or usable

    def failed(self, host: str, trial: Trial, reason: str, present: Collection[str]) -> bool:
        """Take in a failure; returns whether the trial is to be tried on another host before it counts."""
        if trial in self._at_fault:
            return False
        if host in self.refused:
            return bool(self.usable(present))
        failures = self._failures.setdefault(host, {})
        failed_before = any(trial in others for others in self._failures.values())
        failures[trial] = reason
        is_left = any(trial not in self._failures.get(other, ()) for other in self.usable(present))
        if not is_left or (failed_before and host in self._well):
            self._at_fault.add(trial)
            for others in self._failures.values():
                others.pop(trial, None)
            return False
        self._well.discard(host)
        return True

    def completed(self, host: str, trial: Trial) -> None:
        """Take in that a trial was completed on a host."""
        self._at_fault.discard(trial)
        self._failures.pop(host, None)
        self._worse.discard(host)
        self._well.add(host)
        self._worse.update(other for other, failures in self._failures.items() if trial in failures)

    def refuse(self, host: str, reason: str) -> None:
        self.refused[host] = reason

    def newly_refused(self) -> Iterator[str]:
        """Refuse the hosts on which trials keep failing, and yield a line about each."""
        for host in sorted(self._worse - self.refused.keys()):
            failures = self._failures[host]
            if len(failures) >= IN_A_ROW:
                self.refuse(host, list(failures.values())[-1])
                line = f"{len(failures)} trials in a row failed there, and elsewhere they do not: {self.refused[host]}"
                yield f"host {host} gets no more trials: {line}"
