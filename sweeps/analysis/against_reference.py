"""A confirmation's choice against the best linear reference, which was trained on the same documents."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from sweeps.analysis import paired, references
from sweeps.analysis.paired import Difference
from sweeps.analysis.wording import percentage, points
from sweeps.journal import SweepRecord


class Against(NamedTuple):
    """A reference, and the lead of the search's choice over it."""

    title: str
    accuracy: float  # of the test, trained on train and validation
    lead: Difference


def of(record: SweepRecord) -> Against | None:
    """Compare the search's choice with the best reference on validation; None where there is none."""
    reference = references.best(record)
    if reference is None or not reference.final or not record.started.finalists:
        return None
    choice = paired.completed(record, int(next(iter(record.started.finalists))))
    lead = paired.from_reference(record, choice, reference)
    return Against(references.title(reference), reference.final[references.TESTED], lead)


def metrics(against: Against | None) -> dict[str, float]:
    """Return the metrics of the comparison; those that are not finite are left out."""
    if against is None:
        return {}
    values = {
        "reference/accuracy": against.accuracy,
        "confirm/over_reference": against.lead.mean,
        "confirm/over_reference_half_width": against.lead.half_width,
    }
    return {name: value for name, value in values.items() if math.isfinite(value)}


def sentences(against: Against | None) -> Iterator[str]:
    if against is None or not against.lead.pairs:
        return
    accuracy = percentage(against.accuracy)
    start = f"A linear model on counts of words ({against.title}), trained on the same texts, reaches {accuracy}"
    mean, half_width, n = against.lead.mean, 100 * against.lead.half_width, against.lead.pairs
    if math.isinf(half_width):
        yield f"{start}; one seed cannot show how the search's choice ({points(mean)} points) differs from it."
    elif not against.lead.is_shown:
        measured = f"{points(mean)} ± {half_width:.1f} points"
        yield f"{start}: the search's choice differs by no more than {n} seeds and these texts leave open ({measured})."
    else:
        direction = "better" if mean > 0 else "worse"
        yield f"{start}: the search's choice is {direction} by {points(mean)[1:]} ± {half_width:.1f} points."
