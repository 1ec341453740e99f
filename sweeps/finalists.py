"""The trials of a confirmation: the best configurations of a sweep and its baseline, each with fresh seeds.

A confirmation is a sweep whose trials are a fixed list: the same driver, journal and engine run it. Trials go seed by
seed, every configuration with the same seeds, so that they can be compared in pairs and more seeds can be added later.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from conf import stored
from conf.schema import NETWORK, Config, Value
from sweeps import metrics
from sweeps.errors import SweepError
from sweeps.journal import SweepRecord, TrialRecord
from sweeps.plan import Confirmation, Retraining, trial_seed
from sweeps.search.ask_tell import Proposal

EACH: Literal["each"] = "each"  # the best of each of several networks
Top = int | Literal["each"]
Order = bool | Literal["each"]  # whether the worth of the words' order is measured, and of which finalists
STREAM = 0x5EED  # keeps these seeds apart from a sweep's, which are drawn from (seed, trial)


def confirmation_of(record: SweepRecord, top: Top, seeds: int, *, order: Order = False) -> Confirmation:
    """Plan the retraining of the baseline and of the `top` configurations by validation.

    With `order` the best of them, or each, is trained on shuffled words too: what it loses is what order is worth.
    Raises `SweepError` where there is nothing to compare.
    """
    name, ranking, baseline = record.started.sweep, record.ranking(), record.baseline
    if baseline is None:
        raise SweepError(f"{name}: its baseline has not completed, so there is nothing to compare with")
    if len(ranking) < 2 and not order:
        raise SweepError(f"{name}: only its baseline has completed, so there is nothing to confirm")
    best = _best_of_each(record, ranking) if top == EACH else ranking[:top]
    if best == [baseline] and not order:
        raise SweepError(f"{name}: the baseline itself is best on validation; top=2 compares the next one with it")
    finalists = best if baseline in best else [*best, baseline]
    each = [(trial, False) for trial in sorted(finalists, key=lambda trial: not trial.baseline)]  # the baseline first
    each += [(trial, True) for trial in (best if order == EACH else best[: int(order)])]
    trials = [
        Retraining(trial.trial, trial.values, seed, trial.best_epoch or trial.epochs_run, shuffled)
        for seed in itertools.islice(fresh_seeds(record), seeds)
        for trial, shuffled in each
    ]
    compared_by = metrics.tested(record.started.objective)
    scores = {str(trial.trial): _validated(trial, compared_by) for trial in finalists}
    return Confirmation(name, scores, tuple(trials), compared_by)


def _best_of_each(record: SweepRecord, ranking: Sequence[TrialRecord]) -> list[TrialRecord]:
    if len(stored.models(record.started.config)) < 2:
        raise SweepError(f"{record.started.sweep}: top={EACH}: it searched one network; the best three: top=3")
    firsts = {trial.values[NETWORK]: trial for trial in reversed(ranking)}
    return [trial for trial in ranking if trial is firsts[trial.values[NETWORK]]]


def fresh_seeds(record: SweepRecord) -> Iterator[int]:
    """Yield seeds derived from the sweep's seed, none twice and none that the sweep used."""
    used = {trial.seed for trial in record.trials.values()}
    for number in itertools.count():
        seed = trial_seed(record.started.seed, STREAM, number)
        if seed not in used:
            used.add(seed)
            yield seed


def _validated(trial: TrialRecord, metric: str) -> float:
    """Return on validation, after the best epoch, what a metric of the test measures."""
    return trial.curves[metrics.on_validation(metric)][(trial.best_epoch or 1) - 1]


def configuration(records: Sequence[SweepRecord], trials: int) -> Config:
    """Return the sweeps' own configuration for a list of `trials` that neither time nor a target cuts short."""
    config = stored.parsed(records[0].started.config)
    datasets = {record.started.dataset: config.datasets[record.started.dataset] for record in records}
    return replace(config, datasets=datasets, trials=trials, minutes=None, target=None, resume=None, dry_run=False)


def directory_name(records: Sequence[SweepRecord], confirmations: Sequence[Confirmation]) -> str:
    """Name the directory of a confirmation: the same for the same finalists, so that more seeds can be added."""
    finalists = [
        [record.started.dataset, *confirmation.finalists, *(["shuffled"] * len(_shuffled(confirmation)))]
        for record, confirmation in zip(records, confirmations, strict=True)
    ]
    digest = hashlib.sha256(json.dumps(finalists).encode()).hexdigest()[:4]
    return f"{records[0].started.sweep.partition('/')[0]}-confirm-{digest}"


def _shuffled(confirmation: Confirmation) -> set[int]:
    """Return the sweep's trials that are trained on shuffled words too."""
    return {trial.origin for trial in confirmation.trials if trial.shuffled}


class FixedList:
    """An oracle that proposes the trials of a confirmation, whatever their outcome."""

    def __init__(self, confirmation: Confirmation) -> None:
        self._trials = confirmation.trials
        self._asked = 0
        self._failed: set[int] = set()
        seeds = len({retraining.seed for retraining in self._trials})
        also = ["", ", and the first on shuffled words", ", and on shuffled words"][
            min(2, len(_shuffled(confirmation)))
        ]
        self.description = f"{len(confirmation.finalists)} configurations with {seeds} fresh seeds each{also}"

    def ask(self) -> Proposal | None:
        if self._asked == len(self._trials):
            return None
        number, retraining = self._asked, self._trials[self._asked]
        self._asked += 1
        return Proposal(number, dict(retraining.values), 0, retraining.epochs)

    def tell(self, trial: int, objective: float | None, curve: Sequence[float] = ()) -> None:
        """Remember a failed trial, whose model cannot be used; the list is fixed."""
        if objective is None:
            self._failed.add(trial)

    def replay(self, trial: int, values: Mapping[str, Value]) -> None:
        proposal = self.ask()
        if proposal is None or proposal.trial != trial or proposal.values != dict(values):
            raise SweepError(
                f"the journal's trial {trial} is not in the list: the confirmation had other finalists or more seeds"
            )

    def extend(self, trials: int) -> None:
        """Take no notice: the list is fixed."""

    def candidates(self) -> set[int]:
        """The first trial of each configuration that did not fail: one of them may become the registered model."""
        numbers = [n for n in range(self._asked) if n not in self._failed and not self._trials[n].shuffled]
        return {number for number in numbers if not self._repeats(number, numbers)}

    def _repeats(self, number: int, numbers: Sequence[int]) -> bool:
        return any(
            self._trials[earlier].origin == self._trials[number].origin for earlier in numbers if earlier < number
        )
