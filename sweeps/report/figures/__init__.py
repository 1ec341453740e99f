"""The figures, and the only place that imports matplotlib.

A figure of a page is one function that yields it, or nothing where the record has no data for it (`slices` yields one
for each hyperparameter). A function that is added to one of the lists below is drawn, written and shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from sweeps.analysis.against_reference import Against
from sweeps.analysis.confirmation import Outcome
from sweeps.analysis.summary import SweepSummary
from sweeps.report.figures import classes, data, outcomes, search
from sweeps.report.html import Figure


class Section(NamedTuple):
    """A section of a sweep's page: its title, the template of its introduction if it has one, and its figures."""

    title: str
    introduction: str
    figures: tuple[Callable[[SweepSummary], Iterator[Figure]], ...]


SWEEP_HEAD: tuple[Callable[[SweepSummary], Iterator[Figure]], ...] = (outcomes.between,)
SWEEP_SECTIONS: tuple[Section, ...] = (
    Section("The search", "", (search.best_by_trial, search.best_by_time)),
    Section("Hyperparameters", "hyperparameters.html", (search.parallel, search.importance, search.slices)),
    Section(
        "Training, outcome and cost",
        "",
        (
            outcomes.validation_loss,
            outcomes.train_loss,
            outcomes.validation_against_test,
            outcomes.cost_in_seconds,
            outcomes.cost_in_parameters,
            outcomes.cost_in_predictions,
        ),
    ),
    Section("The labels", "classes.html", (classes.of_sweep,)),
    Section("The data", "data.html", (data.lengths, data.labels)),
)
CONFIRMATION_FIGURES: tuple[Callable[[Sequence[Outcome], Against | None], Iterator[Figure]], ...] = (
    outcomes.confirmed,
    classes.of_confirmation,
)
