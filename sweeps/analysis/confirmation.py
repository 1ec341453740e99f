"""The outcome of a confirmation: each configuration against the baseline, seed by seed and example by example."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sweeps.analysis import statistics
from sweeps.analysis.classes import PerClass, per_class
from sweeps.analysis.statistics import Interval
from sweeps.analysis.wording import points
from sweeps.journal import SweepRecord, TrialRecord
from sweeps.trials import predictions


class Outcome(NamedTuple):
    """The test accuracies of one configuration, one for each seed, and its gain over the baseline.

    Every half width is half of a 95 % interval.
    """

    origin: int  # the sweep's trial that had the configuration
    search_accuracy: float  # its val/accuracy in the search
    scores: tuple[float, ...]
    half_width: float  # of the mean of the scores
    pairs: int  # seeds that both it and the baseline completed
    gain: float  # the mean difference; nan for the baseline, and where there is no pair
    gain_half_width: float  # over seeds (Student's t, paired)
    gain_over_examples: Interval | None  # over test examples (bootstrap, paired); None where they are not known
    lost_lead: float  # the part of its lead over the baseline on the search's validation that was not found again
    classes: PerClass | None  # the mean over its seeds, label by label; None where the answers were not recorded

    @property
    def baseline(self) -> bool:
        return self.origin == 0

    @property
    def name(self) -> str:
        return "baseline" if self.baseline else f"trial {self.origin}"

    @property
    def mean(self) -> float:
        return float(np.mean(self.scores)) if self.scores else math.nan

    @property
    def lead(self) -> float:
        """The lead over the baseline on the search's validation data."""
        return self.gain + self.lost_lead

    @property
    def beats_baseline(self) -> bool:
        """Whether seeds and, as far as they are known, test examples do not explain the gain."""
        examples = self.gain_over_examples
        return self.gain - self.gain_half_width > 0 and (examples is None or examples.low > 0)


class Choice(NamedTuple):
    """The trial whose model is registered, and the tags that say why."""

    trial: TrialRecord
    why: Mapping[str, str]


def outcomes(record: SweepRecord) -> list[Outcome]:
    """The outcome of each finalist, in the order of the search's validation."""
    finalists = record.started.finalists
    baseline = _completed(record, 0)
    return [
        _outcome(record, int(name), accuracy, baseline, lead=accuracy - finalists["0"])
        for name, accuracy in finalists.items()
    ]


def winner(outcomes: Sequence[Outcome]) -> Outcome | None:
    """The configuration to use: validation's first choice if it beats the baseline, otherwise none.

    The test set can reject validation's first choice. It never chooses among the other finalists.
    """
    first = outcomes[0]
    return first if not first.baseline and first.beats_baseline else None


def choice(record: SweepRecord) -> Choice | None:
    """The trial whose model a sweep or a confirmation recommends, or None.

    That is a sweep's best trial; of a confirmation's winner the first that completed, whose weights were kept.
    """
    if not record.started.confirms:
        return None if record.best is None else Choice(record.best, {})
    finalists = outcomes(record)
    best = winner(finalists)
    if best is None:
        return None
    trial = min((trial for trial in record.completed if trial.origin == best.origin), key=lambda t: t.trial)
    gains = {name: f"{value:.6g}" for name, value in metrics(finalists).items() if name.startswith("confirm/")}
    return Choice(trial, {"confirms": record.started.confirms, "origin": str(best.origin), **gains})


