"""A sweep's record together with everything that is computed from it, once, for all parts of its page."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from conf import stored
from sweeps import audit as audits
from sweeps.analysis import importance, space_findings, statistics
from sweeps.analysis.classes import PerClass, of_best
from sweeps.analysis.importance import Importances
from sweeps.analysis.space_findings import Finding
from sweeps.audit import Audit
from sweeps.journal import SweepRecord, SweepStarted, TrialRecord
from sweeps.search import space
from sweeps.search.space import Hyperparameter


class Score(NamedTuple):
    """The value of a metric and its standard error.

    Only an accuracy of a known number of examples has an error: it is a share of independent answers (binomial). The
    formula gives none for a share of all or of no answers, which is no certainty.
    """

    value: float
    error: float | None = None

    def __str__(self) -> str:
        return f"{self.value:.4f}" + (f" ± {self.error:.4f}" if self.error is not None else "")


@dataclass(frozen=True)
class SweepSummary:
    """A sweep and what its trials show. No test score is used to choose, to rank or to recommend a trial."""

    record: SweepRecord
    ranking: tuple[TrialRecord, ...]  # completed trials, best objective first
    searched: tuple[Hyperparameter, ...]
    importances: Importances
    findings: tuple[Finding, ...]
    silence: str  # the reason why there can be no finding, or empty

    @classmethod
    def of(cls, record: SweepRecord) -> SweepSummary:
        parts = stored.parts(record.started.config, record.started.dataset)
        ranking, searched = record.ranking(), space.recorded(parts)
        importances = importance.importances(space_findings.comparable(record), searched)
        findings = space_findings.findings(record, parts, importances)
        silence = space_findings.silence(record, len(searched))
        return cls(record, tuple(ranking), searched, importances, tuple(findings), silence)

    @property
    def audit(self) -> Audit | None:
        """The audit of the data; None for a sweep of an earlier version."""
        return audits.of(self.started.audit) if self.started.audit else None

    @property
    def classes(self) -> PerClass | None:
        """The best trial's answers to the test set, label by label; None where they were not recorded."""
        return of_best(self.record)

    @property
    def started(self) -> SweepStarted:
        return self.record.started

    @property
    def objective(self) -> str:
        return self.record.started.objective

    @property
    def best(self) -> TrialRecord | None:
        return self.record.best

    @property
    def baseline(self) -> TrialRecord | None:
        return self.record.baseline

    @property
    def training_seconds(self) -> float:
        """The seconds that all trials trained, added up over workers that ran side by side."""
        return sum(trial.cost.get("seconds", 0.0) for trial in self.record.trials.values())

    def running_seconds(self, until: float = math.inf) -> float:
        """The seconds that the sweep ran before the time `until`, without the pauses between sessions."""
        return sum(max(0.0, min(last, until) - first) for first, last in self.record.sessions)

    def score(self, trial: TrialRecord, metric: str) -> Score | None:
        """The metric of a trial after its chosen epoch; None where it was not recorded."""
        part, _, name = metric.partition("/")
        value = trial.test.get(metric) if part == "test" else trial.at_best(metric)
        if value is None:
            return None
        examples = self.started.sizes.get("test" if part == "test" else self.started.held_out)
        if name != "accuracy" or not examples:
            return Score(value)
        return Score(value, statistics.standard_error(value, examples) or None)
