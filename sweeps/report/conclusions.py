"""The conclusions of a sweep in whole sentences, each with its uncertainty."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from sweeps.analysis import epochs, networks, references, statistics
from sweeps.analysis.confirmation import of_choice
from sweeps.analysis.summary import SweepSummary
from sweeps.analysis.wording import duration, points
from sweeps.journal import SweepRecord, TrialRecord
from sweeps.journal.endings import IN_WORDS

ENDINGS = {"trials": "all trials", **IN_WORDS}  # of a sweep
STATES = {"completed": "completed", "failed": "failed", "running": "not ended"}


def state(record: SweepRecord) -> str:
    """Say whether the sweep has ended, and why."""
    ended = record.ended
    if ended is None:
        return "not ended: interrupted, or still running"
    return f"{ended.status} ({ENDINGS.get(ended.reason, ended.reason)})"


def counts(sweep: SweepSummary) -> str:
    """Count the trials that were started, by their state."""
    record = sweep.record
    by_status = Counter(trial.status for trial in record.trials.values())
    states = ", ".join(f"{by_status[status]} {words}" for status, words in STATES.items() if by_status[status])
    started = len(record.trials)
    of_budget = f" of {record.budget}" if started <= record.budget else ""  # a resumed sweep may have fewer
    return f"{started}{of_budget} trials were started: {states or 'none'}"


def effort(sweep: SweepSummary) -> str:
    """Say how long trials trained, and how long the sweep ran."""
    hidden = ", without that of failed trials" if sweep.record.failed else ""
    return f"{duration(sweep.training_seconds)} of training in {duration(sweep.running_seconds())}{hidden}"


def confirmed(confirmations: Sequence[SweepRecord]) -> list[str]:
    """Say what each confirmation found that has a score of the search's choice."""
    return [f"{found} This is {record.started.sweep}." for record in confirmations if (found := of_choice(record))]


def sentences(sweep: SweepSummary, confirmed: Sequence[str] = ()) -> Iterator[str]:
    """State the result in plain words, what confirmations made of it, and how far it can be trusted."""
    best, completed = sweep.best, len(sweep.ranking)
    if best is None or best.objective is None:
        yield "No trial completed, so nothing can be said about any configuration."
        yield from references.sentences(sweep.record)
        return
    name = "The baseline" if best.baseline else f"Trial {best.trial}"
    trials = "trial" if completed == 1 else "trials"
    ties = sum(trial.objective == best.objective for trial in sweep.ranking) - 1
    tied = f"; {ties} other{'s' if ties > 1 else ''} reached the same" if ties else ""
    yield f"{name} has the best {sweep.objective}, {best.objective:.4f}, of {completed} completed {trials}{tied}."
    yield from confirmed
    yield from epochs.sentences(sweep.record)
    yield from _gain(sweep)
    yield from networks.sentences(sweep.record)
    yield from references.sentences(sweep.record)
    yield from _luck(sweep)
    yield from _calibration(best)
    if sweep.started.held_out == "test":
        yield "The val/ metrics are the test set's: no trial was chosen or stopped by them."
    elif can_be_confirmed(sweep) and not confirmed:
        yield "To see whether this holds, train the best configurations again with fresh seeds:"


def can_be_confirmed(sweep: SweepSummary) -> bool:
    return len(sweep.ranking) > 1 and sweep.baseline is not None and sweep.started.held_out != "test"


def _gain(sweep: SweepSummary) -> Iterator[str]:
    """Compare the accuracy of the best trial with the baseline's, on validation and on the test set."""
    if sweep.best is None or sweep.baseline is None or sweep.best.baseline:
        return
    for place, metric in (("On validation", "val/accuracy"), ("On the test set", "test/accuracy")):
        best, baseline = sweep.score(sweep.best, metric), sweep.score(sweep.baseline, metric)
        if best is None or baseline is None:
            continue
        difference = best.value - baseline.value
        accuracies = f"its accuracy is {best.value:.4f} and the baseline's is {baseline.value:.4f}"
        yield f"{place} {accuracies}: {points(difference)}{_uncertainty(difference, best.error, baseline.error)}."


def _uncertainty(difference: float, error: float | None, other: float | None) -> str:
    """Continue a difference of two accuracies with the 95 % interval that the choice of the texts leaves of it.

    The two are taken for independent, as a search does not keep its trials' answers; as both answer the same texts, the
    true interval is narrower.
    """
    if not (error and other):
        return " points"
    half_width = statistics.half_width_of_difference(error, other)
    chance = ", which the choice of the texts can explain" if abs(difference) <= half_width else ""
    return f" ± {100 * half_width:.1f} points{chance}"


def _calibration(best: TrialRecord) -> Iterator[str]:
    """Say how far the probabilities of the best trial can be believed."""
    plain, scaled = best.test.get("test/calibration_error"), best.test.get("calibrated/calibration_error")
    if plain is None:  # in older journals
        return
    sentence = f"On the test set its confidence differs from its accuracy by {100 * plain:.1f} points on average"
    if scaled is not None:
        temperature = best.test["calibrated/temperature"]
        sentence += f", by {100 * scaled:.1f} when its logits are divided by {temperature:.2f}, as validation suggests"
    yield f"{sentence} (expected calibration error)."


def _luck(sweep: SweepSummary) -> Iterator[str]:
    """Explain the winner's curse."""
    n = len(sweep.ranking)
    if n < 2 or sweep.best is None or (score := sweep.score(sweep.best, "val/accuracy")) is None:
        return
    luck = statistics.luck_of_the_best(n)
    chosen_by_it = sweep.objective == "val/accuracy"
    in_points = f" ({100 * luck * score.error:.1f} points)" if score.error and chosen_by_it else ""
    yield (
        f"The best of {n} is also the luckiest of {n} (the winner's curse): if all were equally good, the best would "
        f"still be expected to lie up to {luck:.1f} standard errors{in_points} above their mean on validation. So its "
        "validation score is too good an estimate; its test score is not, because the test set chose nothing."
    )
