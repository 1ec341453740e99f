"""A confirmation's finalists against the best linear reference that read at least as much of the same documents."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from sweeps.analysis import paired, reading, references, statistics
from sweeps.analysis.paired import Difference
from sweeps.analysis.wording import number, percentage, points
from sweeps.journal import ReferenceEnded, SweepRecord, TrialRecord
from sweeps.metrics import row


class Against(NamedTuple):
    """A reference, and the lead of the search's choice over it."""

    title: str
    learned: str  # from what, in words
    metric: str  # by which the confirmation compares
    score: float  # its value on the test
    lead: Difference


def of(record: SweepRecord) -> Against | None:
    """Compare the search's choice with the reference that is fair to both; None where there is none."""
    name = next(iter(record.started.finalists), None)
    if name is None or (compared := _compared(record, name)) is None:
        return None
    reference, choice = compared
    trial = next(iter(choice.values()))
    metric = record.started.compared_by
    score = reference.fullest[metric]
    lead = paired.from_reference(record, choice, reference)
    return Against(references.title(reference), _learned(record, reference, trial), metric, score, lead)


def leads(record: SweepRecord, of_choice: Against | None) -> dict[int, Difference]:
    """Return the lead of each finalist, by its trial in the search, over the reference that is fair to it.

    As with the gains, the interval of the search's choice is one of 95 %, and those of the others hold together.
    """
    others = [*record.started.finalists][1:]
    level = statistics.level_of_each(len(others))
    found = {int(next(iter(record.started.finalists))): of_choice.lead} if of_choice else {}
    for name in others:
        if (compared := _compared(record, name)) is not None:
            reference, trials = compared
            found[int(name)] = paired.from_reference(record, trials, reference, level)
    return found


def _compared(record: SweepRecord, finalist: str) -> tuple[ReferenceEnded, dict[int, TrialRecord]] | None:
    """Return a finalist's reference, and its completed trials by their seeds; None where one is missing."""
    trials = paired.completed(record, int(finalist))
    reference = references.rival(record, next(iter(trials.values()))) if trials else None
    if reference is None or not (reference.final or reference.whole):
        return None
    if record.started.compared_by not in reference.fullest:  # of an earlier version
        return None
    return reference, trials


def _learned(record: SweepRecord, reference: ReferenceEnded, trial: TrialRecord) -> str:
    """Say from which texts a reference learned, and how much it and the trial read of them, as far as that is known."""
    same = "the same texts" if reference.final else "the same texts but those of validation"
    theirs, ours = reading.of_references(record), reading.of_trial(record, trial)
    if theirs is None or ours is None:
        return same
    if reference.whole:
        return f"{same}, which it reads whole where the search's choice reads at most {ours.beside(theirs)}"
    if ours == theirs:
        return f"{same}, of which both read at most {ours.beside(theirs)}"
    return f"{same}, of which it reads at most {theirs.beside(ours)} and the search's choice {ours.beside(theirs)}"


def metrics(against: Against | None) -> dict[str, float]:
    """Return the metrics of the comparison; those that are not finite are left out."""
    if against is None:
        return {}
    values = {
        f"reference/{row(against.metric).name}": against.score,
        "confirm/over_reference": against.lead.mean,
        "confirm/over_reference_half_width": against.lead.half_width,
    }
    return {name: value for name, value in values.items() if math.isfinite(value)}


def sentences(against: Against | None) -> Iterator[str]:
    if against is None or not against.lead.pairs:
        return
    model = f"A linear model on counts of words ({against.title}), trained on {against.learned},"
    is_share = against.metric == paired.ACCURACY
    reached = percentage(against.score) if is_share else f"a {against.metric} of {number(against.score)}"
    start = f"{model} reaches {reached}"
    mean, half_width, n = against.lead.mean, 100 * against.lead.half_width, against.lead.pairs
    if math.isinf(half_width):
        yield f"{start}; one seed cannot show how the search's choice ({points(mean)} points) differs from it."
    elif not against.lead.is_shown:
        measured = f"{points(mean)} ± {half_width:.1f} points"
        yield f"{start}: the search's choice differs by no more than {n} seeds and these texts leave open ({measured})."
    else:
        direction = "better" if mean > 0 else "worse"
        yield f"{start}: the search's choice is {direction} by {points(mean)[1:]} ± {half_width:.1f} points."
