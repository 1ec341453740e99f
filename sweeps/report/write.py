"""What a sweep taught: its record -> one HTML page with its figures. One more view of the journal."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import NamedTuple

from omegaconf import OmegaConf

from sweeps import journal
from sweeps.report import html
from sweeps.analysis import confirmation
from sweeps.report.sweep_page import Contents, provenance_of
from sweeps.journal import SweepRecord
from sweeps.report.html import Figure

log = logging.getLogger(__name__)

FILE = "report.html"
SHOWN = 10  # trials of the leaderboard that are not folded away


class Report(NamedTuple):
    html: str
    figures: tuple[Figure, ...]


def write(record: SweepRecord, path: Path, *, figures: Path | None = None) -> Report:
    """Write the page to `path`, and its figures into a folder if one is given."""
    report = of(record)
    path.parent.mkdir(parents=True, exist_ok=True)
    journal.write_whole(path, report.html)
    if figures is not None:
        figures.mkdir(parents=True, exist_ok=True)
        for figure in report.figures:
            (figures / f"{figure.name}.png").write_bytes(figure.png)
    return report


def kept(record: SweepRecord) -> Path | None:
    """The page of an ended sweep in its own directory, made unless it is there since the end.

    None where that fails: the page can be had again, and must not hold up what waits for it.
    """
    path = record.directory / FILE
    try:
        assert record.ended is not None
        if not path.exists() or path.stat().st_mtime < record.ended.time:
            write(record, path)
    except Exception as error:
        log.warning("%s could not be made: %s", path, error)
        return None
    return path


def of(record: SweepRecord) -> Report:
    """The page of one sweep, however far it came."""
    assert record.started is not None
    if record.started.confirms:
        return _of_confirmation(record)
    config = OmegaConf.to_container(OmegaConf.create(record.started.config))
    assert isinstance(config, dict)
    contents = Contents(record, {str(key): value for key, value in config.items()})
    figures = tuple(contents.figures())
    html = html.render(
        "report.html",
        contents=contents,
        started=record.started,
        shown=SHOWN,
        figures={figure.name: figure for figure in figures},
        slices=[figure for figure in figures if figure.name.startswith("slice-")],
        when=_date(record.started.time),
        provenance=provenance_of(record.started),
        made=_date(time.time()),
    )
    return Report(html, figures)


def _of_confirmation(record: SweepRecord) -> Report:
    """The page of a confirmation: every configuration with its interval, and what follows."""
    started = record.started
    assert started is not None
    outcomes = confirmation.outcomes(record)
    scores = {outcome.name: outcome.scores for outcome in outcomes if outcome.scores}
    figures: tuple[Figure, ...] = ()
    if scores:
        from sweeps.report.figures import outcomes as drawn

        intervals = {o.name: (o.mean, o.half) for o in outcomes if o.scores}
        alt = "; ".join(f"{name}: {mean:.4f} ± {half:.4f}" for name, (mean, half) in intervals.items())
        png = drawn.confirmed(scores, intervals)
        figures = (Figure("confirmed", "Test accuracy, mean and 95 % interval", alt, png),)
    html = html.render(
        "confirmation.html",
        started=started,
        record=record,
        outcomes=outcomes,
        sentences=confirmation.conclusions(outcomes),
        failed=[trial for trial in record.trials.values() if trial.status == "failed"],
        figures=figures,
        when=_date(started.time),
        provenance=provenance_of(started),
    )
    return Report(html, figures)


def _date(when: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(when))
