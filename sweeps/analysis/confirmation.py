"""The outcome of a confirmation: each configuration against the baseline, seed by seed and example by example."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from conf import stored
from conf.schema import NETWORK
from sweeps.analysis import paired, statistics
from sweeps.analysis.classes import PerClass, per_class
from sweeps.analysis.paired import ACCURACY, NO_DIFFERENCE, Difference
from sweeps.analysis.statistics import LEVEL
from sweeps.analysis.wording import points
from sweeps.journal import SweepRecord, TrialRecord

SHUFFLED = ", words shuffled"


class Outcome(NamedTuple):
    """The scores of one configuration on the test, one for each seed, and its gain over the baseline.

    The half width is half of a 95 % interval. The gain of the search's first choice is the one that was to be
    confirmed; the intervals of the other finalists' gains are so wide that all of them hold together in 95 %.
    """

    origin: int  # the sweep's trial that had the configuration
    search_score: float  # the same of its validation in the search; nan where the words are shuffled
    scores: tuple[float, ...]
    half_width: float  # of the mean of the scores
    gain: Difference  # over the baseline; without a pair for the baseline itself
    lost_lead: float  # the part of its lead over the baseline on the search's validation that was not found again
    classes: PerClass | None = None  # the mean over its seeds, label by label; None where the answers were not recorded
    order: Difference | None = None  # the worth of the words' order; None unless they are shuffled here
    network: str = ""  # of several
    metric: str = ACCURACY  # that the scores are of

    @property
    def baseline(self) -> bool:
        return self.origin == 0 and self.order is None

    @property
    def name(self) -> str:
        name = "baseline" if self.origin == 0 else f"trial {self.origin}"
        name += f" ({self.network})" if self.network else ""
        return name if self.order is None else name + SHUFFLED

    @property
    def mean(self) -> float:
        return float(np.mean(self.scores)) if self.scores else math.nan

    @property
    def lead(self) -> float:
        """The lead over the baseline on the search's validation data."""
        return self.gain.mean + self.lost_lead

    @property
    def beats_baseline(self) -> bool:
        """Whether seeds and, as far as they are known, test examples do not explain the gain."""
        return self.gain.mean > 0 and self.gain.is_shown


class Choice(NamedTuple):
    """The trial whose model is registered, and the tags that say why."""

    trial: TrialRecord
    why: Mapping[str, str]


def outcomes(record: SweepRecord) -> list[Outcome]:
    """The outcome of each finalist, in the order of the search's validation; then of those whose words are shuffled."""
    finalists = record.started.finalists
    baseline = paired.completed(record, 0)
    others = statistics.level_of_each(sum(name != "0" for name in [*finalists][1:]))
    results = [
        _outcome(record, int(name), score, baseline, lead=score - finalists["0"], level=others if place else LEVEL)
        for place, (name, score) in enumerate(finalists.items())
    ]
    mixed = [ordered for ordered in results if paired.completed(record, ordered.origin, shuffled=True)]
    others = statistics.level_of_each(len(mixed) - 1)
    return results + [_shuffled(record, each, LEVEL if each is results[0] else others) for each in mixed]


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
    trial = min(paired.completed(record, best.origin).values(), key=lambda trial: trial.trial)
    values = metrics(finalists)
    gains = {name: f"{value:.6g}" for name, value in values.items() if name.startswith("confirm/")}
    return Choice(trial, {"confirms": record.started.confirms, "origin": str(best.origin), **gains})


