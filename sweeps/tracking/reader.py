"""The sweeps of a store in MLflow, read back from the `journal.jsonl` of their runs.

Nothing is written, and a store that does not exist is not created.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mlflow.entities import Run

from conf.schema import ConfigError, did_you_mean
from sweeps import journal
from sweeps.errors import SweepError
from sweeps.journal import RunLinks, SweepRecord
from sweeps.tracking import driver_process, failures, filters, store, trial_runs
from sweeps.tracking.client import NO_SUCH_RUN, UNAVAILABLE, connect, search_runs
from sweeps.tracking.naming import PARENT

NAMED = 5  # sweeps in a message
LARGEST = 2**30  # bytes of a journal: some 10,000 trials of 100 epochs have a fifth of that


class StoredSweep(NamedTuple):
    """A sweep, or a confirmation, as its run describes it."""

    name: str
    run: str
    kind: str  # sweep | confirm
    started: int  # milliseconds
    running: bool = False  # as far as can be known
    confirms: str = ""  # of a confirmation: the sweep


class StoredSweeps:
    """The sweeps of a store. Raises `StoreRefusesError`, and `StoreAwayError` if it does not answer."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._client = connect(uri)

    def sweeps(self, *kinds: str) -> list[StoredSweep]:
        """Return all sweeps of these kinds, newest first."""
        try:
            runs = [
                (kind, run) for kind in kinds for run in search_runs(self._client, filters.equals("tags.kind", kind))
            ]
        except UNAVAILABLE as error:
            raise failures.of(self.uri, error) from error
        sweeps = [
            StoredSweep(
                *(run.data.tags["sweep"], run.info.run_id, kind, run.info.start_time, _is_running(run)),
                confirms=run.data.tags.get("confirms", ""),
            )
            for kind, run in runs
            if is_name(run.data.tags.get("sweep", ""))
        ]
        # A run that was imported may have the tags of another one: the older one, which comes first, counts.
        by_name = {sweep.name: sweep for sweep in reversed(sweeps)}
        return sorted(by_name.values(), key=lambda sweep: -sweep.started)

    def chosen(self, name: str, *kinds: str) -> list[StoredSweep]:
        """Return the sweep of that name or of that run's id, or all of a directory; raises `ConfigError` for none."""
        sweeps = self.sweeps(*kinds)
        bare_name = name.rstrip("/").removeprefix("outputs/")
        matches = [sweep for sweep in sweeps if bare_name in (sweep.name, sweep.name.partition("/")[0], sweep.run)]
        if not matches:
            names = [sweep.name for sweep in sweeps]
            hint = did_you_mean(bare_name, names) or _newest(names)
            raise ConfigError(f"sweep={name}: {store.without_password(self.uri)} has no such {kinds[0]}{hint}")
        return matches

    def record(self, sweep: StoredSweep) -> SweepRecord:
        """Return the record of a sweep's journal, as it was logged last; raises `SweepError` if it cannot be read."""
        with tempfile.TemporaryDirectory() as folder:
            try:
                self._refuse_large(sweep)
                self._client.download_artifacts(sweep.run, journal.FILE, folder)
            except UNAVAILABLE as error:
                reason = failures.first_line(error)
                raise SweepError(
                    f"{sweep.name}: its run {sweep.run} has no readable {journal.FILE}: {reason}"
                ) from error
            events = journal.read(Path(folder))
        if not events:
            raise SweepError(f"{sweep.name}: its {journal.FILE} is empty")
        record = SweepRecord.of(Path("outputs") / sweep.name, events)
        if not is_name(record.started.sweep):
            raise SweepError(f"{sweep.name}: its {journal.FILE} names the sweep {record.started.sweep}")
        record.links = self._links(sweep, record)
        return record

    def run_of(self, name: str, trial: int) -> str:
        """Return the id of the run of a sweep's trial; raises `ConfigError` if there is none."""
        sweep, *others = self.chosen(name, "sweep", "confirm")
        if others:
            raise ConfigError(f"sweep={name}: there are {', '.join(sorted(each.name for each in (sweep, *others)))}")
        runs = {run.data.tags.get("trial", ""): run.info.run_id for run in self._children(sweep)}
        if str(trial) not in runs:
            raise ConfigError(f"trial={trial}: {sweep.name} has no run of such a trial")
        return str(runs[str(trial)])

    def links(self, record: SweepRecord) -> RunLinks:
        """Return the pages of the runs of a sweep whose record is not this store's; empty if it has no such sweep."""
        stored = next((sweep for sweep in self.sweeps(record.started.kind) if sweep.name == record.started.sweep), None)
        return self._links(stored, record) if stored else RunLinks()

    def _links(self, sweep: StoredSweep, record: SweepRecord) -> RunLinks:
        """Return the pages of the trials' runs: the children of the sweep's run."""
        trials = {run.data.tags.get("trial", ""): run.info for run in self._children(sweep)}
        numbers = {str(number): number for number in record.trials}
        known = {numbers[trial]: info for trial, info in trials.items() if trial in numbers}
        experiment = next((info.experiment_id for info in known.values()), "")
        return trial_runs.links(self.uri, experiment, {trial: info.run_id for trial, info in known.items()})

    def _children(self, sweep: StoredSweep) -> list[Run]:
        """Return the runs of a sweep's trials, of two of one trial the one that counts, the older, last."""
        try:
            return list(reversed(search_runs(self._client, filters.equals(f"tags.`{PARENT}`", sweep.run))))
        except UNAVAILABLE as error:
            raise failures.of(self.uri, error) from error

    def _refuse_large(self, sweep: StoredSweep) -> None:
        files = self._client.list_artifacts(sweep.run)
        size = next((file.file_size for file in files if file.path == journal.FILE), None)
        if size is not None and size > LARGEST:
            raise SweepError(f"{sweep.name}: its {journal.FILE} has {size:,} bytes, more than {LARGEST:,}")

    def trial(self, run: str) -> tuple[SweepRecord, int]:
        """Return the record of the sweep of a trial's run, and the trial's number.

        Raises `ConfigError` for a run that is not a trial's.
        """
        try:
            tags = self._client.get_run(run).data.tags
        except UNAVAILABLE as error:
            if getattr(error, "error_code", None) not in NO_SUCH_RUN:
                raise failures.of(self.uri, error) from error
            raise ConfigError(f"reproduce={run}: {store.without_password(self.uri)} has no such run") from error
        if "trial" not in tags or PARENT not in tags or not is_name(tags.get("sweep", "")):
            raise ConfigError(f"reproduce={run}: not the run of a trial, but {tags.get('kind', 'of something else')}")
        record = self.record(StoredSweep(tags["sweep"], tags[PARENT], "sweep", 0))
        trials = {str(number): number for number in record.trials}
        if tags["trial"] not in trials:
            raise SweepError(f"{tags['sweep']}: its {journal.FILE} has no trial {tags['trial']}, which run {run} names")
        return record, trials[tags["trial"]]


def is_name(name: str) -> bool:
    """Whether a name is that of a sweep, `<directory>/<dataset>`; reports are written to folders that are named so."""
    parts = name.split("/")
    return len(parts) == 2 and all(part not in ("", ".", "..") and "\0" not in part for part in parts)


def _is_running(run: Run) -> bool:
    return bool(run.info.status == "RUNNING") and not driver_process.is_known_dead(run.data.tags)


def _newest(names: Sequence[str]) -> str:
    if not names:
        return ""
    more = f", and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"; it has {', '.join(names[:NAMED])}{more}"
