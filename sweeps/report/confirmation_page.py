"""The page of a confirmation: every configuration with its interval, and the conclusions."""

from __future__ import annotations

from sweeps import metrics
from sweeps.analysis import against_reference, confirmation, paired
from sweeps.analysis.confirmation import Outcome
from sweeps.journal import SweepRecord
from sweeps.report import conclusions, html, provenance
from sweeps.report.html import Report


def build(record: SweepRecord) -> Report:
    from sweeps.report import figures  # imports matplotlib

    outcomes, against = confirmation.outcomes(record), against_reference.of(record)
    drawn = tuple(figure for draw in figures.CONFIRMATION_FIGURES for figure in draw(outcomes, against))
    page = html.render(
        "confirmation.html",
        started=record.started,
        state=conclusions.state,
        record=record,
        outcomes=outcomes,
        sentences=[*confirmation.conclusions(outcomes), *against_reference.sentences(against)],
        against=against,
        leads=against_reference.leads(record, against),
        compared_by=record.started.compared_by,
        validated=metrics.on_validation(record.started.compared_by),
        figures=drawn,
        runs=record.links,
        addresses={outcome.name: _addresses(record, outcome) for outcome in outcomes},
        provenance=provenance.rows(record),
    )
    return Report(page, drawn)


def _addresses(record: SweepRecord, outcome: Outcome) -> list[str]:
    """Return the pages of a configuration's runs, one for each seed; none where they are not known."""
    trials = paired.completed(record, outcome.origin, shuffled=outcome.order is not None).values()
    return [record.links.addresses[trial.trial] for trial in trials if trial.trial in record.links.addresses]
