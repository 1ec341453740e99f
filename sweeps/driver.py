"""The loop: ask, journal, submit; events, journal, tell.

Several sweeps share the engine: when one has nothing to propose, its workers go to the next, so that none waits for the
last trial of a sweep.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from conf import secrets
from conf.schema import ConfigError, Values
from sweeps import environment, metrics
from sweeps.errors import SweepError
from sweeps.journal import (
    HOST,
    INTERRUPTED,
    EpochEnded,
    Event,
    Journal,
    ReferenceEnded,
    SweepEnded,
    SweepRecord,
    SweepResumed,
    SweepStarted,
    TrialEnded,
    TrialRecord,
    TrialStarted,
)
from sweeps.journal.clock import CLOCK
from sweeps.journal.endings import EXHAUSTED, MAX_FAILURES, MINUTES, STOPPING, TARGET
from sweeps.plan import Plan
from sweeps.references import References
from sweeps.search.ask_tell import AskTell
from sweeps.trials import early_stopping, predictions, references
from sweeps.trials.checkpoints import Checkpoints
from sweeps.trials.engine import Engine, Failed, Finished, Message, Started
from sweeps.trials.spec import EpochReport, StepReport, TrialResult, TrialSpec

TICK = 0.5  # seconds between looks at the clock while no worker sends anything


class Listener(Protocol):
    """A part that shows or stores a sweep. Every event reaches it after the journal."""

    def on_event(self, record: SweepRecord, event: Event) -> None:
        """Take in an event; the record has it already."""

    def catch_up(self, directory: Path, events: Sequence[Event]) -> None:
        """Take in the journal of a sweep that goes on, however much of it is known from earlier sessions."""

    def close(self) -> object:
        """Finish; no event follows."""


def run(searches: Sequence[Search], engine: Engine) -> None:
    """Run all sweeps to their end. Raises `SweepError` when the journal or the engine cannot go on."""
    by_name = {search.plan.sweep: search for search in searches}
    deadline = time.monotonic() + seconds_left(searches)
    while True:
        left = deadline - time.monotonic()
        for search in searches:
            search.enforce_limits(engine, left)
        engine.expect(sum(search.to_come for search in searches))
        while engine.free and (spec := _next_spec(searches, left)):
            engine.submit(references.RUN if spec.reference else by_name[spec.sweep].plan.function, spec)
        if all(search.over for search in searches):
            return
        message = engine.next(TICK)
        if message is not None:
            sweep = message.sweep if isinstance(message, StepReport | EpochReport) else message.spec.sweep
            by_name[sweep].handle(message)


def _next_spec(searches: Sequence[Search], left: float) -> TrialSpec | None:
    order = list(searches)
    if left < math.inf:  # otherwise the first sweep would take the time of all
        order.sort(key=lambda search: len(search.record.trials))
    for search in order:
        if (spec := search.propose(left)) is not None:
            return spec
    return next((spec for search in order if (spec := search.propose_references()) is not None), None)


def seconds_left(searches: Sequence[Search]) -> float:
    """Return the seconds left of `minutes`, which all sweeps share, after those that earlier sessions used."""
    minutes = searches[0].plan.config.minutes
    if minutes is None:
        return math.inf
    used, until = 0.0, 0.0
    for first, last in sorted(session for search in searches for session in search.record.sessions):
        used += max(0.0, last - max(first, until))
        until = max(until, last)
    return minutes * 60 - used


def _median(plan: Plan) -> early_stopping.Median | None:
    grace, min_trials = plan.config.stopping.grace, plan.config.stopping.min_trials
    if grace is None or min_trials is None or plan.confirmation:  # only stopping=median has both
        return None
    return early_stopping.Median(plan.config.objective, epochs=plan.config.epochs, grace=grace, min_trials=min_trials)


class Search:
    """One sweep while it runs: its oracle, its journal, and the trials that are out.

    If the sweep goes on, `past` holds the events of its journal, and the oracle, which must be as at the sweep's
    beginning, replays them.
    """

    def __init__(
        self,
        plan: Plan,
        oracle: AskTell,
        listeners: Sequence[Listener] = (),
        past: Sequence[Event] = (),
        references: Sequence[References] = (),
        *,
        on_step: Callable[[SweepRecord, int, float], object] | None = None,
    ) -> None:
        self.plan = plan
        self.over = False
        self.idle = ""  # why this process had nothing to run in a sweep that had ended before
        # Before its first event a new sweep has the record that it would begin with.
        self.record = SweepRecord.of(plan.directory, past) if past else SweepRecord(plan.directory, self._started())
        self._oracle = oracle
        self._listeners = listeners
        self._on_step = on_step  # hears of a trial and the epochs that it has, with the part of the one that runs
        self._references = references
        self._checkpoints = Checkpoints(plan.directory / "checkpoints")
        self._out: dict[int, TrialSpec] = {}
        self._on_worker: dict[int, float] = {}  # trial -> when it started there
        self._to_repeat: list[tuple[TrialSpec, str]] = []  # the next attempts, and why the last one was lost
        self._median = _median(plan)
        self._failures = 0  # in a row, in this process
        self._is_new = not past
        self._begun = False  # whether this process has written an event
        self._stopped_trials = False
        self._target_reached = False
        if past:
            CLOCK.go_on_after(past[-1].time)
            self._replay(past)
            for listener in listeners:
                listener.catch_up(plan.directory, past)
        self._journal = Journal(plan.directory)

    def propose(self, left: float = math.inf) -> TrialSpec | None:
        """Return the next trial to run, already in the journal; None while there is none, or for ever once `over`.

        `left` is the number of seconds that remain.
        """
        if self.over:
            return None
        reason = self._reason_to_end() or (MINUTES if left < math.inf and self._shortest_trial() >= left else "")
        if not reason:
            if self._to_repeat:
                return self._start(*self._to_repeat.pop())
            proposal = self._oracle.ask()
            if proposal is not None:
                bar = self._median.bar() if self._median else ()
                return self._start(self._spec(*proposal)._replace(bar=tuple(bar)))
        if self._out:
            return None
        if reason != MAX_FAILURES and (references := self.propose_references()) is not None:
            return references
        all_ran = self.plan.confirmation or len(self.record.trials) >= self.plan.config.trials
        self._finish(reason or ("trials" if all_ran else EXHAUSTED))
        return None

    def propose_references(self) -> TrialSpec | None:
        """Return a task that trains references; None while all are out, and where none are left to be trained.

        It takes a worker that has no trial to run, or the next free one once the sweep would end but for it. It takes
        seconds, so no budget keeps the sweep from it.
        """
        if self.over:
            return None
        for task in self._references:
            if task.spec.trial in self._out:
                continue
            if task.left(self.record):
                self._begin()  # which may find them in the cache
            if task.left(self.record):
                self._out[task.spec.trial] = task.spec
                return task.spec
        return None

    @property
    def to_come(self) -> int:
        """The number of trials, at most, that are out or have yet to begin."""
        if self.over:
            return 0
        more = 0 if self._reason_to_end() else self.plan.config.trials - len(self.record.trials)
        return len(self._out) + len(self._to_repeat) + max(0, more)

    def handle(self, message: Message) -> None:
        """Take in a worker's message about one of this sweep's trials, or its references."""
        match message:
            case Started():
                self._on_worker[message.spec.trial] = time.monotonic()
            case StepReport():
                if self._on_step and self._is_next_epoch(message):
                    self._on_step(self.record, message.trial, message.epoch - 1 + message.done / message.steps)
            case EpochReport():
                self._epoch_ended(message)
            case Finished() | Failed() if message.spec.reference:
                self._references_ended(message)
            case Finished():
                self._completed(message.spec, message.result)
            case Failed():
                self._failed(message)

    def enforce_limits(self, engine: Engine, left: float) -> None:
        """End trials that take too long, and all of them when the time is up or the target is reached."""
        reason = MINUTES if left <= 0 else self._reason_to_end()
        if reason in STOPPING and not self._stopped_trials:
            engine.stop(self.plan.sweep, STOPPING[reason])
            self._stopped_trials = True
        limit = self.plan.config.trial_minutes
        if limit is None:
            return
        for trial, since in list(self._on_worker.items()):
            if time.monotonic() - since > limit * 60:
                del self._on_worker[trial]
                engine.kill(self._out[trial], "time limit")

    def close(self) -> None:
        self._journal.close()

    def _replay(self, past: Sequence[Event]) -> None:
        curves: dict[int, list[float]] = {}  # as they were when each trial ended, which may have gone on
        for event in past:
            match event:
                case TrialStarted():
                    curves[event.trial] = curves.get(event.trial, [])[: event.initial_epoch]
                    if event.attempt == 1:
                        self._oracle.replay(event.trial, event.values)
                case EpochEnded():
                    curves[event.trial].append(event.metrics[self.plan.reported_metric])
                case TrialEnded():
                    self._oracle.tell(event.trial, event.objective, curves[event.trial])
                case SweepResumed():
                    self._oracle.extend(event.trials)
        self._oracle.extend(self.plan.config.trials)
        best = self.record.best
        self._target_reached = best is not None and self._reaches_target(best.objective or 0.0)
        for trial in self.record.trials.values():
            if trial.running:
                spec = self._spec(trial.trial, trial.values, trial.initial_epoch, trial.epochs)
                spec = spec._replace(attempt=trial.attempt + 1, bar=tuple(trial.bar))
                self._to_repeat.insert(0, (spec, INTERRUPTED))
            elif trial.completed:
                self._add_to_median(trial)

    def _spec(self, trial: int, values: Values, initial_epoch: int, epochs: int) -> TrialSpec:
        """Make the spec of a trial; its data are encoded now if no trial had its settings of them before."""
        try:
            spec = self.plan.spec(trial, values, initial_epoch, epochs)
        except ConfigError as error:
            raise SweepError(f"the data of trial {trial} cannot be encoded: {error}") from error
        known = self.record.trials.get(trial)
        if known is not None and known.digest not in ("", spec.digest):
            raise SweepError(
                f"the data of trial {trial} have the digest {spec.digest}, it was started with {known.digest}; "
                "give it the same data"
            )
        return spec

    def _reason_to_end(self) -> str:
        """Return why no more trials are wanted although there may be more; empty while they are."""
        if self._failures >= self.plan.config.max_failures:
            return MAX_FAILURES
        return TARGET if self._target_reached else ""

    def _reaches_target(self, value: float) -> bool:
        target, objective = self.plan.config.target, self.plan.config.objective
        return target is not None and not metrics.is_better(objective, target, value)

    def _shortest_trial(self) -> float:
        """Return the seconds of the shortest completed trial: with less left no trial can be expected to finish."""
        return min((trial.cost["seconds"] for trial in self.record.completed), default=0.0)

    def _begin(self) -> None:
        """Write the event with which this process begins, before any other."""
        if self._begun:
            return
        self._begun = True
        if self._is_new:
            self.record = SweepRecord(self.plan.directory, self._started())  # it begins now
            self._emit(self.record.started)
        else:
            config = self.plan.config
            self._emit(SweepResumed(self.plan.yaml, config.trials, environment.here(self.plan.functions)))
        for task in self._references:
            self._emit_references(task.cached(self.record))

    def _start(self, spec: TrialSpec, after: str = "") -> TrialSpec:
        self._begin()
        if spec.initial_epoch:
            checkpoint = self._checkpoints.load(spec.trial, spec.initial_epoch)
            # A trial whose checkpoint is lost can be repeated from its beginning: it is a pure function.
            spec = spec._replace(checkpoint=checkpoint, initial_epoch=spec.initial_epoch if checkpoint else 0)
        self._emit(
            TrialStarted(
                trial=spec.trial,
                attempt=spec.attempt,
                values=spec.values,
                seed=spec.seed,
                initial_epoch=spec.initial_epoch,
                epochs=spec.epochs,
                after=after,
                bar=list(spec.bar),
                origin=spec.origin,
                shuffled=spec.shuffled,
                digest=spec.digest,
            )
        )
        self._out[spec.trial] = spec._replace(checkpoint=None)
        return spec

    def _epoch_ended(self, report: EpochReport) -> None:
        # Dask may run a task again by itself. A trial is a pure function, so the same epochs come again and are known.
        if self._is_next_epoch(report):
            self._target_reached |= self._reaches_target(report.metrics[self.plan.reported_metric])
            self._emit(EpochEnded(report.trial, report.attempt, report.epoch, dict(report.metrics)))

    def _is_next_epoch(self, report: StepReport | EpochReport) -> bool:
        trial = self.record.trials[report.trial]
        return report.trial in self._out and (report.attempt, report.epoch) == (trial.attempt, trial.epochs_run + 1)

    def _completed(self, spec: TrialSpec, result: TrialResult) -> None:
        # A result can overtake the report of its last epoch.
        for epoch in range(self.record.trials[spec.trial].epochs_run, len(result.curves[spec.objective])):
            values = {name: curve[epoch] for name, curve in result.curves.items()}
            self._emit(EpochEnded(spec.trial, spec.attempt, epoch + 1, values))
        self._journal.check_is_there()
        # On disk before the journal says that the trial has ended: whatever the journal names must be there.
        with self._disk_errors_named():
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
                confusion=[list(cell) for cell in result.confusion],
            )
        )
        self._add_to_median(self.record.trials[spec.trial])

    def _add_to_median(self, trial: TrialRecord) -> None:
        if self._median:
            self._median.add(trial.curves[self.plan.config.objective])

    def _failed(self, failed: Failed) -> None:
        spec = failed.spec
        reason, lines = secrets.hidden(failed.reason), secrets.hidden(failed.traceback)
        self._on_worker.pop(spec.trial, None)
        if failed.host or (failed.lost and self.record.trials[spec.trial].lost < self.plan.config.retries):
            del self._out[spec.trial]
            reason = f"{HOST}{failed.host}: {reason}" if failed.host else reason
            self._to_repeat.append((spec._replace(attempt=spec.attempt + 1, checkpoint=None), reason))
            return
        self._failures += 1
        self._end(TrialEnded(spec.trial, spec.attempt, "failed", reason, traceback=lines))

    def _references_ended(self, message: Finished | Failed) -> None:
        task = next(each for each in self._references if each.spec.trial == message.spec.trial)
        del self._out[message.spec.trial]
        self._on_worker.pop(message.spec.trial, None)
        if isinstance(message, Finished):
            self._journal.check_is_there()
            self._emit_references(task.trained(message.result, self.record))
        elif not (message.host or (message.lost and task.try_again(self.plan.config.retries))):
            self._emit_references(task.failed(message.reason, self.record))

    def _emit_references(self, ended: Iterator[ReferenceEnded]) -> None:
        with self._disk_errors_named():  # their predictions are on the disk before the journal names them
            for event in ended:
                self._emit(event)

    def _end(self, event: TrialEnded) -> None:
        del self._out[event.trial]
        self._on_worker.pop(event.trial, None)
        self._emit(event)
        curve = self.record.trials[event.trial].curves.get(self.plan.reported_metric, [])
        self._oracle.tell(event.trial, event.objective, curve)
        self._delete_unneeded_checkpoints()

    def _started(self) -> SweepStarted:
        plan, confirmation = self.plan, self.plan.confirmation
        return SweepStarted(
            sweep=plan.sweep,
            config=plan.yaml,
            fingerprint=plan.fingerprint(),
            dataset=plan.dataset,
            model=plan.config.model.name,
            tuner=plan.config.tuner["name"],
            objective=plan.reported_metric,
            seed=plan.config.seed,
            trials=plan.config.trials,
            source=plan.source,
            digest=plan.digest,
            held_out=plan.held_out,
            environment=environment.here(self.plan.functions),
            sizes=dict(plan.sizes),
            audit=plan.audit.as_dict() if plan.audit else {},
            store=plan.store,
            confirms=confirmation.sweep if confirmation else "",
            finalists=confirmation.finalists if confirmation else {},
            compared_by=confirmation.compared_by if confirmation else metrics.tested(plan.config.objective),
        )

    def _finish(self, reason: str) -> None:
        """End the sweep. A resumed one that had nothing left to do stays as it ended."""
        self.over = True
        if self._begun or self.record.ended is None:
            self._begin()
            best = self.record.best
            status = "completed" if self.record.completed and reason != MAX_FAILURES else "failed"
            self._emit(SweepEnded(status, best.trial if best else None, reason))
            self._delete_unneeded_checkpoints()
        else:
            self.idle = reason
        self.close()

    def _delete_unneeded_checkpoints(self) -> None:
        best = self.record.best
        needed = {(trial, self.record.trials[trial].epochs) for trial in self._oracle.candidates()}
        unfinished = [*self._out.values(), *(spec for spec, _ in self._to_repeat)]
        needed |= {(spec.trial, spec.initial_epoch) for spec in unfinished}
        needed |= {(best.trial, best.epochs)} if best else set()
        self._checkpoints.keep_only(needed)

    def _emit(self, event: Event) -> None:
        with self._disk_errors_named():
            self._journal.append(event)
        if event is not self.record.started:  # the record was made with that one
            self.record.add(event)
        for listener in self._listeners:
            listener.on_event(self.record, event)

    @contextmanager
    def _disk_errors_named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SweepError(f"{self.plan.directory}: {error.strerror}") from error
