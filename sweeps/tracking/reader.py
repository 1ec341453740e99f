"""MLflow -> journals: the sweeps that a store holds, read back from their `journal.jsonl`.

Nothing is written: a store that is not there is not made.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from conf.schema import ConfigError, did_you_mean
from sweeps import journal
from sweeps.tracking import store
from sweeps.journal import SweepRecord
from sweeps.errors import SweepError

AWAY = (MlflowException, SQLAlchemyError, OSError, sqlite3.Error)
NAMED = 5  # sweeps in a message


class Entry(NamedTuple):
    """A sweep, or a confirmation, as its run says."""

    name: str
    run: str
    kind: str  # sweep | confirm
    started: int  # milliseconds


class Recorded:
    """What a store holds. Raises `ConfigError` where there is none, `SweepError` where it does not answer."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        if uri.startswith(store.SQLITE) and not store.database(uri).is_file():
            raise ConfigError(f"tracking.uri={uri}: there is no such store; nothing was recorded there")
        self._client = MlflowClient(uri)

    def entries(self, *kinds: str) -> list[Entry]:
        """Newest first."""
        try:
            found = [(kind, run) for kind in kinds for run in self._search(f"tags.kind = '{kind}'")]
        except AWAY as error:
            raise SweepError(f"{self.uri} does not answer: {error}") from error
        entries = [
            Entry(run.data.tags["sweep"], run.info.run_id, kind, run.info.start_time)
            for kind, run in found
            if "sweep" in run.data.tags
        ]
        return sorted(entries, key=lambda entry: -entry.started)

    def chosen(self, name: str, *kinds: str) -> list[Entry]:
        """The sweep of that name, those of its directory, or the one of that run. Raises `ConfigError`."""
        entries = self.entries(*kinds)
        wanted = name.rstrip("/").removeprefix("outputs/")
        found = [e for e in entries if wanted in (e.name, e.name.partition("/")[0], e.run)]
        if not found:
            names = [e.name for e in entries]
            hint = did_you_mean(wanted, names) or _newest(names)
            raise ConfigError(f"sweep={name}: {store.without_password(self.uri)} has no such {kinds[0]}{hint}")
        return found

    def record(self, entry: Entry) -> SweepRecord:
        """What its journal said when it was last logged. Raises `SweepError` where it never was, or is damaged."""
        with tempfile.TemporaryDirectory() as folder:
            try:
                self._client.download_artifacts(entry.run, journal.FILE, folder)
            except AWAY as error:
                raise SweepError(f"{entry.name}: its run {entry.run} has no readable {journal.FILE}") from error
            record = SweepRecord(Path("outputs") / entry.name, journal.read(Path(folder)))
        if record.started is None:
            raise SweepError(f"{entry.name}: its {journal.FILE} is empty")
        return record

    def trial(self, run: str) -> tuple[SweepRecord, int]:
        """The sweep of a trial's run, and the trial's number. Raises `ConfigError` where it is no trial's."""
        try:
            tags = self._client.get_run(run).data.tags
        except AWAY as error:
            raise ConfigError(f"reproduce={run}: {self.uri} has no such run") from error
        if "trial" not in tags or "mlflow.parentRunId" not in tags:
            raise ConfigError(f"reproduce={run}: not the run of a trial, but {tags.get('kind', 'of something else')}")
        parent = Entry(tags["sweep"], tags["mlflow.parentRunId"], "sweep", 0)
        return self.record(parent), int(tags["trial"])

    def _search(self, where: str) -> Sequence[Run]:
        experiments = [experiment.experiment_id for experiment in self._client.search_experiments()]
        runs: list[Run] = []
        token = None
        while True:
            found = self._client.search_runs(experiments, where, page_token=token)
            runs += found
            token = found.token
            if not token:
                return runs


def _newest(names: Sequence[str]) -> str:
    if not names:
        return ""
    more = f", and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"; it has {', '.join(names[:NAMED])}{more}"