def metrics(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """The metrics of a confirmation's run: the mean score of validation's first choice, and its gain.

    A value that is not finite, such as the half width of a single pair, is left out.
    """
    if not outcomes or not outcomes[0].scores:
        return {}
    first = outcomes[0]
    gain = {"confirm/gain": first.gain.mean, "confirm/half_width": first.gain.half_width}
    values = {first.metric: first.mean, **gain}
    if (order := next((each.order for each in _mixed(outcomes) if each.origin == first.origin), None)) is not None:
        values |= {"confirm/word_order": order.mean, "confirm/word_order_half_width": order.half_width}
    return {name: value for name, value in values.items() if math.isfinite(value)}


def conclusions(outcomes: Sequence[Outcome]) -> list[str]:
    """The result in whole sentences: each configuration against the baseline, the winner's curse, the verdict."""
    metric = outcomes[0].metric
    sentences = [] if metric == ACCURACY else [f"all points are hundredths of {metric}, as the search chose by it."]
    sentences += [f"{comparison(each)}." for each in outcomes if not each.baseline and each.order is None]
    if outcomes[0].gain.pairs and outcomes[0].lead > 0 and (outcomes[0].beats_baseline or _lost_some(outcomes[0])):
        sentences.append(f"{winners_curse(outcomes[0])}.")
    if not outcomes[0].baseline and outcomes[0].gain.pairs > 1 and outcomes[0].gain.half_width > 0:
        sentences.append(f"{what_seeds_can_show(outcomes[0])}.")
    sentences.append(verdict(outcomes))
    for mixed in _mixed(outcomes):
        name = mixed.name.removesuffix(SHUFFLED)
        other = name if mixed.origin else f"the {name}"
        whom = "the search's choice" if mixed.origin == outcomes[0].origin else other
        sentences.append(f"{worth_of_order(mixed, whom)}.")
    return [sentence[0].upper() + sentence[1:] for sentence in sentences]


def verdict(outcomes: Sequence[Outcome]) -> str:
    """Say in a sentence whether the search's choice is better than the baseline."""
    if outcomes[0].baseline:
        return "The search's own choice was the baseline: there was no gain to confirm."
    confirmed = winner(outcomes)
    if confirmed is not None:
        return f"Confirmed: {confirmed.name}, the search's choice, is better than the baseline."
    return "Not confirmed: the search's choice is not shown to be better than the baseline."


def of_choice(record: SweepRecord) -> str:
    """Say in a few sentences what a confirmation found of the search's choice; empty before it has a score of it."""
    compared = outcomes(record) if record.started.finalists else []
    if not compared or not compared[0].scores:
        return ""
    first, seeds = compared[0], len(compared[0].scores)
    name = f"the {first.name}" if first.baseline else first.name
    trained = f"Trained again with {seeds} fresh {'seed' if seeds == 1 else 'seeds'}"
    gain = f", {points(first.gain.mean)} ± {100 * first.gain.half_width:.1f} points over the baseline"
    gain = gain if math.isfinite(first.gain.half_width) else ""
    return f"{trained}, {name} has a {first.metric} of {_score(first)}{gain}. {verdict(compared)}"


def _score(outcome: Outcome) -> str:
    """Write the mean score of a configuration, and half of its 95 % interval if there is one."""
    return f"{outcome.mean:.4f}" + (f" ± {outcome.half_width:.4f}" if math.isfinite(outcome.half_width) else "")


def _lost_some(outcome: Outcome) -> bool:
    return round(100 * outcome.lost_lead, 1) > 0


def _mixed(outcomes: Sequence[Outcome]) -> list[Outcome]:
    return [each for each in outcomes if each.order is not None]


def comparison(outcome: Outcome) -> str:
    """Compare a configuration with the baseline, as one sentence without its full stop."""
    name, gain, half_width = outcome.name, points(outcome.gain.mean), 100 * outcome.gain.half_width
    if not outcome.gain.pairs:
        return f"{name}: nothing can be said, because no seed completed both it and the baseline"
    if math.isinf(half_width):
        return f"{name}: {gain} points compared with the baseline, but one seed cannot show a difference"
    if abs(outcome.gain.mean) <= outcome.gain.half_width:
        return f"{name}: no difference that {outcome.gain.pairs} seeds can show ({gain} ± {half_width:.1f} points)"
    direction = "better" if outcome.gain.mean > 0 else "worse"
    sentence = f"{name}: {direction} than the baseline by {gain[1:]} ± {half_width:.1f} points"
    if not outcome.gain.is_shown:
        sentence += "; but other test examples might not show it"
    return sentence


def what_seeds_can_show(outcome: Outcome) -> str:
    """Say which gain so many seeds can show, and how many show it better, as one sentence without its full stop."""
    n, _, half_width, examples = outcome.gain
    least = f"{100 * statistics.detectable(half_width, n):.1f} points"
    sentence = f"{n} seeds show a gain of {least} in four of five confirmations"
    if examples is not None and examples.high - examples.low > 2 * half_width:
        spread = 100 * (examples.high - examples.low) / 2
        return (
            f"{sentence}; more seeds would not help, as the choice of test examples alone leaves ± {spread:.1f} points"
        )
    needed = statistics.pairs_for(half_width / 2, half_width, n)
    return f"{sentence}; an interval half as wide, ± {100 * half_width / 2:.1f} points, takes about seeds={needed}"


def worth_of_order(outcome: Outcome, whom: str) -> str:
    """Say what the order of the words is worth, as one sentence without its full stop."""
    order = outcome.order
    assert order is not None
    where = f"trained and tested with the words of each document shuffled, it reaches {outcome.mean:.4f}"
    measured = f"{points(order.mean)} ± {100 * order.half_width:.1f} points"
    if not order.pairs or math.isinf(order.half_width):
        return f"word order: too few seeds to say what it is worth; {where}"
    if not order.is_shown:
        return f"word order: no worth that {order.pairs} seeds can show ({measured}) to {whom}; {where}"
    if order.mean < 0:
        return f"word order costs {whom} {measured[1:]}; {where}"
    return f"word order is worth {measured[1:]} to {whom}; {where}"


def winners_curse(outcome: Outcome) -> str:
    """Say how much of a configuration's lead in the search was luck, as one sentence without its full stop."""
    if not _lost_some(outcome):
        lost = "no lead was lost"
    elif outcome.gain.mean <= 0:
        lost = "all of its lead was lost"
    else:
        lost = f"{100 * outcome.lost_lead:.1f} points of its lead were lost"
    return (
        f"the winner's curse: {outcome.name} led the baseline by {points(outcome.lead)} points on the search's "
        f"validation data, and by {points(outcome.gain.mean)} points on the test set when both were trained again; "
        f"{lost}"
    )


def _outcome(
    record: SweepRecord,
    origin: int,
    search_score: float,
    baseline: Mapping[int, TrialRecord],
    *,
    lead: float,
    level: float,
) -> Outcome:
    trials = paired.completed(record, origin)
    scores = paired.scores(record, trials)
    gain = paired.difference(record, trials, baseline if origin else {}, level)
    return Outcome(
        origin=origin,
        search_score=search_score,
        scores=scores,
        half_width=statistics.half_width(scores),
        gain=gain,
        lost_lead=lead - gain.mean,
        classes=per_class(record.started, list(trials.values())),
        network=_network(record, trials.values()),
        metric=record.started.compared_by,
    )


def _network(record: SweepRecord, trials: Iterable[TrialRecord]) -> str:
    """Return which of several networks the trials have; empty for one."""
    several = len(stored.models(record.started.config)) > 1
    return str(next((trial.values[NETWORK] for trial in trials), "")) if several else ""


def _shuffled(record: SweepRecord, ordered: Outcome, level: float) -> Outcome:
    """The outcome on shuffled words, which is compared with the same configuration on words in their order."""
    trials = paired.completed(record, ordered.origin, shuffled=True)
    scores = paired.scores(record, trials)
    return Outcome(
        origin=ordered.origin,
        search_score=math.nan,  # the search saw no shuffled words
        scores=scores,
        half_width=statistics.half_width(scores),
        gain=NO_DIFFERENCE,
        lost_lead=math.nan,
        classes=per_class(record.started, list(trials.values())),
        order=paired.difference(record, paired.completed(record, ordered.origin), trials, level),
        network=ordered.network,
        metric=ordered.metric,
    )
