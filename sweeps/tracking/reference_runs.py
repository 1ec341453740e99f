"""The runs of one sweep's linear references: each is a child of the sweep's run, and none is ranked with trials."""

from __future__ import annotations

from mlflow import MlflowClient
from mlflow.entities import Param

from sweeps.journal import ReferenceEnded, SweepRecord
from sweeps.tracking import naming
from sweeps.tracking.client import at_step_0
from sweeps.tracking.stored_run import StoredRun


class ReferenceRuns:
    """The references' runs: `log` makes, or completes, the run of each that the store does not hold as it ended."""

    def __init__(self, record: SweepRecord) -> None:
        self._record = record
        self._runs: dict[str, StoredRun] = {}

    def forget(self) -> None:
        """Drop what is known of the store, because it may have changed."""
        self._runs = {}

    def adopt(self, name: str, run: StoredRun) -> bool:
        """Take a run of the store as a reference's; returns whether it is the first one."""
        return self._runs.setdefault(name, run) is run

    @property
    def complete(self) -> bool:
        return all(map(self._holds, self._record.references.values()))

    def log(self, client: MlflowClient, experiment: str, parent: str) -> None:
        for reference in list(self._record.references.values()):
            if not self._holds(reference):
                self._log(client, experiment, parent, reference)

    def _holds(self, reference: ReferenceEnded) -> bool:
        run = self._runs.get(reference.name)
        return run is not None and run.has_ended(reference.status, reference.time)

    def _log(self, client: MlflowClient, experiment: str, parent: str, reference: ReferenceEnded) -> None:
        run = self._runs.get(reference.name)
        if run is None:
            started = self._record.started
            name, tags = naming.reference_name(started, reference), naming.reference_tags(started, reference, parent)
            began = max(started.time, reference.time - reference.cost.get("seconds", 0.0))
            run = self._runs[reference.name] = StoredRun.create(client, experiment, name, tags, began)
            client.log_inputs(run.id, [naming.dataset_input(started)])
        final = {f"retrained/{name}": value for name, value in reference.final.items()}
        cost = {f"cost/{name}": value for name, value in reference.cost.items()}
        metrics = at_step_0({**reference.scores, **final, **cost}, reference.time)
        params = [Param(name, str(value)) for name, value in reference.settings.items()]
        client.log_batch(run.id, metrics, params, [naming.reason_tag(reference.reason)])
        run.end(client, reference.status, reference.time)
