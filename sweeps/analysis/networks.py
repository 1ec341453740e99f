"""The networks of a sweep that searched several, side by side."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from conf import stored
from conf.schema import NETWORK
from sweeps.analysis.importance import FEWEST
from sweeps.analysis.wording import duration
from sweeps.journal import SweepRecord, TrialRecord

FEW = ". These are too few trials to say which network is the better one"


class Outcome(NamedTuple):
    """The completed trials of one network, best objective first."""

    name: str
    trials: list[TrialRecord]

    @property
    def seconds(self) -> float:
        """The seconds that the median trial trained."""
        return statistics.median(trial.cost.get("seconds", 0.0) for trial in self.trials)


def outcomes(record: SweepRecord) -> list[Outcome]:
    """Return the outcomes of several networks, in the order of the configuration; empty for one."""
    names = [network.name for network in stored.models(record.started.config)]
    ranking = record.ranking()
    if len(names) < 2:
        return []
    return [Outcome(name, [trial for trial in ranking if trial.values.get(NETWORK) == name]) for name in names]


def searched(record: SweepRecord) -> set[str]:
    """Return the names of the hyperparameters that any of several networks searches; empty for one."""
    parts = stored.parts(record.started.config, record.started.dataset).values()
    names = {name for part in parts for name, entry in part.space.items() if isinstance(entry, Mapping)}
    return {NETWORK, *names} if len(stored.models(record.started.config)) > 1 else set()


def sentences(record: SweepRecord) -> Iterator[str]:
    """Compare the networks by their best objective and by their time; none where the model is one."""
    compared = outcomes(record)
    if compared and record.completed:
        objective = record.started.objective
        few = "" if all(len(each.trials) >= FEWEST for each in compared) else FEW
        parts = map(_in_words, compared)
        yield f"The best {objective} of each network, and the time of its median trial: {'; '.join(parts)}{few}."


def _in_words(outcome: Outcome) -> str:
    if not outcome.trials:
        return f"{outcome.name} completed no trial"
    trials = f"{len(outcome.trials)} trial{'s' if len(outcome.trials) > 1 else ''}"
    return f"{outcome.name} {outcome.trials[0].objective:.4f}, {duration(outcome.seconds)} ({trials})"
