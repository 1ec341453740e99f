"""The linear references of a sweep, and its best trial beside them: was the network worth its time?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from sweeps import audit
from sweeps.analysis import networks, paired, reading, statistics
from sweeps.analysis.wording import duration, percentage
from sweeps.journal import ReferenceEnded, SweepRecord, TrialRecord

TITLES = {
    "svm": "TF-IDF with a linear SVM",
    "logistic": "TF-IDF with logistic regression",
    "nbsvm": "NB-SVM",
    "svm_whole": "TF-IDF with a linear SVM on the whole texts",
}
SAME_MODEL = {"svm_whole": "svm"}  # what it is on the texts as trials get them
TESTED = paired.ACCURACY
FEW_CUT = 0.01  # of the texts: where fewer are cut, a shorter maxlen may be suggested


class Level(NamedTuple):
    """A test accuracy that a trial's can be compared with."""

    name: str
    kind: str  # floor | reference | whole | baseline | best | ceiling
    accuracy: float
    error: float | None  # one standard error


class Lead(NamedTuple):
    """A difference of two test accuracies, and half of its 95 % interval; None where the errors are not known."""

    value: float
    half_width: float | None

    @property
    def is_clear(self) -> bool:
        return self.half_width is not None and abs(self.value) > self.half_width


def title(reference: ReferenceEnded) -> str:
    """Name a reference and its settings."""
    settings = ", ".join(f"{name}={value:g}" for name, value in reference.settings.items())
    return f"{TITLES.get(reference.name, reference.name)}{f', {settings}' if settings else ''}"


def time_of(reference: ReferenceEnded) -> str:
    """Write how long a reference took, from counting words to the test."""
    seconds = reference.cost["seconds"]
    return duration(seconds) if seconds >= 1 else "less than 1 s"


def completed(record: SweepRecord) -> list[ReferenceEnded]:
    """Return those that compare with trials, as they learned from the same input."""
    return [reference for reference in record.references.values() if reference.completed and not reference.whole]


def on_whole_texts(record: SweepRecord) -> list[ReferenceEnded]:
    return [reference for reference in record.references.values() if reference.completed and reference.whole]


def shown(record: SweepRecord) -> list[ReferenceEnded]:
    """Return all that were trained, last the one on whole texts."""
    return [*completed(record), *on_whole_texts(record)]


def best(record: SweepRecord) -> ReferenceEnded | None:
    """Return the best reference on validation, which is the first where validation must not choose."""
    return max(completed(record), key=lambda reference: reference.scores.get("val/accuracy", 0.0), default=None)


def rival(record: SweepRecord, trial: TrialRecord) -> ReferenceEnded | None:
    """Return the reference that a trial compares with: the best one, or that on whole texts if the trial reads more."""
    theirs, ours = reading.of_references(record), reading.of_trial(record, trial)
    if theirs and ours and ours.exceeds(theirs):
        return next(iter(on_whole_texts(record)), best(record))
    return best(record)


def lead(record: SweepRecord) -> Lead | None:
    """Return by how much its reference exceeds the best trial on the test set; None where one is missing.

    The interval takes the two errors for independent, as the answers of a search's trials are not kept. Both answer
    the same texts, so the true one is narrower.
    """
    trial = record.best
    if trial is None or TESTED not in trial.test or (reference := rival(record, trial)) is None:
        return None
    return _lead(record, reference.scores[TESTED], trial.test[TESTED])


def _lead(record: SweepRecord, value: float, other: float) -> Lead:
    errors = [_error(record, each) for each in (value, other)]
    known = [error for error in errors if error is not None]
    return Lead(value - other, statistics.half_width_of_difference(*known) if len(known) == len(errors) else None)


def levels(record: SweepRecord) -> Iterator[Level]:
    """Yield the floor, the references, the baseline, the best trial and the ceiling, as far as they are known."""
    facts = audit.of(record.started.audit) if record.started.audit else None
    if facts:
        yield Level(f"always {facts.largest}", "floor", facts.floor, None)
    for reference in shown(record):
        value, kind = reference.scores[TESTED], "whole" if reference.whole else "reference"
        yield Level(TITLES.get(reference.name, reference.name), kind, value, _error(record, value))
    if record.baseline is not None and record.baseline is not record.best:
        yield from _level(record, record.baseline, "baseline", "baseline")
    if record.best is not None:
        yield from _level(record, record.best, name_of(record.best), "best")
    if facts:
        yield Level("ceiling", "ceiling", facts.ceiling, None)


def sentences(record: SweepRecord) -> Iterator[str]:
    """Compare the best trial with floor and references, tell whether whole texts hold more, and name what failed."""
    yield from _at_the_floor(record)
    reference, compared = best(record), rival(record, record.best) if record.best else None
    if reference is not None:
        yield f"{_introduced(record, reference)}{_compared(record) if compared is reference else ''}."
    for whole in on_whole_texts(record):
        start = _introduced(record, whole)
        if compared is whole:
            yield f"{start}{_compared(record)}."
            start = f"On the whole texts it reaches {percentage(whole.scores[TESTED])}"
        yield f"{start}{_more_text(record, whole)}."
    for failed in record.references.values():
        if not failed.completed:
            yield f"{TITLES.get(failed.name, failed.name)} could not be trained as a reference: {failed.reason}."


