"""One run as the store has it, and the changes of its state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run, RunTag
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.uri import is_local_uri

from sweeps.tracking.client import milliseconds
from sweeps.tracking.naming import reason_tag

STATES = {"completed": "FINISHED", "failed": "FAILED"}  # of a trial or a sweep -> of its run


@dataclass
class StoredRun:
    id: str
    artifacts: str  # the address of the place for its files
    status: str = "RUNNING"
    ended: int | None = None  # milliseconds
    attempt: tuple[int, int] | None = None  # the last one that was logged, and until which epoch it may run
    curves: dict[str, list[float]] | None = field(default_factory=dict)  # None: not read from the store yet

    @classmethod
    def create(
        cls, client: MlflowClient, experiment: str, name: str, tags: Mapping[str, str], when: float
    ) -> StoredRun:
        run = client.create_run(experiment, milliseconds(when), dict(tags), name)
        return cls(str(run.info.run_id), str(run.info.artifact_uri))

    @classmethod
    def of(cls, run: Run) -> StoredRun:
        """Describe a run that the store had before."""
        return cls(run.info.run_id, run.info.artifact_uri, run.info.status, run.info.end_time, curves=None)

    @property
    def keeps_files_here(self) -> bool:
        """Whether its files lie in a folder of this machine, so that a look costs no call."""
        return bool(is_local_uri(self.artifacts, is_tracking_or_registry_uri=False))  # type: ignore[no-untyped-call]

    def has_files(self, client: MlflowClient) -> bool:
        """Return whether it has any file; a folder may be emptied without the store's knowing."""
        if not self.keeps_files_here:
            return bool(client.list_artifacts(self.id))
        folder = Path(local_file_uri_to_path(self.artifacts))  # type: ignore[no-untyped-call]
        return folder.is_dir() and any(folder.iterdir())

    def has_ended(self, status: str, when: float) -> bool:
        """Return whether the run ended with this status of the journal, at this time; such a run is complete."""
        return self.status == STATES.get(status, status) and self.ended == milliseconds(when)

    def count_as_unfinished(self) -> None:
        """Let everything that the run holds be logged again, because a part of it is lost."""
        self.ended = None

    def reopen(self, client: MlflowClient, tags: Mapping[str, str]) -> None:
        """Continue a run that has ended, or that another process worked on."""
        client.log_batch(self.id, tags=[RunTag(key, value) for key, value in tags.items()])
        client.update_run(self.id, "RUNNING")
        self.status, self.ended = "RUNNING", None

    def terminate(self, client: MlflowClient, status: str, when: float, reason: str) -> None:
        if not self.has_ended(status, when):
            client.log_batch(self.id, tags=[reason_tag(reason)])
            self.end(client, status, when)

    def end(self, client: MlflowClient, status: str, when: float) -> None:
        """Set the final status; this has to be the last call for a run."""
        status = STATES.get(status, status)
        client.set_terminated(self.id, status, milliseconds(when))
        self.status, self.ended = status, milliseconds(when)
