"""The figures, reports and sentences that MLflow's runs show besides their own numbers."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from sweeps import audit
from sweeps.journal import SweepRecord, TrialRecord
from sweeps.tracking.extras import Extras, ExtrasOf

if TYPE_CHECKING:
    from sweeps.report.figures.trial import LossCurves


def from_reports() -> ExtrasOf:
    """Return the function that the tracker asks for a trial's loss curves and for a sweep's note, scores and report."""

    @cache  # one figure for all trials: a new one for each takes 1.5 times as long
    def drawing(held_out: str) -> LossCurves:
        from sweeps.report.figures.trial import LossCurves

        return LossCurves(held_out)

    def loss_curves(record: SweepRecord, trial: TrialRecord) -> bytes:
        return drawing(record.started.held_out).png(
            trial.curves, f"{record.started.model} on {record.started.dataset}, trial {trial.trial}"
        )

    def extras_of(record: SweepRecord, trial: TrialRecord | None) -> Extras:
        from sweeps.report import run_note

        if trial is not None:
            return Extras(files={"loss_curves.png": loss_curves(record, trial)} if trial.epochs_run else {})
        note = run_note.note(record)
        if record.ended is None:
            return Extras(note=note)
        from sweeps.analysis import confirmation
        from sweeps.report import write as report

        page = report.ensure_written(record)
        scores = confirmation.metrics(confirmation.outcomes(record)) if record.started.confirms else {}
        facts = audit.of(record.started.audit).metrics() if record.started.audit else {}
        return Extras(metrics={**facts, **scores}, files={report.FILE: page.read_bytes()} if page else {}, note=note)

    return extras_of
