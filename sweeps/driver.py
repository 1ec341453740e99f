"""The loop: ask, journal, submit; events, journal, tell.

Several sweeps share the engine: when one has nothing to propose, its workers go to the next, so that none waits for the
last trial of a sweep.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from conf.schema import Config
from sweeps import provenance
from sweeps.checkpoints import Checkpoints
from sweeps.engine import Engine, Failed, Finished, Message
from sweeps.journal import EpochEnded, Event, Journal, SweepEnded, SweepRecord, SweepStarted, TrialEnded, TrialStarted
from sweeps.space import Space
from sweeps.spec import EpochReport, Proposal, TrialResult, TrialSpec, Value

# Where a resumed sweep may differ: none of these decides which trials run or how they end.
FREE_KEYS = ("trials", "engine", "tracking", "retries", "dry_run")


class AskTell(Protocol):
    """What the driver needs of an oracle; see `sweeps.oracle.Oracle`."""

    def ask(self) -> Proposal | None: ...

    def tell(self, trial: int, objective: float | None) -> None: ...


class View(Protocol):
    """Something that shows a sweep: told of every event, after the journal."""

    def show(self, record: SweepRecord, event: Event) -> None: ...


class Plan(NamedTuple):
    """One sweep to be run: one model on one dataset."""

    sweep: str  # unique, and the same again when resumed
    config: Config
    yaml: str  # the configuration as the user would write it
    space: Space
    dataset: str
    load: str
    data: Mapping[str, Any]  # what `load` takes; its source is what was found, `archive` or `standin`
    digest: str
    directory: Path
    function: str = "sweeps.trial.run"

    def spec(self, trial: int, values: Mapping[str, Value], initial_epoch: int, epochs: int) -> TrialSpec:
        """The first attempt at a trial, without a checkpoint."""
        model, optimizer = self.space.split(values)
        config = self.config
        return TrialSpec(
            sweep=self.sweep,
            trial=trial,
            attempt=1,
            seed=trial_seed(config.seed, trial),
            build=config.model.build,
            model_values=model,
            optimizer=config.optimizer.build,
            optimizer_values=optimizer,
            load=self.load,
            data=self.data,
            digest=self.digest,
            batch_size=config.batch_size,
            objective=config.objective,
            patience=config.patience if config.stopping.name == "patience" else None,
            test_last_epoch=self.held_out == "test",
            initial_epoch=initial_epoch,
            epochs=epochs,
        )

    @property
    def held_out(self) -> str:
        """What the val/ metrics are measured on: `validation`, or (the article's own runs) `test`."""
        return "test" if self.data["validation"] == "test" else "validation"

    def fingerprint(self) -> str:
        """Of everything that decides which trials run and how they end."""
        deciding = {k: v for k, v in asdict(self.config).items() if k not in (*FREE_KEYS, "datasets")}
        content = json.dumps([deciding, self.dataset, self.digest], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]


def trial_seed(sweep_seed: int, trial: int) -> int:
    """The seed of a trial: its own, whatever ran before it and wherever it runs."""
    return int(np.random.SeedSequence([sweep_seed, trial]).generate_state(1)[0]) % 2**31


def run(searches: Sequence[Search], engine: Engine) -> None:
    """Run all sweeps to their end."""
    by_name = {search.plan.sweep: search for search in searches}
    while True:
        while engine.free and (spec := _next_spec(searches)):
            engine.submit(by_name[spec.sweep].plan.function, spec)
        if not engine.busy:
            return
        message = engine.next()
        sweep = message.sweep if isinstance(message, EpochReport) else message.spec.sweep
        by_name[sweep].handle(message)


def _next_spec(searches: Sequence[Search]) -> TrialSpec | None:
    return next((spec for search in searches if (spec := search.propose()) is not None), None)


class Search:
    """One sweep while it runs: its oracle, its journal, and what is out."""

    def __init__(self, plan: Plan, oracle: AskTell, views: Sequence[View] = ()) -> None:
        self.plan = plan
        self.record = SweepRecord(plan.directory)
        self._oracle = oracle
        self._views = views
        self._journal = Journal(plan.directory)
        self._checkpoints = Checkpoints(plan.directory / "checkpoints")
        self._out: set[int] = set()
        self._retries: list[tuple[TrialSpec, str]] = []  # the next attempts, and why the last was lost

    def propose(self) -> TrialSpec | None:
        """The next trial to run, already in the journal; None while (or for ever if) there is none."""
        if self.record.ended is not None:
            return None
        if self.record.started is None:
            self._emit(self._started())
        if self._retries:
            return self._start(*self._retries.pop())
        proposal = self._oracle.ask()
        if proposal is not None:
            return self._start(self.plan.spec(*proposal))
        if not self._out:
            self._finish()
        return None

    def handle(self, message: Message) -> None:
        """What a worker says of one of this sweep's trials."""
        match message:
            case EpochReport():
                self._epoch_ended(message)
            case Finished():
                self._completed(message.spec, message.result)
            case Failed():
                self._failed(message)

    def close(self) -> None:
        self._journal.close()

    def _start(self, spec: TrialSpec, after: str = "") -> TrialSpec:
        values = self.plan.space.complete({**spec.model_values, **spec.optimizer_values})
        self._emit(TrialStarted(spec.trial, spec.attempt, values, spec.seed, spec.initial_epoch, spec.epochs, after))
        self._out.add(spec.trial)
        if spec.initial_epoch:
            spec = spec._replace(checkpoint=self._checkpoints.load(spec.trial))
        return spec

    def _epoch_ended(self, report: EpochReport) -> None:
        trial = self.record.trials[report.trial]
        current = report.trial in self._out and report.attempt == trial.attempt
        # Dask may itself run a task again: a trial is a pure function, so the same epochs come again, and are known.
        if current and report.epoch == trial.epochs_run + 1:
            self._emit(EpochEnded(report.trial, report.attempt, report.epoch, dict(report.metrics)))

    def _completed(self, spec: TrialSpec, result: TrialResult) -> None:
        # A result can overtake the report of its last epoch.
        for epoch in range(self.record.trials[spec.trial].epochs_run, len(result.curves[spec.objective])):
            metrics = {name: curve[epoch] for name, curve in result.curves.items()}
            self._emit(EpochEnded(spec.trial, spec.attempt, epoch + 1, metrics))
        # On disk before the journal says that the trial is done: what it says must be there.
        self._checkpoints.save(spec.trial, result.checkpoint)
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
            )
        )
        if self.plan.config.tuner.name != "hyperband":
            self._keep_best()

    def _failed(self, failed: Failed) -> None:
        spec = failed.spec
        if failed.lost and spec.attempt <= self.plan.config.retries:
            self._out.discard(spec.trial)
            self._retries.append((spec._replace(attempt=spec.attempt + 1, checkpoint=None), failed.reason))
            return
        self._end(TrialEnded(spec.trial, spec.attempt, "failed", failed.reason, traceback=failed.traceback))

    def _end(self, event: TrialEnded) -> None:
        self._out.discard(event.trial)
        self._emit(event)
        self._oracle.tell(event.trial, event.objective)

    def _started(self) -> SweepStarted:
        plan, git = self.plan, provenance.git()
        return SweepStarted(
            sweep=plan.sweep,
            config=plan.yaml,
            fingerprint=plan.fingerprint(),
            dataset=plan.dataset,
            model=plan.config.model.name,
            tuner=plan.config.tuner.name,
            objective=plan.config.objective,
            seed=plan.config.seed,
            trials=plan.config.trials,
            source=plan.data["source"],
            digest=plan.digest,
            held_out=plan.held_out,
            versions=provenance.versions(),
            git_commit=git.commit if git else None,
            git_dirty=git.dirty if git else None,
        )

    def _finish(self) -> None:
        best = self.record.best
        self._keep_best()
        self._emit(SweepEnded("completed" if best else "failed", best.trial if best else None))
        self.close()

    def _keep_best(self) -> None:
        best = self.record.best
        self._checkpoints.keep_only([best.trial] if best else [])

    def _emit(self, event: Event) -> None:
        self._journal.append(event)
        self.record.add(event)
        for view in self._views:
            view.show(self.record, event)
