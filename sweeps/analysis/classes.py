"""The answers to the test set, label by label: precision, recall, F1, and the labels that are taken for others."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sweeps.analysis.wording import count
from sweeps.audit import FEW
from sweeps.journal import SweepRecord, SweepStarted, TrialRecord
from sweeps.metrics import Answers

FILE = "per_class.csv"
NAMED = 10  # confusions in a list


class LabelScores(NamedTuple):
    """The scores of one label; of several trials their means. All are nan for a label without test texts."""

    name: str
    support: int  # texts of the test set
    answered: float  # texts of the test set that got this answer
    precision: float  # 0 for a label that was never answered
    recall: float
    f1: float

    @property
    def few(self) -> bool:
        """Whether its test texts are so few that chance decides its scores."""
        return self.support < FEW


class Mistake(NamedTuple):
    """A label that was taken for another."""

    label: LabelScores
    answer: LabelScores
    times: float  # test texts; of several trials their mean

    def __str__(self) -> str:
        return f"{self.label.name} taken for {self.answer.name}: {count(self.times)} of {self.label.support:,}"


class PerClass(NamedTuple):
    """The answers of a trial to the test set, or the mean of several trials with one configuration."""

    trials: int
    labels: tuple[LabelScores, ...]  # the most frequent one of the test set first
    answers: Answers  # the labels are places in `labels`; of several trials the counts are means

    def worst_first(self) -> list[LabelScores]:
        """Return the labels, the lowest F1 first; those with few test texts, or none, come after all others."""
        return sorted(self.labels, key=lambda label: (label.few, not label.support, label.f1, -label.support))

    def mistakes(self) -> list[Mistake]:
        """Return the most frequent confusions, at most `NAMED` of them."""
        labels, predicted, counts = self.answers
        wrong = [place for place in np.argsort(-counts, kind="stable") if labels[place] != predicted[place]]
        return [
            Mistake(self.labels[labels[place]], self.labels[predicted[place]], float(counts[place]))
            for place in wrong[:NAMED]
        ]

    def matrix(self, size: int) -> NDArray[np.float64]:
        """Return the confusion matrix (label, answer) of the `size` most frequent labels."""
        matrix = np.zeros((size, size))
        drawn = (self.answers.labels < size) & (self.answers.predicted < size)
        labels, predicted, counts = (part[drawn] for part in self.answers)
        matrix[labels, predicted] = counts
        return matrix

    def csv(self) -> bytes:
        """Return a table with a row for each label; what is not defined is empty."""
        with io.StringIO(newline="") as text:
            rows = csv.writer(text, lineterminator="\n")
            rows.writerow(("label", *LabelScores._fields[1:]))
            rows.writerows([each if each.support else each[:3] + ("",) * 3 for each in self.labels])
            return text.getvalue().encode()


def per_class(started: SweepStarted, trials: Sequence[TrialRecord]) -> PerClass | None:
    """Return the scores of each label, averaged over the trials of one configuration.

    None where no trial recorded its answers, as in journals of earlier versions, or where the labels have no names.
    """
    names = started.audit.get("labels", ())
    recorded = [Answers.of(trial.confusion) for trial in trials if trial.confusion]
    if not recorded or any(max(part.max() for part in each[:2]) >= len(names) for each in recorded):
        return None
    support = _sums(recorded[0].labels, recorded[0], len(names))
    order = np.argsort(-support, kind="stable")
    answered, *scores = np.mean([_scores(each, support) for each in recorded], axis=0)[:, order].tolist()
    labels = zip([names[place] for place in order], support[order].astype(int).tolist(), answered, *scores, strict=True)
    return PerClass(len(recorded), tuple(LabelScores(*each) for each in labels), _mean(recorded, np.argsort(order)))


def of_best(record: SweepRecord) -> PerClass | None:
    """Return the scores of each label in a sweep's best trial; None where there is none, or no answers of it."""
    return per_class(record.started, [record.best] if record.best else [])


def _scores(answers: Answers, support: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how often each label was answered, its precision, recall and F1: (4, labels)."""
    right = answers.labels == answers.predicted
    hits = _sums(answers.labels[right], Answers(*(part[right] for part in answers)), len(support))
    answered = _sums(answers.predicted, answers, len(support))
    tested = np.where(support > 0, 1.0, np.nan)
    scores = [
        hits / np.maximum(answered, 1),
        hits / np.maximum(support, 1),
        2 * hits / np.maximum(answered + support, 1),
    ]
    return np.stack([answered, *(score * tested for score in scores)])


def _sums(labels: NDArray[np.int64], answers: Answers, size: int) -> NDArray[np.float64]:
    return np.bincount(labels, answers.counts, size).astype(np.float64)


def _mean(recorded: Sequence[Answers], place: NDArray[np.int64]) -> Answers:
    """Return the mean of each cell; the label `n` becomes `place[n]`."""
    labels, predicted, counts = (np.concatenate(parts) for parts in zip(*recorded, strict=True))
    cells, inverse = np.unique(np.stack([place[labels], place[predicted]]), axis=1, return_inverse=True)
    return Answers(cells[0], cells[1], np.bincount(inverse.ravel(), counts) / len(recorded))