def metrics(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """The metrics of a confirmation's run: the mean test accuracy of validation's first choice, and its gain.

    A value that is not finite, such as the half width of a single pair, is left out.
    """
    if not outcomes or not outcomes[0].scores:
        return {}
    first = outcomes[0]
    values = {"test/accuracy": first.mean, "confirm/gain": first.gain, "confirm/half_width": first.gain_half_width}
    return {name: value for name, value in values.items() if math.isfinite(value)}


def conclusions(outcomes: Sequence[Outcome]) -> list[str]:
    """The result in whole sentences: each configuration against the baseline, the winner's curse, the verdict."""
    sentences = [f"{comparison(outcome)}." for outcome in outcomes if not outcome.baseline]
    if outcomes[0].pairs and outcomes[0].lead > 0:
        sentences.append(f"{winners_curse(outcomes[0])}.")
    confirmed = winner(outcomes)
    if outcomes[0].baseline:
        sentences.append("The search's own choice was the baseline: there was no gain to confirm.")
    elif confirmed is not None:
        sentences.append(f"Confirmed: {confirmed.name}, the search's choice, is better than the baseline.")
    else:
        sentences.append("Not confirmed: the search's choice is not shown to be better than the baseline.")
    return [sentence[0].upper() + sentence[1:] for sentence in sentences]


def comparison(outcome: Outcome) -> str:
    """Compare a configuration with the baseline, as one sentence without its full stop."""
    name, gain, half_width = outcome.name, points(outcome.gain), 100 * outcome.gain_half_width
    if not outcome.pairs:
        return f"{name}: nothing can be said, because no seed completed both it and the baseline"
    if math.isinf(half_width):
        return f"{name}: {gain} points compared with the baseline, but one seed cannot show a difference"
    if abs(outcome.gain) <= outcome.gain_half_width:
        return f"{name}: no difference that {outcome.pairs} seeds can show ({gain} ± {half_width:.1f} points)"
    direction = "better" if outcome.gain > 0 else "worse"
    sentence = f"{name}: {direction} than the baseline by {gain[1:]} ± {half_width:.1f} points"
    if outcome.gain_over_examples is not None and not outcome.gain_over_examples.excludes_zero:
        sentence += "; but other test examples might not show it"
    return sentence


def winners_curse(outcome: Outcome) -> str:
    """Say how much of a configuration's lead in the search was luck, as one sentence without its full stop."""
    if round(100 * outcome.lost_lead, 1) <= 0:
        lost = "no lead was lost"
    elif outcome.gain <= 0:
        lost = "all of its lead was lost"
    else:
        lost = f"{100 * outcome.lost_lead:.1f} points of its lead were lost"
    return (
        f"the winner's curse: {outcome.name} led the baseline by {points(outcome.lead)} points on the search's "
        f"validation data, and by {points(outcome.gain)} points on the test set when both were trained again; {lost}"
    )


def _outcome(
    record: SweepRecord, origin: int, accuracy: float, baseline: Mapping[int, TrialRecord], *, lead: float
) -> Outcome:
    trials = _completed(record, origin)
    scores = tuple(trial.test["test/accuracy"] for trial in trials.values())
    seeds = sorted(trials.keys() & baseline.keys()) if origin else []
    gains = [trials[seed].test["test/accuracy"] - baseline[seed].test["test/accuracy"] for seed in seeds]
    gain = float(np.mean(gains)) if gains else math.nan
    return Outcome(
        origin=origin,
        search_accuracy=accuracy,
        scores=scores,
        half_width=statistics.half_width(scores),
        pairs=len(seeds),
        gain=gain,
        gain_half_width=statistics.half_width(gains),
        gain_over_examples=_over_examples(record, [(trials[seed], baseline[seed]) for seed in seeds]),
        lost_lead=lead - gain,
        classes=per_class(record.started, list(trials.values())),
    )


def _completed(record: SweepRecord, origin: int) -> dict[int, TrialRecord]:
    """Map each seed to the completed trial that repeats trial `origin` with it."""
    return {trial.seed: trial for trial in record.completed if trial.origin == origin}


def _over_examples(record: SweepRecord, pairs: Sequence[tuple[TrialRecord, TrialRecord]]) -> Interval | None:
    """The interval of the mean difference in correctness, which is averaged over the seeds for each example."""
    differences: list[NDArray[np.float64]] = []
    for trial, baseline in pairs:
        ours, theirs = _correct(record, trial), _correct(record, baseline)
        if ours is None or theirs is None:
            return None
        differences.append(ours - theirs)
    return statistics.bootstrap_mean(np.mean(differences, axis=0)) if differences else None


def _correct(record: SweepRecord, trial: TrialRecord) -> NDArray[np.float64] | None:
    """Mark the test examples that a trial answered correctly, as ones and zeros; None without its predictions."""
    stored = predictions.load(record.directory, trial.trial, trial.predictions)
    return None if stored is None else (stored.predicted == stored.labels).astype(np.float64)
