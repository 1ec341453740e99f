"""The references of one sweep while it runs: from the cache, otherwise trained as tasks on workers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from conf import secrets
from sweeps.journal import ReferenceEnded, SweepRecord
from sweeps.plan import LOAD_WHOLE, Plan
from sweeps.trials import predictions, reference_cache, references
from sweeps.trials.spec import Reference, TrialSpec

NUMBER, NUMBER_OF_WHOLE = -1, -2  # of the tasks, where a trial has its own


class References:
    """The task that trains some of them, and which are left; the cache's files for them are in the folder `kept`."""

    def __init__(self, plan: Plan, kept: Path, names: Sequence[str], spec: TrialSpec) -> None:
        self.spec = spec
        self._names = names
        self._directory = plan.directory
        self._kept = kept / f"{spec.digest}-{references.version()}.npz"
        self._ended: set[str] = set()  # in this process

    @classmethod
    def of(cls, plan: Plan, kept: Path) -> list[References]:
        """Return those on the data as trials get them and, if the plan has whole texts, before them the one on these.

        That one takes the longest, and where the last trials end one by one, what is longest must begin first.
        """
        # The baseline has the settings of the data as they are configured.
        spec = plan.spec(0, plan.space.defaults(), 0, 1)._replace(trial=NUMBER, reference=True)
        tasks = [cls(plan, kept, references.NAMES, spec)]
        if plan.whole:
            data = {**spec.data, "digest": plan.whole}
            whole = spec._replace(trial=NUMBER_OF_WHOLE, load=LOAD_WHOLE, data=data, digest=plan.whole)
            tasks.insert(0, cls(plan, kept, [references.WHOLE], whole))
        return tasks

    def left(self, record: SweepRecord) -> list[str]:
        """Return the names of those that are yet to be trained; what failed is tried again when the sweep goes on."""
        known = {name for name, reference in record.references.items() if reference.completed}
        return [name for name in self._names if name not in known | self._ended]

    def try_again(self, retries: int) -> bool:
        """Count a task whose worker died, and return whether it is to be run again."""
        self.spec = self.spec._replace(attempt=self.spec.attempt + 1)
        return self.spec.attempt <= 1 + retries

    def cached(self, record: SweepRecord) -> Iterator[ReferenceEnded]:
        yield from self._events(reference_cache.read(self._kept), record, cached=True)

    def trained(self, found: Sequence[Reference], record: SweepRecord) -> Iterator[ReferenceEnded]:
        """Keep them in the cache, and yield their events. Raises `OSError` if their predictions cannot be written."""
        reference_cache.write(self._kept, found)
        yield from self._events(found, record, cached=False)
        self._ended.update(self._names)  # a worker that returned too few would return them again

    def failed(self, reason: str, record: SweepRecord) -> Iterator[ReferenceEnded]:
        yield from self._events([Reference(name, failure=reason) for name in self._names], record, cached=False)

    def _events(self, found: Sequence[Reference], record: SweepRecord, *, cached: bool) -> Iterator[ReferenceEnded]:
        left = self.left(record)
        for reference in found:
            if reference.name in left:
                self._ended.add(reference.name)
                yield self._event(reference, cached=cached)

    def _event(self, reference: Reference, *, cached: bool) -> ReferenceEnded:
        whole = reference.name == references.WHOLE
        if reference.failure:
            return ReferenceEnded(reference.name, "failed", secrets.hidden(reference.failure), whole=whole)
        return ReferenceEnded(
            name=reference.name,
            status="completed",
            settings={"C": reference.penalty},
            scores=reference.scores or {},
            final=reference.final or {},
            cost={"seconds": reference.seconds, "documents": reference.documents},
            predictions=predictions.save(self._directory, reference.name, reference.predictions),
            final_predictions=predictions.save(self._directory, f"{reference.name}_final", reference.final_predictions),
            cached=cached,
            whole=whole,
        )
