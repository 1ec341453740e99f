"""Hyperband: many configurations for a few epochs, the best of them for longer, from where they stopped."""

from __future__ import annotations

import itertools
import math
from typing import Any

from keras_tuner.oracles import HyperbandOracle as KerasTunerHyperband

from models.hyperparameters import AtLeastTwo
from sweeps.search.keras_tuner_base import BaseOracle, Settings


class HyperbandOracle(BaseOracle, KerasTunerHyperband):
    """Hyperband of exactly `settings.trials` configurations.

    Keras Tuner's brackets have fixed sizes. Here they follow each other, most aggressive first and again from the
    start, until the configurations are used up; the last one is as large as what is left, and halves as the others do.
    The baseline, the defaults of each other network and what the user wants tried first stand outside of the brackets
    and train for all epochs: in a bracket most comparisons with the baseline would be with two epochs of it.
    """

    def __init__(self, settings: Settings, *, factor: int) -> None:
        self._budget = settings.trials
        self._left = settings.trials - max(1, len(settings.networks)) - len(settings.first)  # for the brackets
        self._sizes: list[int] = []  # of the first rounds; a bracket's number is its place in this list
        super().__init__(settings, hyperband_iterations=None, max_epochs=settings.epochs, factor=factor)

    @property
    def description(self) -> str:
        first = "the networks' defaults" if self.networks else "the baseline"
        return f"{self._budget} configurations; {first} and the last survivors train for {self.max_epochs} epochs"

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        first = self.next_first_values()
        if first is not None:
            values = {**first, "tuner/epochs": self.max_epochs, "tuner/initial_epoch": 0}
            return {"status": "RUNNING", "values": values}
        response: dict[str, Any] = super().populate_space(trial_id)
        return response

    def extend(self, trials: int) -> None:
        """Change the budget: open brackets keep their sizes, those to come grow or shrink."""
        self._left = max(0, self._left + trials - self._budget)
        self._budget = trials

    def candidates(self) -> set[str]:
        """The best trials of each round that were not promoted yet, as many as the next round has places left."""
        return {
            trial
            for bracket in self._brackets
            for number, (entries, following) in enumerate(itertools.pairwise(bracket["rounds"]), start=1)
            for trial in self._best(
                [entry["id"] for entry in entries if entry["id"] not in {place["past_id"] for place in following}],
                self._get_size(bracket["bracket_num"], number) - len(following),
            )
        }

    def _best(self, trials: list[str], places: int) -> list[str]:
        completed = [self.trials[trial] for trial in trials if self.trials[trial].status == "COMPLETED"]
        completed.sort(key=lambda trial: trial.score, reverse=self.objective.direction == "max")
        return [trial.trial_id for trial in completed[:places]]

    def _start_new_bracket(self) -> None:
        number = len(self._sizes)
        size = min(self._left, super()._get_size(self._halvings(number), 0))
        self._left -= size
        self._sizes.append(size)
        self._current_bracket = number
        self._brackets.append({"bracket_num": number, "rounds": [[] for _ in range(self._halvings(number) + 1)]})

    def _increment_bracket_num(self) -> None:
        """Count nothing: a bracket takes the next number when it starts."""

    def _random_trial(self, trial_id: str, bracket: dict[str, Any]) -> dict[str, Any]:
        if self._sizes[bracket["bracket_num"]] == 0:
            return {"status": "IDLE" if self.ongoing_trials else "STOPPED"}
        response: dict[str, Any] = super()._random_trial(trial_id, bracket)
        return response

    def _get_size(self, bracket_num: int, round_num: int) -> int:
        size: int = math.ceil(self._sizes[bracket_num] / self.factor**round_num)
        return size

    def _get_epochs(self, bracket_num: int, round_num: int) -> int:
        epochs: int = super()._get_epochs(self._halvings(bracket_num), round_num)
        return epochs

    def _halvings(self, bracket_num: int) -> int:
        brackets: int = self._get_num_brackets()
        return brackets - 1 - bracket_num % brackets


def oracle(settings: Settings, *, factor: AtLeastTwo) -> HyperbandOracle:
    """Promote one of `factor` trials of each round."""
    return HyperbandOracle(settings, factor=factor)
