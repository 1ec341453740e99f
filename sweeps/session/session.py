"""Sweeps from start to end: directory, workers, driver, MLflow, terminal, report and registration."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from conf.schema import ELASTIC, ConfigError, Data, Engine, Job
from sweeps import driver, invocation, journal
from sweeps.errors import SweepError
from sweeps.journal import Event, SweepRecord
from sweeps.plan import CACHE, Plan
from sweeps.references import References
from sweeps.search import oracles_alone
from sweeps.search.ask_tell import AskTell
from sweeps.search.space import Space
from sweeps.session import extras, first_build, outputs, registering
from sweeps.session.plans import plans_of
from sweeps.session.sameness import first_event, refuse_another_sweep
from sweeps.terminal.waiting import Waiting
from sweeps.tracking import store
from sweeps.trials import gpus
from sweeps.trials.engine import Caller
from sweeps.trials.native_logs import without_native_logs
from sweeps.trials.spec import Serving

if TYPE_CHECKING:
    from rich.console import Console

    from sweeps.tracking.tracker import Tracker
    from sweeps.trials.dask_engine.engine import DaskEngine

PREPARE = "sweeps.trials.building.prepare"  # what a worker calls first
# Where workers come from that this command asks for.
IN_WORDS = {"slurm": "SLURM", "kubernetes": "Kubernetes"}
LAST_LOGGING = 5  # seconds that the store gets after Ctrl-C

# Returns what serves the models of a dataset; called only for a model that is not registered yet.
ServingOf = Callable[[str, Data], Serving]


class Sweep(NamedTuple):
    """A sweep that is about to run. If it goes on, `past` holds the events of its journal."""

    plan: Plan
    oracle: AskTell
    past: Sequence[Event]


@contextmanager
def workers(
    config: Engine, plans: Sequence[Plan], console: Console, meanwhile: Callable[[], object] = lambda: None
) -> Iterator[DaskEngine]:
    """Open the engine for the trials of some plans; `meanwhile` is called while its workers load TensorFlow.

    Where the workers were to share GPUs and TensorFlow opens none, others start in their place, as on a processor.
    """
    start = (
        f"waiting for the first worker of {IN_WORDS[config.name]}"
        if config.name in IN_WORDS
        else "starting the workers"
    )
    with Waiting(console, start) as waiting, _opened(config, plans, console, meanwhile) as engine:
        waiting.end()
        yield engine


def _opening() -> ModuleType:
    try:
        return import_module("sweeps.trials.dask_engine.opening")
    except ValueError as error:  # Dask reads the user's files of settings when it is imported
        raise ConfigError(" ".join(str(error).split())) from error


@contextmanager
def _opened(
    config: Engine, plans: Sequence[Plan], console: Console, meanwhile: Callable[[], object]
) -> Iterator[DaskEngine]:
    opening = _opening()
    gpus.forget()
    if config.name != "local":
        gpus.disregard()  # this machine's own are not used
    functions = tuple(dict.fromkeys(name for plan in plans for name in plan.trial_functions))
    with ExitStack() as opened:
        engine = opened.enter_context(opening.open_engine(config, functions))
        engine.say = partial(console.print, soft_wrap=True, style="red")
        engine.warm_up(PREPARE)
        meanwhile()
        if gpus.gpus().ids:
            gpus.correct(engine.warmed_up())
            if not gpus.gpus().ids:
                opened.close()
                engine = opened.enter_context(opening.open_engine(config, functions))
                engine.warm_up(PREPARE)
        yield engine


def load_oracle(function: str) -> None:
    """Import all that proposes trials, for an oracle by its dotted name."""
    oracles_alone.load(function)
    with without_native_logs():  # of TensorFlow, which an oracle of the user's may import
        for module in ("sweeps.search.oracle", function.rpartition(".")[0]):
            import_module(module)


def load_tracker() -> None:
    """Import MLflow."""
    import_module("sweeps.tracking.tracker")


class Session:
    """The sweeps of one command, shown on its console and in MLflow."""

    def __init__(self, console: Console, serving: ServingOf) -> None:
        self.console = console
        self._serving = serving
        # Directories of sweeps that the store does not have whole, and of those whose model it does not have.
        self._unlogged: list[Path] = []
        self._unregistered: list[Path] = []
        self._unregistrable: list[str] = []  # sweeps whose model no later attempt would register

    def check_logged(self) -> None:
        """Raise `SweepError` if something of the sweeps so far, or a model that they chose, is not in their store."""
        missing = list(dict.fromkeys([*self._unlogged, *self._unregistered]))
        if missing:
            what = (
                "not everything could be logged; to log the rest" if self._unlogged else "not registered; to try again"
            )
            raise SweepError(f"{what}: {sync(*missing)}")
        if self._unregistrable:
            raise SweepError(f"not registered: the models of {', '.join(self._unregistrable)}; the reasons stand above")

    def search(self, job: Job, spaces: Mapping[str, Space]) -> list[SweepRecord]:
        """Run a job's sweeps, one for each dataset, and register the models that they choose."""
        config = job.config
        directory = Path(config.resume) if config.resume else outputs.new_directory(config.model.name)
        outputs.refuse_copy(directory)
        with self.held(directory):
            plans = plans_of(job, spaces, directory, self.console)
            pasts = [journal.read(plan.directory) for plan in plans]
            for plan, past in zip(plans, pasts, strict=True):
                if past:
                    refuse_another_sweep(plan, first_event(past))
                self.check_serving(plan, is_new=not past)
            outputs.write_config(directory, job.yaml)

            def meanwhile() -> None:
                load_oracle(config.tuner["oracle"])
                load_tracker()

            with workers(config.engine, plans, self.console, meanwhile) as engine:
                return self._search(plans, pasts, engine)

    def dry_run(self, job: Job, spaces: Mapping[str, Space]) -> None:
        """Print what a job's sweeps would run, and how long that would take."""
        from sweeps.terminal import tables

        plans = plans_of(job, spaces, outputs.OUTPUTS / "dry-run", self.console)
        if job.config.engine.name in ELASTIC:
            self._show_submission(plans)
            return
        load = partial(load_oracle, job.config.tuner["oracle"])
        with workers(job.config.engine, plans, self.console, load) as engine:
            from sweeps.estimate import estimates

            with Waiting(self.console, "training each size for a few steps"):
                measured = estimates(plans, engine)
            for plan, estimate in zip(plans, measured, strict=True):
                self.console.print(tables.estimate_table(plan, estimate))

    def _show_submission(self, plans: Sequence[Plan]) -> None:
        """Print what would be submitted, as it can be saved: everything else is a comment in it."""
        config = plans[0].config
        text = _opening().submission(config.engine)
        load_oracle(config.tuner["oracle"])
        from sweeps.estimate import planned

        for plan in plans:
            trials, epochs = planned(config, plan.space)
            what = f"{config.model.name} on {plan.dataset}: {trials} trials, {epochs} epochs if no trial stops early"
            self.console.print(f"# {what}", soft_wrap=True)
        what = f"{config.engine.min} to {config.engine.max} workers of {IN_WORDS[config.engine.name]}, started by this:"
        self.console.print(f"# {what}", soft_wrap=True)
        for line in text.strip().splitlines():
            self.console.out(line, highlight=False)

    @contextmanager
    def held(self, directory: Path, *, confirms: bool = False) -> Iterator[None]:
        """Hold a directory, and print the command that goes on if the sweeps in it are cut short."""
        with outputs.held(directory):
            try:
                yield
            except (KeyboardInterrupt, SweepError):
                if outputs.has_begun(directory):
                    self.console.print("Finished trials are kept. To resume:", soft_wrap=True)
                    self.console.print(f"  {invocation.resume(directory, confirms=confirms)}", soft_wrap=True)
                raise

    def conduct(
        self, sweeps: Sequence[Sweep], engine: DaskEngine, description: str
    ) -> tuple[list[SweepRecord], Tracker, bool]:
        """Run sweeps to their end, and show them in the terminal and in MLflow; `description` says what they try.

        Returns their records, the tracker, and whether everything could be logged.
        """
        from sweeps.terminal import sentences
        from sweeps.terminal.progress import Terminal

        plans = [sweep.plan for sweep in sweeps]
        tracker = self._tracker(sweeps)
        self._introduce(plans, tracker, engine, description)
        terminal = Terminal(self.console, plans)
        address = store.without_password(tracker.uri)
        searches = [
            driver.Search(
                plan._replace(store=address),
                oracle,
                [tracker, terminal],
                past,
                references_of(plan),
                on_step=terminal.on_step,
            )
            for plan, oracle, past in sweeps
        ]
        limit = None
        try:
            with terminal:
                driver.run(searches, engine)
            for search in searches:
                if search.idle:
                    line = sentences.idle(search.record, search.plan, search.idle)
                    self.console.print(line, soft_wrap=True)
        except KeyboardInterrupt:
            limit = LAST_LOGGING
            self.console.print("interrupted")
            raise
        finally:
            for search in searches:
                search.close()
            logged = self._finish_logging(tracker, searches, limit)
        if lost := engine.lost_workers:
            message = f"{lost} of the workers did not come back after they were lost; the others ran their trials"
            self.console.print(message, soft_wrap=True, style="red")
        return [search.record for search in searches], tracker, logged

    def register(self, uri: str, plan: Plan, record: SweepRecord, engine: Caller | None = None) -> bool:
        """Register the model that a sweep or a confirmation chose, once; returns whether nothing is left to do.

        A worker of `engine` does so, if there is one.
        """
        from sweeps.analysis import confirmation
        from sweeps.tracking import registration

        if record.ended is None or record.ended.status != "completed" or plan.source != "archive":
            return True
        choice = confirmation.choice(record)
        if choice is None:
            return True
        trial, settings = choice.trial, plan.settings(choice.trial.values)
        if not settings.files and settings.text.words is None and settings.text.url is None:
            # Nobody could ask such a model anything.
            key = f"datasets.{plan.dataset}.text.words"
            later = f"{sync(record.directory.parent)} {key}=…"
            self.console.print(f"not registered: {key} names no word index; to do so later: {later}", soft_wrap=True)
            return True
        candidate = registration.Candidate(
            trial=trial,
            spec=plan.spec(trial.trial, trial.values, 0, trial.epochs),
            why=choice.why,
            serving=partial(self._serving, plan.dataset, settings),
        )
        try:
            with Waiting(self.console, f"registering the model of trial {trial.trial}, and testing it as it is stored"):
                if engine is None:
                    version = registration.register(uri, record, candidate)
                else:
                    version = engine.call(registering.REGISTER, uri, record, candidate)
        except (registration.NotRegisteredError, ConfigError) as error:
            self._note_unregistered(record, error, lasting=getattr(error, "lasting", False))
            return False
        if version.new:
            alias = registration.ALIASES[record.started.kind]
            alias = f"the {alias}" if version.alias else f"but not the {alias}"
            note = f": {version.note}" if version.note else ""
            message = f"registered trial {version.trial} as {version.name}, version {version.number}, {alias}{note}"
            self.console.print(message, soft_wrap=True)
        return True

    def _note_unregistered(self, record: SweepRecord, error: Exception, *, lasting: bool) -> None:
        directory = record.directory.parent
        if isinstance(error, ConfigError):  # a word index that is not here is no failure
            message = f"not registered: {error}; then: {sync(directory)}"
        elif lasting:
            message = f"not registered: {error}"
            self._unregistrable.append(record.started.sweep)
        else:
            message = f"not registered, {sync(directory)} tries again: {error}"
            self._unregistered.append(directory)
        self.console.print(message, soft_wrap=True, style="red")

    def check_serving(self, plan: Plan, *, is_new: bool) -> None:
        """Say before training what the chosen model would lack for its registration.

        Raises `ConfigError` for a new sweep whose word index is named and is none.
        """
        settings = plan.config.datasets[plan.dataset]
        if plan.source != "archive" or settings.files:  # stand-in models are not registered, and a table has it all
            return
        section = f"datasets.{plan.dataset}.text"
        if settings.text.words is None and settings.text.url is None:
            self.console.print(f"the model will not be registered: {section} names no word index", soft_wrap=True)
            return
        try:
            self._serving(plan.dataset, settings)
        except ConfigError as error:
            if is_new and settings.text.words is not None:
                raise
            self.console.print(f"the model will not be registered: {error}", soft_wrap=True)
        if not settings.text.labels:
            message = f"{section}.labels names no labels, so the registered model will answer with their numbers"
            self.console.print(message, soft_wrap=True)

    def _search(self, plans: Sequence[Plan], pasts: Sequence[Sequence[Event]], engine: DaskEngine) -> list[SweepRecord]:
        from sweeps.report import write as report
        from sweeps.search.oracle import Oracle
        from sweeps.terminal import outcome

        config = plans[0].config
        # They have the budgets that the sweeps began with; the driver replays how these have changed since.
        oracles = [
            Oracle(replace(config, trials=first_event(past).trials) if past else config, plan.space)
            for plan, past in zip(plans, pasts, strict=True)
        ]
        with Waiting(self.console, "building the model once on a worker"):
            first_build.check(plans, engine)
        registering.expect(plans, engine)
        sweeps = [Sweep(*each) for each in zip(plans, oracles, pasts, strict=True)]
        description = f"{config.tuner['name']}: {Oracle(config, plans[0].space).description}"
        records, tracker, logged = self.conduct(sweeps, engine, description)
        for record in records:
            outcome.show(record, self.console)
            self.console.print(f"report: {record.directory / report.FILE}", soft_wrap=True)
        if logged:
            self._print_comparison(plans, tracker)
            for plan, record in zip(plans, records, strict=True):
                self.register(tracker.uri, plan, record, engine)
        return records

    def _tracker(self, sweeps: Sequence[Sweep]) -> Tracker:
        """Open MLflow, in the store that the configuration names, else in the one that the sweeps have used so far."""
        from sweeps.tracking.tracker import Tracker

        plan = sweeps[0].plan
        last = outputs.store_of(next((first_event(sweep.past).store for sweep in sweeps if sweep.past), plan.store))

        def announce(sweep: str, address: str) -> None:
            command = store.ui_command(uri)
            place = f"{command} shows it at {address}" if command else address
            self.console.print(f"comparison of {sweep}: {place}", soft_wrap=True)

        tracking = plan.config.tracking
        uri = store.uri(tracking.uri, last)
        tracker = Tracker(
            uri,
            tracking.experiment,
            sweeps=[sweep.plan for sweep in sweeps],
            extras=extras.from_reports(),
            announce=announce,
        )
        with Waiting(self.console, "opening MLflow's store"):
            tracker.wait_until_opened()
        return tracker

    def _introduce(self, plans: Sequence[Plan], tracker: Tracker, engine: DaskEngine, description: str) -> None:
        command = tracker.ui_command()
        where, unused = places(plans[0].config.engine, engine.workers)
        self.console.print(f"{description}, on {where}", soft_wrap=True)
        self.console.print(
            f"journals in {plans[0].directory.parent}, runs in {store.without_password(tracker.uri)}"
            f"{f', shown by {command}' if command else ''}",
            soft_wrap=True,
        )
        if unused:
            self.console.print(unused, soft_wrap=True)
        if engine.hosts:
            self.console.print(f"hosts: {engine.hosts}", soft_wrap=True)
        for plan in plans:
            for note in plan.audit.notes if plan.audit else ():
                self.console.print(f"{plan.dataset}: {note}", soft_wrap=True)

    def _finish_logging(self, tracker: Tracker, searches: Sequence[driver.Search], limit: float | None) -> bool:
        from sweeps.report import write as report

        with Waiting(self.console, "logging the rest in MLflow, and writing the report"):
            logged = tracker.close(limit)
        for search in searches:
            if search.record.ended is not None:  # the tracker has written it already, unless the store is away
                report.ensure_written(search.record)
        if not logged:
            self._unlogged.append(searches[0].plan.directory.parent)
            message = f"not everything could be logged to {store.without_password(tracker.uri)}; to log the rest later:"
            self.console.print(message, soft_wrap=True, style="red")
            self.console.print(f"  {sync(searches[0].plan.directory.parent)}", soft_wrap=True)
        return logged

    def _print_comparison(self, plans: Sequence[Plan], tracker: Tracker) -> None:
        command = tracker.ui_command()
        shown = f": {command}, which then shows them at" if command else " (MLflow's server)"
        self.console.print(f"To compare the trials{shown}", soft_wrap=True)
        for plan in plans:
            self.console.print(f"  {plan.dataset}: {tracker.comparison(plan.sweep)}", soft_wrap=True)


def sync(*directories: Path) -> str:
    """Return the command that brings what a store lacks of directories."""
    return f"{invocation.command('sync')} {shlex.join(map(str, directories))}"


def references_of(plan: Plan) -> list[References]:
    """Return the references of a sweep, which a confirmation mostly finds in the cache; none where none are wanted."""
    if plan.config.references == "none":
        return []
    searched = plan._replace(confirmation=None)  # validation chooses their penalty, whatever is done with that later
    return References.of(searched, import_module(CACHE).folder("references"))


def places(config: Engine, workers: int) -> tuple[str, str]:
    """Describe where trials run: on how many workers and GPUs; and why visible GPUs are not used."""
    if config.name in ELASTIC:
        return f"{config.min} to {config.max} workers of {IN_WORDS[config.name]}", ""
    available = gpus.gpus() if config.name == "local" else gpus.Gpus(())
    count = min(len(available.ids), workers)  # a worker has one
    on_gpus = f" on {count} GPU{'s' if count > 1 else ''}" if count else ""
    return f"{workers} worker{'s' if workers != 1 else ''}{on_gpus}", available.unused
