"""What a confirmation trains: the best configurations of a sweep and its baseline, each with fresh seeds.

It is a sweep whose trials are a fixed list: the same driver, journal and engine run it. Trials go seed by seed, every
configuration with the same seeds, so that they can be compared in pairs and more seeds can be added later.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

import numpy as np

from sweeps.journal import SweepRecord, TrialRecord
from sweeps.plan import Confirmed, Retraining
from sweeps.search.ask_tell import Proposal
from sweeps.errors import SweepError
from conf.schema import Value

STREAM = 0x5EED  # tells these seeds from a sweep's, which are drawn from (seed, trial)


def confirmed(record: SweepRecord, top: int, seeds: int) -> Confirmed:
    """The baseline and the `top` configurations by validation.

    Raises `SweepError` where there is nothing to compare.
    """
    assert record.started is not None
    name, ranking = record.started.sweep, record.ranking()
    baseline = next((trial for trial in ranking if trial.baseline), None)
    if baseline is None:
        raise SweepError(f"{name}: its baseline has not completed, so there is nothing to compare with")
    if len(ranking) < 2:
        raise SweepError(f"{name}: only its baseline has completed, so there is nothing to confirm")
    best = ranking[:top]
    if best == [baseline]:
        raise SweepError(f"{name}: validation's best is the baseline itself; with top=2 the next is compared with it")
    finalists = best if baseline in best else [*best, baseline]
    trials = [
        Retraining(trial.trial, trial.values, seed, trial.best_epoch or trial.epochs_run)
        for seed in itertools.islice(fresh_seeds(record), seeds)
        for trial in sorted(finalists, key=lambda trial: not trial.baseline)
    ]
    return Confirmed(name, {str(trial.trial): _validation(trial) for trial in finalists}, tuple(trials))


def fresh_seeds(record: SweepRecord) -> Iterator[int]:
    """Derived from the sweep's seed, none twice, and none that it used."""
    assert record.started is not None
    used = {trial.seed for trial in record.trials.values()}
    for number in itertools.count():
        drawn = np.random.SeedSequence([record.started.seed, STREAM, number]).generate_state(1)[0]
        seed = int(drawn) % 2**31
        if seed not in used:
            used.add(seed)
            yield seed


def _validation(trial: TrialRecord) -> float:
    return trial.curves["val/accuracy"][(trial.best_epoch or 1) - 1]


class FixedList:
    """An oracle that proposes what it was given, whatever comes of it."""

    def __init__(self, confirmed: Confirmed) -> None:
        self._trials = confirmed.trials
        self._asked = 0

    def ask(self) -> Proposal | None:
        if self._asked == len(self._trials):
            return None
        number, again = self._asked, self._trials[self._asked]
        self._asked += 1
        return Proposal(number, dict(again.values), 0, again.epochs)

    def tell(self, trial: int, objective: float | None) -> None:
        """Nothing depends on it."""

    def replay(self, trial: int, values: Mapping[str, Value]) -> None:
        proposal = self.ask()
        if proposal is None or proposal.trial != trial or proposal.values != dict(values):
            raise SweepError(
                f"the journal's trial {trial} is none of those asked for: it had other finalists, or more seeds"
            )

    def extend(self, trials: int) -> None:
        """The list is as long as it is."""

    def candidates(self) -> set[int]:
        """The first seed's trials: one of them may become the model that is used."""
        asked = self._trials[: self._asked]
        return {number for number, again in enumerate(asked) if again.seed == self._trials[0].seed}
