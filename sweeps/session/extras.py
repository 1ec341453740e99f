"""The figures, reports and sentences that MLflow's runs show besides their own numbers."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from sweeps import audit
from sweeps.journal import SweepRecord, TrialRecord
from sweeps.tracking.extras import Extras, ExtrasOf

if TYPE_CHECKING:
    from sweeps.analysis.classes import PerClass
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
        from sweeps.analysis import classes
        from sweeps.report import run_note

        if trial is not None:
            curves = {"loss_curves.png": loss_curves(record, trial)} if trial.epochs_run else {}
            answers = classes.per_class(record.started, [trial])
            return Extras(files=curves | ({classes.FILE: answers.csv()} if answers else {}))
        note = run_note.note(record)
        return Extras(note=note) if record.ended is None else _of_ended(record)._replace(note=note)

    return extras_of


def _of_ended(record: SweepRecord) -> Extras:
    """Return the scores, the report and the answers label by label of a sweep or a confirmation that has ended."""
    from sweeps.analysis import against_reference, confirmation, references
    from sweeps.analysis.classes import of_best
    from sweeps.report import write as report

    page = report.ensure_written(record)
    files = {report.FILE: page.read_bytes()} if page else {}
    metrics = audit.of(record.started.audit).metrics() if record.started.audit else {}
    if record.started.confirms:
        outcomes = confirmation.outcomes(record)
        metrics |= confirmation.metrics(outcomes) | against_reference.metrics(against_reference.of(record))
        answers = outcomes[0].classes
    else:
        if (reference := references.best(record)) is not None:
            metrics["reference/accuracy"] = reference.scores["test/accuracy"]
        answers = of_best(record)
    return Extras(metrics, files | (_of_labels(answers) if answers else {}))


def _of_labels(answers: PerClass) -> dict[str, bytes]:
    from sweeps.analysis.classes import FILE
    from sweeps.report.figures.classes import matrix

    figure = matrix(answers)
    return {FILE: answers.csv(), f"{figure.name}.png": figure.png}
