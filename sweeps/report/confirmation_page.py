"""The page of a confirmation: every configuration with its interval, and the conclusions."""

from __future__ import annotations

from sweeps.analysis import against_reference, confirmation
from sweeps.journal import SweepRecord
from sweeps.report import conclusions, html, provenance
from sweeps.report.html import Report


def build(record: SweepRecord) -> Report:
    from sweeps.report import figures  # imports matplotlib

    outcomes, against = confirmation.outcomes(record), against_reference.of(record)
    drawn = tuple(figure for draw in figures.CONFIRMATION_FIGURES for figure in draw(outcomes))
    page = html.render(
        "confirmation.html",
        started=record.started,
        state=conclusions.state,
        record=record,
        outcomes=outcomes,
        sentences=[*confirmation.conclusions(outcomes), *against_reference.sentences(against)],
        against=against,
        figures=drawn,
        provenance=provenance.rows(record),
    )
    return Report(page, drawn)