def _at_the_floor(record: SweepRecord) -> Iterator[str]:
    """Name the network, or each of several, whose best trial has no better test accuracy than one constant answer."""
    if not record.started.audit:  # as in older journals
        return
    facts = audit.of(record.started.audit)
    of_each = [(f"{each.name}'s best, {name_of(each.trials[0])},", each.trials[0]) for each in _networks(record)]
    for name, trial in of_each or [(name_of(each), each) for each in (record.best,) if each]:
        value = trial.test.get(TESTED)
        if value is None or value - facts.floor > statistics.Z * (_error(record, value) or 0.0):
            continue
        same = "is not better than" if value <= facts.floor else "exceeds by no more than chance can explain"
        yield (
            f"{name[0].upper()}{name[1:]} has learned nothing that the test set shows: its test accuracy of "
            f"{percentage(value)} {same} that of always answering {facts.largest} ({percentage(facts.floor)})."
        )


def _networks(record: SweepRecord) -> list[networks.Outcome]:
    return [each for each in networks.outcomes(record) if each.trials]


def name_of(trial: TrialRecord) -> str:
    return "the baseline" if trial.baseline else f"trial {trial.trial}"


def _introduced(record: SweepRecord, reference: ReferenceEnded) -> str:
    documents, of = int(reference.cost["documents"]), record.started.sizes.get("train", 0)
    part = f" on {documents:,} of {of:,} texts" if documents < of else ""
    accuracy, read = percentage(reference.scores[TESTED]), reading.of_references(record)
    much = f"; it reads at most {read.beside(read)}" if read and not reference.whole else ""
    return (
        f"A linear model on counts of words ({title(reference)}{much}), trained{part} in {time_of(reference)}, "
        f"has a test accuracy of {accuracy}"
    )


def _compared(record: SweepRecord) -> str:
    trial, difference = record.best, lead(record)
    if trial is None or difference is None:
        return ""
    n = len(record.completed)
    seconds = sum(each.cost.get("seconds", 0.0) for each in record.trials.values())
    among = f", the best of {n} by {record.started.objective}" if n > 1 else ""
    took = f"trained for {duration(trial.cost.get('seconds', 0.0))}"
    together = f", and all together {duration(seconds)}" if n > 1 else ""
    theirs, ours = reading.of_references(record), reading.of_trial(record, trial)
    much = f"reads at most {ours.beside(theirs)} and " if theirs and ours and ours != theirs else ""
    whose = f"{name_of(trial)} ({percentage(trial.test[TESTED])}{among}; it {much}{took}{together})"
    points = _points(difference)
    if not difference.is_clear:
        return f"; that of {whose} differs by {points}, which chance can explain"
    return f", {points} {'above' if difference.value > 0 else 'below'} that of {whose}"


def _more_text(record: SweepRecord, whole: ReferenceEnded) -> str:
    """Compare a reference on whole texts with the same model on the texts as trials get them."""
    cut = next((each for each in completed(record) if each.name == SAME_MODEL.get(whole.name)), None)
    if cut is None:
        return ""
    difference = _difference(record, whole, cut)
    points = _points(difference)
    networks = "the baseline gets" if _searched(record) else "the networks get"
    same = f"that of the same model on what {networks} of them ({percentage(cut.scores[TESTED])})"
    if not difference.is_clear:
        return f"; {same} differs by {points}, which chance can explain"
    if difference.value < 0:
        return f", {points} below {same}"
    return f", {points} above {same}{_remedies(record)}"


def _difference(record: SweepRecord, one: ReferenceEnded, other: ReferenceEnded) -> Lead:
    """Return the difference of two references' accuracies: in pairs of test texts if their answers are there."""
    values = one.scores[TESTED], other.scores[TESTED]
    half_width = paired.half_width(record, one, other)
    return _lead(record, *values) if half_width is None else Lead(values[0] - values[1], half_width)


def _remedies(record: SweepRecord) -> str:
    """Name the settings with which a network would get more of the texts, and what they keep from it.

    Of a setting that is searched, the trials say more.
    """
    if not record.started.audit:  # as in older journals
        return ""
    facts, key, searched = audit.of(record.started.audit), f"datasets.{record.started.dataset}", _searched(record)
    remedies = []
    if facts.unread and facts.cut > FEW_CUT and "maxlen" not in searched:
        remedies.append(f"{key}.maxlen={facts.maxlen} (it cuts off {percentage(facts.unread)} of all tokens)")
    if facts.unknown and "num_words" not in searched:
        share = percentage(facts.unknown)
        remedies.append(f"{key}.num_words={facts.num_words} ({share} of the tokens are outside the vocabulary)")
    return f": try more than {' and than '.join(remedies)}" if remedies else ""


def _searched(record: SweepRecord) -> set[str]:
    """Return the settings of reading that trials have values of their own for."""
    return {name for name in reading.Reading._fields for trial in record.trials.values() if name in trial.values}


def _points(difference: Lead) -> str:
    half = difference.half_width
    return f"{100 * abs(difference.value):.1f}" + (f" ± {100 * half:.1f}" if half is not None else "") + " points"


def _level(record: SweepRecord, trial: TrialRecord, name: str, kind: str) -> Iterator[Level]:
    if (value := trial.test.get(TESTED)) is not None:
        yield Level(name, kind, value, _error(record, value))


def _error(record: SweepRecord, accuracy: float) -> float | None:
    """Return the standard error of a test accuracy; None where the formula gives none, or the examples are unknown."""
    examples = record.started.sizes.get("test")
    return statistics.standard_error(accuracy, examples) or None if examples else None
