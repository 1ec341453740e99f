"""The loop: ask, journal, submit; events, journal, tell.

Several sweeps share the engine: when one has nothing to propose, its workers go to the next, so that none waits for the
last trial of a sweep.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

from conf.schema import OBJECTIVES
from sweeps import predictions, provenance, stopping
from sweeps.checkpoints import Checkpoints
from sweeps.engine import Engine, Failed, Finished, Message, Started
from sweeps.journal import (
    INTERRUPTED,
    EpochEnded,
    Event,
    Journal,
    SweepEnded,
    SweepRecord,
    SweepResumed,
    SweepStarted,
    TrialEnded,
    TrialRecord,
    TrialStarted,
)
from sweeps.plan import Plan
from sweeps.spec import EpochReport, Proposal, SweepError, TrialResult, TrialSpec, Value

TICK = 0.5  # seconds between looks at the clock while no worker says anything
# Why a sweep ends before all of its trials, and what its running trials are told.
MINUTES, TARGET, MAX_FAILURES = "minutes", "target", "max_failures"
REASONS = {MINUTES: "the time is up", TARGET: "the target is reached"}


class AskTell(Protocol):
    """What the driver needs of an oracle; see `sweeps.oracle.Oracle`."""

    def ask(self) -> Proposal | None: ...

    def tell(self, trial: int, objective: float | None) -> None: ...

    def replay(self, trial: int, values: Mapping[str, Value]) -> None: ...

    def extend(self, trials: int) -> None: ...

    def candidates(self) -> set[int]: ...


class View(Protocol):
    """Something that shows a sweep: told of every event, after the journal."""

    def show(self, record: SweepRecord, event: Event) -> None: ...


def run(searches: Sequence[Search], engine: Engine) -> None:
    """Run all sweeps to their end. Raises `SweepError` when the journal or the engine cannot go on."""
    by_name = {search.plan.sweep: search for search in searches}
    ends = time.monotonic() + _seconds_left(searches)
    while True:
        left = ends - time.monotonic()
        for search in searches:
            search.enforce_limits(engine, left)
        while engine.free and (spec := _next_spec(searches, left)):
            engine.submit(by_name[spec.sweep].plan.function, spec)
        if all(search.over for search in searches):
            return
        message = engine.next(TICK)
        if message is not None:
            sweep = message.sweep if isinstance(message, EpochReport) else message.spec.sweep
            by_name[sweep].handle(message)


def _next_spec(searches: Sequence[Search], left: float) -> TrialSpec | None:
    order = list(searches)
    if left < math.inf:  # or the first sweep would take the time of all
        order.sort(key=lambda search: len(search.record.trials))
    return next((spec for search in order if (spec := search.propose(left)) is not None), None)


def _seconds_left(searches: Sequence[Search]) -> float:
    """Of the time that the sweeps have together, without what their earlier processes used."""
    minutes = searches[0].plan.config.minutes
    if minutes is None:
        return math.inf
    used, until = 0.0, 0.0
    for first, last in sorted(session for search in searches for session in search.record.sessions):
        used += max(0.0, last - max(first, until))
        until = max(until, last)
    return minutes * 60 - used


def _median(plan: Plan) -> stopping.Median | None:
    grace, min_trials = plan.config.stopping.grace, plan.config.stopping.min_trials
    if grace is None or min_trials is None or plan.confirmed:  # every `stopping` but median; nothing to choose
        return None
    return stopping.Median(plan.config.objective, epochs=plan.config.epochs, grace=grace, min_trials=min_trials)


class Search:
    """One sweep while it runs: its oracle, its journal, and what is out.

    `past` are the events of a journal that is there: the oracle, which must be as at its beginning, is told of them,
    and the sweep goes on from where they end.
    """

    def __init__(self, plan: Plan, oracle: AskTell, views: Sequence[View] = (), past: Sequence[Event] = ()) -> None:
        self.plan = plan
        self.over = False
        self.record = SweepRecord(plan.directory, past)
        self._oracle = oracle
        self._views = views
        self._checkpoints = Checkpoints(plan.directory / "checkpoints")
        self._out: dict[int, TrialSpec] = {}
        self._on_worker: dict[int, float] = {}  # trial -> since when
        self._again: list[tuple[TrialSpec, str]] = []  # the next attempts, and why the last was lost
        self._median = _median(plan)
        self._failures = 0  # in a row, of this process
        self._begun = False
        self._told_to_stop = False
        self._target_reached = False
        if past:
            self._recall(past)
        self._journal = Journal(plan.directory)

    def propose(self, left: float = math.inf) -> TrialSpec | None:
        """The next trial to run, already in the journal; None while (or, when `over`, for ever) there is none.

        `left` is how many seconds there still are.
        """
        if self.over:
            return None
        reason = self._enough() or (MINUTES if left < math.inf and self._shortest_trial() >= left else "")
        if not reason:
            if self._again:
                return self._start(*self._again.pop())
            proposal = self._oracle.ask()
            if proposal is not None:
                bar = self._median.bar() if self._median else ()
                return self._start(self.plan.spec(*proposal)._replace(bar=tuple(bar)))
        if not self._out:
            self._finish(reason or "trials")
        return None

    def handle(self, message: Message) -> None:
        """What a worker says of one of this sweep's trials."""
        match message:
            case Started():
                self._on_worker[message.spec.trial] = time.monotonic()
            case EpochReport():
                self._epoch_ended(message)
            case Finished():
                self._completed(message.spec, message.result)
            case Failed():
                self._failed(message)

    def enforce_limits(self, engine: Engine, left: float) -> None:
        """End trials that take too long, and all of them when there is no more time, or no more need."""
        reason = MINUTES if left <= 0 else self._enough()
        if reason in REASONS and not self._told_to_stop:
            engine.stop(self.plan.sweep, REASONS[reason])
            self._told_to_stop = True
        limit = self.plan.config.trial_minutes
        for trial, since in list(self._on_worker.items()):
            if limit is not None and time.monotonic() - since > limit * 60:
                del self._on_worker[trial]
                engine.kill(self._out[trial], "time limit")

    def close(self) -> None:
        self._journal.close()

    def _recall(self, past: Sequence[Event]) -> None:
        for event in past:
            match event:
                case TrialStarted(attempt=1):
                    self._oracle.replay(event.trial, event.values)
                case TrialEnded():
                    self._oracle.tell(event.trial, event.objective)
                case SweepResumed():
                    self._oracle.extend(event.trials)
        self._oracle.extend(self.plan.config.trials)
        best = self.record.best
        self._target_reached = best is not None and self._reaches_target(best.objective or 0.0)
        for trial in self.record.trials.values():
            if trial.running:
                spec = self.plan.spec(trial.trial, trial.values, trial.initial_epoch, trial.epochs)
                spec = spec._replace(attempt=trial.attempt + 1, bar=tuple(trial.bar))
                self._again.insert(0, (spec, INTERRUPTED))
            elif trial.status == "completed":
                self._finished(trial)

    def _enough(self) -> str:
        """Why no more trials are wanted, though there may be more; empty if they are."""
        if self._failures >= self.plan.config.max_failures:
            return MAX_FAILURES
        return TARGET if self._target_reached else ""

    def _reaches_target(self, value: float) -> bool:
        target, objective = self.plan.config.target, self.plan.config.objective
        return target is not None and (value >= target if OBJECTIVES[objective] == "max" else value <= target)

    def _shortest_trial(self) -> float:
        """Seconds; with less left, no trial can be expected to finish. 0 as long as none has completed."""
        return min((t.cost["seconds"] for t in self.record.trials.values() if t.status == "completed"), default=0.0)

    def _begin(self) -> None:
        """Before the first event of this process."""
        if self._begun:
            return
        self._begun = True
        self._emit(self._started() if self.record.started is None else self._resumed())

    def _start(self, spec: TrialSpec, after: str = "") -> TrialSpec:
        self._begin()
        if spec.initial_epoch:
            checkpoint = self._checkpoints.load(spec.trial, spec.initial_epoch)
            # A trial whose checkpoint is lost can be had again: it is a pure function.
            spec = spec._replace(checkpoint=checkpoint, initial_epoch=spec.initial_epoch if checkpoint else 0)
        values = self.plan.space.complete({**spec.model_values, **spec.optimizer_values})
        self._emit(
            TrialStarted(
                trial=spec.trial,
                attempt=spec.attempt,
                values=values,
                seed=spec.seed,
                initial_epoch=spec.initial_epoch,
                epochs=spec.epochs,
                after=after,
                bar=list(spec.bar),
                origin=spec.origin,
            )
        )
        self._out[spec.trial] = spec._replace(checkpoint=None)
        return spec

    def _epoch_ended(self, report: EpochReport) -> None:
        trial = self.record.trials[report.trial]
        current = report.trial in self._out and report.attempt == trial.attempt
        # Dask may itself run a task again: a trial is a pure function, so the same epochs come again, and are known.
        if current and report.epoch == trial.epochs_run + 1:
            self._target_reached |= self._reaches_target(report.metrics[self.plan.objective])
            self._emit(EpochEnded(report.trial, report.attempt, report.epoch, dict(report.metrics)))

    def _completed(self, spec: TrialSpec, result: TrialResult) -> None:
        # A result can overtake the report of its last epoch.
        for epoch in range(self.record.trials[spec.trial].epochs_run, len(result.curves[spec.objective])):
            metrics = {name: curve[epoch] for name, curve in result.curves.items()}
            self._emit(EpochEnded(spec.trial, spec.attempt, epoch + 1, metrics))
        # On disk before the journal says that the trial is done: what it says must be there.
        with self._writing():
            self._checkpoints.save(spec.trial, spec.epochs, result.checkpoint)
            predicted = predictions.save(self.plan.directory, spec.trial, result.predictions)
        self._failures = 0
        self._target_reached |= self._reaches_target(result.objective)
        self._end(
            TrialEnded(
                trial=spec.trial,
                attempt=spec.attempt,
                status="completed",
                reason=result.reason,
                objective=result.objective,
                best_epoch=result.best_epoch,
                test=result.test,
                cost=result.cost._asdict(),
                predictions=predicted,
            )
        )
        self._finished(self.record.trials[spec.trial])

    def _finished(self, trial: TrialRecord) -> None:
        if self._median:
            self._median.add(trial.curves[self.plan.config.objective])

    def _failed(self, failed: Failed) -> None:
        spec = failed.spec
        self._on_worker.pop(spec.trial, None)
        if failed.lost and self.record.trials[spec.trial].lost < self.plan.config.retries:
            del self._out[spec.trial]
            self._again.append((spec._replace(attempt=spec.attempt + 1, checkpoint=None), failed.reason))
            return
        self._failures += 1
        self._end(TrialEnded(spec.trial, spec.attempt, "failed", failed.reason, traceback=failed.traceback))

    def _end(self, event: TrialEnded) -> None:
        del self._out[event.trial]
        self._on_worker.pop(event.trial, None)
        self._emit(event)
        self._oracle.tell(event.trial, event.objective)
        self._tidy()

    def _started(self) -> SweepStarted:
        plan, git = self.plan, provenance.git()
        return SweepStarted(
            sweep=plan.sweep,
            config=plan.yaml,
            fingerprint=plan.fingerprint(),
            dataset=plan.dataset,
            model=plan.config.model.name,
            tuner=plan.config.tuner.name,
            objective=plan.objective,
            seed=plan.config.seed,
            trials=plan.config.trials,
            source=plan.data["source"],
            digest=plan.digest,
            held_out=plan.held_out,
            versions=provenance.versions(),
            git_commit=git.commit if git else None,
            git_dirty=git.dirty if git else None,
            git_diff=git.diff if git else "",
            machine=provenance.machine(),
            sizes=dict(plan.sizes),
            store=plan.store,
            confirms=plan.confirmed.sweep if plan.confirmed else "",
            finalists=plan.confirmed.finalists if plan.confirmed else {},
        )

    def _resumed(self) -> SweepResumed:
        git = provenance.git()
        return SweepResumed(
            config=self.plan.yaml,
            trials=self.plan.config.trials,
            versions=provenance.versions(),
            git_commit=git.commit if git else None,
            git_dirty=git.dirty if git else None,
            git_diff=git.diff if git else "",
            machine=provenance.machine(),
        )

    def _finish(self, reason: str) -> None:
        """The sweep is over. One that was resumed and had nothing left to do stays as it ended."""
        self.over = True
        if self._begun or self.record.ended is None:
            self._begin()
            best = self.record.best
            status = "completed" if self.record.completed and reason != MAX_FAILURES else "failed"
            self._emit(SweepEnded(status, best.trial if best else None, reason))
            self._tidy()
        self.close()

    def _tidy(self) -> None:
        """Delete the checkpoints that nobody will need."""
        best = self.record.best
        needed = {(trial, self.record.trials[trial].epochs) for trial in self._oracle.candidates()}
        unfinished = [*self._out.values(), *(spec for spec, _ in self._again)]
        needed |= {(spec.trial, spec.initial_epoch) for spec in unfinished}
        needed |= {(best.trial, best.epochs)} if best else set()
        self._checkpoints.keep_only(needed)

    def _emit(self, event: Event) -> None:
        with self._writing():
            self._journal.append(event)
        self.record.add(event)
        for view in self._views:
            view.show(self.record, event)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SweepError(f"{self.plan.directory}: {error.strerror}") from error
