"""The page of a sweep: its conclusions, tables and figures."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from sweeps.analysis import data_findings
from sweeps.analysis.summary import SweepSummary
from sweeps.journal import SweepRecord
from sweeps.report import commands, conclusions, html, provenance, tables
from sweeps.report.html import Figure, Report

SHOWN = 10  # trials of the leaderboard that are not folded away


class Section(NamedTuple):
    """A part of the page that has figures, below a text of its own if it has an introduction."""

    title: str
    introduction: str  # a template, or empty
    figures: tuple[Figure, ...]


def build(record: SweepRecord, confirmations: Sequence[SweepRecord] = ()) -> Report:
    sweep = SweepSummary.of(record)
    sections, head = _sections(sweep), _head(sweep)
    rows = tables.leaderboard(sweep)
    page = html.render(
        "sweep.html",
        sweep=sweep,
        started=record.started,
        conclusions=conclusions,
        confirmed=conclusions.confirmed(confirmations),
        head=head,
        references=tables.references(sweep),
        data_findings=data_findings,
        suggestions=_suggestions(sweep),
        command=commands.confirm(record),
        again=commands.sweep_again(record),
        runs=record.links,
        leaders=tables.leaders(rows, SHOWN),
        leaderboard=rows,
        shown=SHOWN,
        sections=[section for section in sections if section.figures or section.introduction],
        endings=tables.endings(sweep),
        failures=tables.failures(sweep),
        provenance=provenance.rows(record),
        written=time.time(),
    )
    return Report(page, (*head, *(figure for section in sections for figure in section.figures)))


def _suggestions(sweep: SweepSummary) -> list[data_findings.Suggestion]:
    """Return what the data suggest; generated ones are no reason for anything."""
    searched = [hp.name for hp in sweep.searched]
    if sweep.audit is None or sweep.started.source == "standin":
        return []
    return data_findings.suggestions(sweep.audit, sweep.started.dataset, searched)


def _head(sweep: SweepSummary) -> tuple[Figure, ...]:
    from sweeps.report import figures  # imports matplotlib

    return tuple(figure for draw in figures.SWEEP_HEAD for figure in draw(sweep))


def _sections(sweep: SweepSummary) -> list[Section]:
    from sweeps.report import figures  # imports matplotlib

    return [
        Section(title, introduction, tuple(figure for draw in functions for figure in draw(sweep)))
        for title, introduction, functions in figures.SWEEP_SECTIONS
    ]
