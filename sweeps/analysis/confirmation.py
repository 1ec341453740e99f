"""What a confirmation showed: every configuration against the baseline, seed by seed and example by example."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sweeps.trials import predictions
from sweeps.analysis import statistics
from sweeps.journal import SweepRecord, TrialRecord
from sweeps.analysis.statistics import Interval


class Outcome(NamedTuple):
    """A configuration's test accuracies, one for each seed, and its gain over the baseline. Half widths are of 95 %."""

    origin: int  # the sweep's trial
    search: float  # val/accuracy there
    scores: tuple[float, ...]
    half: float
    pairs: int  # seeds that both it and the baseline completed
    gain: float  # nan for the baseline, and where there is no pair
    gain_half: float  # over seeds (Student's t, paired)
    examples: Interval | None  # of the gain over test examples (bootstrap, paired), None where they are not known
    curse: float  # what its lead over the baseline lost between the search's validation and here

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
    def better(self) -> bool:
        """Than the baseline, beyond what seeds and, as far as they are known, test examples explain."""
        return self.gain - self.gain_half > 0 and (self.examples is None or self.examples.low > 0)


def outcomes(record: SweepRecord) -> list[Outcome]:
    """Of each finalist, in the order of the search's validation."""
    assert record.started is not None
    baseline = _completed(record, 0)
    found = []
    for name, search in record.started.finalists.items():
        origin, trials = int(name), _completed(record, int(name))
        scores = tuple(trial.test["test/accuracy"] for trial in trials.values())
        shared = sorted(trials.keys() & baseline.keys()) if origin else []
        gains = [trials[seed].test["test/accuracy"] - baseline[seed].test["test/accuracy"] for seed in shared]
        gain = float(np.mean(gains)) if gains else math.nan
        found.append(
            Outcome(
                origin=origin,
                search=search,
                scores=scores,
                half=statistics.half_width(scores),
                pairs=len(shared),
                gain=gain,
                gain_half=statistics.half_width(gains),
                examples=_over_examples(record, [(trials[seed], baseline[seed]) for seed in shared]),
                curse=search - record.started.finalists["0"] - gain,
            )
        )
    return found


def confirmed_winner(found: Sequence[Outcome]) -> Outcome | None:
    """The configuration that deserves to be used: validation's first if it is better than the baseline, else none.

    The test set is a gate and no judge: among finalists it chooses nothing, so only validation's first can pass it.
    """
    return found[0] if not found[0].baseline and found[0].better else None


def metrics(found: Sequence[Outcome]) -> dict[str, float]:
    """Of the search's own choice, for a run: its mean test accuracy, and its gain as far as it has an interval."""
    if not found or not found[0].scores:
        return {}
    said = {"test/accuracy": found[0].mean, "confirm/gain": found[0].gain, "confirm/half_width": found[0].gain_half}
    return {name: value for name, value in said.items() if math.isfinite(value)}


def conclusions(found: Sequence[Outcome]) -> list[str]:
    """All there is to say, a sentence each."""
    said = [f"{in_words(outcome)}." for outcome in found if not outcome.baseline]
    if found[0].pairs:
        said.append(f"{curse_in_words(found[0])}.")
    winner = confirmed_winner(found)
    if found[0].baseline:
        said.append("The search's own choice was the baseline: there was no gain to confirm.")
    elif winner is not None:
        said.append(f"Confirmed: {winner.name}, the search's choice, is better than the baseline.")
    else:
        said.append("Not confirmed: the search's choice is not shown to be better than the baseline.")
    return [sentence[0].upper() + sentence[1:] for sentence in said]


def in_words(outcome: Outcome) -> str:
    """How it compares with the baseline."""
    seeds = f"{outcome.pairs} {'seed' if outcome.pairs == 1 else 'seeds'}"
    if not outcome.pairs:
        return f"{outcome.name}: nothing can be said, no seed completed both it and the baseline"
    points = f"{100 * outcome.gain:+.1f} points"
    if math.isinf(outcome.gain_half):
        return f"{outcome.name}: {points} to the baseline, but one seed cannot show a difference"
    interval = f"{abs(100 * outcome.gain):.1f} ± {100 * outcome.gain_half:.1f} points"
    if abs(outcome.gain) <= outcome.gain_half:
        return (
            f"{outcome.name}: no difference that {seeds} can show ({100 * outcome.gain:+.1f} ± "
            f"{100 * outcome.gain_half:.1f} points)"
        )
    said = f"{outcome.name}: {'better' if outcome.gain > 0 else 'worse'} than the baseline by {interval}"
    if outcome.examples is not None and not outcome.examples.excludes_zero:
        said += "; but other test examples might not show it"
    return said


def curse_in_words(outcome: Outcome) -> str:
    """The winner's curse: how much of the lead was luck."""
    search, now = 100 * (outcome.gain + outcome.curse), 100 * outcome.gain
    held = (
        "all of its lead held" if outcome.curse <= 0 else f"{100 * outcome.curse:.1f} points of its lead did not hold"
    )
    return (
        f"the winner's curse: {outcome.name} led the baseline by {search:+.1f} points on the search's validation, and "
        f"by {now:+.1f} on the test set when trained again; {held}"
    )


def _completed(record: SweepRecord, origin: int) -> dict[int, TrialRecord]:
    """Seed -> trial."""
    return {trial.seed: trial for trial in record.completed if trial.origin == origin}


def _over_examples(record: SweepRecord, pairs: Sequence[tuple[TrialRecord, TrialRecord]]) -> Interval | None:
    """Of the mean difference in correctness, an example's averaged over the seeds."""
    differences: list[NDArray[np.float64]] = []
    for trial, baseline in pairs:
        ours, theirs = _correct(record, trial), _correct(record, baseline)
        if ours is None or theirs is None:
            return None
        differences.append(ours - theirs)
    return statistics.bootstrap_mean(np.mean(differences, axis=0)) if differences else None


def _correct(record: SweepRecord, trial: TrialRecord) -> NDArray[np.float64] | None:
    found = predictions.load(record.directory, trial.trial, trial.predictions)
    return None if found is None else (found.predicted == found.labels).astype(np.float64)
