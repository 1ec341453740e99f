"""The runs of one sweep in MLflow: a run for the sweep, a child run for each trial and each reference.

The content of the store is compared with the journal, and whatever is missing is logged.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Param, Run
from mlflow.exceptions import MlflowException

from conf.schema import NETWORK
from conf.stored import parts
from sweeps.journal import FILE, INTERRUPTED, Event, SweepRecord, SweepStarted
from sweeps.tracking import comparison_page, driver_process, experiment_trials, filters, naming
from sweeps.tracking.client import at_step_0, log_file, milliseconds, search_runs
from sweeps.tracking.comparison_page import Comparison
from sweeps.tracking.experiments import Experiments
from sweeps.tracking.extras import ExtrasOf, no_extras
from sweeps.tracking.failures import first_line
from sweeps.tracking.reference_runs import ReferenceRuns
from sweeps.tracking.stored_run import StoredRun
from sweeps.tracking.trial_runs import TrialRuns

log = logging.getLogger(__name__)

NOTE = "mlflow.note.content"  # the tag that MLflow's page of a run shows as Markdown
JOURNAL_EVERY = 60.0  # seconds; the journal is logged whole, and grows with every trial


class SweepRuns:
    """The runs of one sweep, and the changes of its record that they do not hold yet.

    It keeps a record of its own: the driver's changes in another thread while this one is read.
    """

    def __init__(self, started: SweepStarted, directory: Path, extras: ExtrasOf = no_extras) -> None:
        self._started = started
        self._record = SweepRecord(directory, started)
        self._extras = extras
        self._changed: set[int] = set()  # trials
        self._sweep_changed = True
        self._known = False  # whether the fields from here on are what the store has
        self._experiment = ""
        self._parent: StoredRun | None = None
        self._trials = TrialRuns(self._record, extras)
        self._references = ReferenceRuns(self._record)
        searched, networks = _searched(started)
        self._comparison = Comparison(
            started.sweep, started.objective, searched, bool(started.confirms), started.digest, networks
        )
        self._comparison_saved: bool | None = None  # None: not known yet
        self._journal_logged = -math.inf

    @property
    def complete(self) -> bool:
        return not self._changed and not self._sweep_changed

    def add(self, event: Event) -> None:
        if not isinstance(event, SweepStarted):  # the record was made with that one
            self._record.add(event)
        trial = getattr(event, "trial", None)
        if trial is None:
            self._sweep_changed = True
        else:
            self._changed.add(trial)

    @property
    def comparison(self) -> str | None:
        """The address of the page that compares the trials, below the server's; None before the page is there."""
        if self._comparison_saved is None:
            return None
        return comparison_page.address(self._experiment, self._comparison, saved=self._comparison_saved)

    def log(self, client: MlflowClient, experiments: Experiments) -> None:
        """Bring the store up to date; after a failure its content is read again before the next attempt."""
        if self.complete:
            return
        try:
            if not self._known:
                self._read_store(client)
                self._known = True
            if self._parent is None:
                self._experiment = experiments.of(client, self._started)
            if self._comparison_saved is None:
                self._save_comparison(client)
            parent = self._log_sweep(client, experiments.project_run)
            for trial in sorted(self._changed):
                self._trials.log(client, self._experiment, parent.id, self._record.trials[trial])
                self._changed.discard(trial)
            self._references.log(client, self._experiment, parent.id)
            if parent.status == "RUNNING" and time.monotonic() - self._journal_logged > JOURNAL_EVERY:
                self._log_journal(client, parent)
            self._log_end(client, parent)
            self._sweep_changed = False
        except Exception:
            # A call that failed may have been carried out all the same.
            self._known = False
            raise

    def close(self, client: MlflowClient) -> None:
        """End all runs that are still open: nobody works on them any more."""
        for trial in self._record.trials.values():
            if trial.running:
                self._trials.kill(client, trial)
        if self._record.ended is None and self._parent is not None:
            self._log_journal(client, self._parent)
            self._parent.terminate(client, "KILLED", self._record.sessions[-1][1], INTERRUPTED)

    def compare_with_store(self) -> None:
        """Read the store's content again before anything more is logged: it may have lost what it had."""
        self._known = False
        self._sweep_changed = True

    def _read_store(self, client: MlflowClient) -> None:
        """Find the runs of this sweep, and count as changed whatever they lack.

        Files lie elsewhere than the rest of a run, and can be lost alone. Where a lost answer has led to two runs for
        one thing, delete the one that is blank: any other has been given these tags by somebody else, as an import
        does. Earlier versions logged finalists as trials; their runs get the kind that they have here.
        """
        child = naming.trial_kind(self._started)
        self._parent, lost_files = None, False
        self._trials.forget()
        self._references.forget()
        found = search_runs(client, filters.equals("tags.sweep", self._started.sweep))
        for stored in sorted(found, key=_is_blank):
            run, tags = StoredRun.of(stored), stored.data.tags
            kind, number = tags.get("kind"), tags.get("trial", "")
            if kind == naming.REFERENCE:
                if not self._references.adopt(tags.get(naming.REFERENCE, ""), run) and _is_blank(stored):
                    client.delete_run(run.id)
                continue
            if kind != self._started.kind and not number.isdecimal():
                continue  # somebody else's: this project's trials have numbers
            if kind == self._started.kind and self._parent is None:
                self._parent, self._experiment = run, stored.info.experiment_id
            elif kind in (child, naming.TRIAL) and self._trials.adopt(int(number), run):
                if kind != child:
                    client.set_tag(run.id, "kind", child)
            elif kind in (self._started.kind, child, naming.TRIAL) and _is_blank(stored):
                client.delete_run(run.id)
        self._sweep_changed |= not self._references.complete
        if self._parent is None:
            self._sweep_changed = True
            self._comparison_saved = None
            self._journal_logged = -math.inf
        elif lost_files := not self._parent.has_files(client):
            self._parent.count_as_unfinished()
            self._sweep_changed = True
        self._trials.find_lost_files(client, ask=lost_files)
        self._changed |= {trial.trial for trial in self._record.trials.values() if not self._trials.hold(trial)}

    def _save_comparison(self, client: MlflowClient) -> None:
        """Let MLflow's page compare the trials. Its format is not documented, so a refusal is no failure."""
        own = comparison_page.of_sweep(self._comparison)
        try:
            tags = client.get_experiment(self._experiment).tags
            if tags.get(own.tag) != own.value:
                client.set_experiment_tag(self._experiment, *own)
            if not self._started.confirms:
                self._save_shared(client, tags)
            self._comparison_saved = True
        except MlflowException as error:
            client.get_experiment(self._experiment)  # raises too if the store does not answer at all
            log.warning("MLflow keeps no view of %s: %s", self._started.sweep, first_line(error))
            self._comparison_saved = False

    def _save_shared(self, client: MlflowClient, tags: Mapping[str, str]) -> None:
        """Save the views of all sweeps of the experiment, whose newest decides what is compared.

        That is done again at the end of each, which may have the first trials of a network.
        """
        earlier = experiment_trials.of(client, self._experiment)
        experiment_trials.complete(client, earlier)
        axes = experiment_trials.axes(earlier, self._comparison, self._started.model)
        when = milliseconds(self._started.time)
        views = (
            comparison_page.of_experiment(self._comparison, when, axes),
            comparison_page.of_sweeps(self._comparison, when),
        )
        for view in views:
            known = tags.get(view.tag)
            if known != view.value and comparison_page.replaces(view, known):
                client.set_experiment_tag(self._experiment, *view)

    def _log_sweep(self, client: MlflowClient, project_run: str | None) -> StoredRun:
        parent, ended = self._parent, self._record.ended
        if parent is not None and (not self._sweep_changed or (ended and parent.has_ended(ended.status, ended.time))):
            return parent
        if parent is None:
            parent = self._parent = self._create(client, project_run)
        else:
            parent.reopen(client, driver_process.tags() | naming.code_tags(self._record))
        client.log_inputs(parent.id, [naming.dataset_input(self._started)])
        params = naming.settings(self._started, self._comparison.searched)
        client.log_batch(parent.id, params=[Param(name, value) for name, value in params.items()])
        if ended is None:  # otherwise `_log_end` logs it with everything else of the end
            self._log_note(client, parent, self._extras(self._record, None).note)
        client.log_text(parent.id, self._started.config, "config.yaml")
        return parent

    def _create(self, client: MlflowClient, project_run: str | None) -> StoredRun:
        started = self._started
        tags = naming.sweep_tags(started, project_run) | naming.code_tags(self._record) | driver_process.tags()
        if started.confirms:  # a confirmation's run is a child of the run of its sweep
            condition = f"{filters.equals('tags.sweep', started.confirms)} and tags.kind = 'sweep'"
            for sweep in search_runs(client, condition)[:1]:
                tags[naming.PARENT], self._experiment = sweep.info.run_id, sweep.info.experiment_id
        return StoredRun.create(client, self._experiment, naming.sweep_name(started), tags, started.time)

    def _log_note(self, client: MlflowClient, parent: StoredRun, note: str) -> None:
        """Log the note and its last line, with links.

        MLflow draws no tables, and shows four lines, in which no link can be clicked, until it is asked for more.
        """
        comparison = comparison_page.address(self._experiment, self._comparison, saved=bool(self._comparison_saved))
        artifacts = comparison_page.artifacts(self._experiment, parent.id)
        links = f"* [compare the trials]({comparison}), [report, configuration and journal]({artifacts})"
        client.set_tag(parent.id, NOTE, "\n".join([*note.splitlines(), links]))

    def _log_end(self, client: MlflowClient, parent: StoredRun) -> None:
        ended, best = self._record.ended, self._record.best
        if ended is None or parent.has_ended(ended.status, ended.time):
            return
        self._record.links = self._trials.links(client.tracking_uri, self._experiment)
        extras = self._extras(self._record, None)
        if best is not None:
            client.log_batch(parent.id, at_step_0(naming.scores(best), ended.time), tags=naming.best_tags(best))
        if extras.metrics:
            client.log_batch(parent.id, at_step_0(extras.metrics, ended.time))
        if self._comparison_saved:
            self._save_comparison(client)
        self._log_note(client, parent, extras.note)
        self._log_journal(client, parent)
        for name, content in extras.files.items():
            log_file(client, parent.id, name, content)
        parent.terminate(client, ended.status, ended.time, ended.reason)

    def _log_journal(self, client: MlflowClient, parent: StoredRun) -> None:
        """Log the journal as far as it goes: from it any sweep can be reported from the store alone."""
        path = self._record.directory / FILE
        if path.exists():  # the driver tells if it was taken away
            client.log_artifact(parent.id, str(path))
        self._journal_logged = time.monotonic()


def _searched(started: SweepStarted) -> tuple[list[str], dict[str, list[str]]]:
    """Return the names of the searched hyperparameters, and of each of several networks those that its trials have."""
    sections = parts(started.config, started.dataset)
    spaces = {section: _names(part.space) for section, part in sections.items()}
    of_networks = {section for section in sections if section.startswith("networks.")}
    shared = [name for section in sections if section not in of_networks for name in spaces[section]]
    names = list(dict.fromkeys([*([NETWORK] if of_networks else []), *(n for each in spaces.values() for n in each)]))
    networks = {
        section.partition(".")[2]: [name for name in names if name in (*sections[section].space, *shared)]
        for section in sorted(of_networks)
    }
    return names, networks


def _names(space: Mapping[str, object]) -> list[str]:
    return [name for name, entry in space.items() if isinstance(entry, Mapping)]


def _is_blank(run: Run) -> bool:
    """Whether nothing has been logged to a run since it was made."""
    data = run.data
    return run.info.status == "RUNNING" and not data.params and not data.metrics and NOTE not in data.tags
