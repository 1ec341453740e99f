"""What one sweep is: a model, a dataset, a space, and where its record is kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from conf.schema import RESUMABLE, Config
from sweeps.space import Space
from sweeps.spec import TrialSpec, Value

# What decides neither which trials run nor how they end.
INDIFFERENT = (*RESUMABLE, "retries", "max_failures", "trial_minutes", "dry_run", "resume", "reproduce")


class Retraining(NamedTuple):
    """A configuration that is trained once more, with another seed, for the epochs that validation chose."""

    origin: int  # the sweep's trial that had it
    values: Mapping[str, Value]
    seed: int
    epochs: int


class Confirmed(NamedTuple):
    """What a confirmation trains: its trials in order, and the sweep that they come from."""

    sweep: str
    finalists: Mapping[str, float]  # origin -> validation accuracy in the search, best first
    trials: tuple[Retraining, ...]


class Plan(NamedTuple):
    """One sweep to be run: one model on one dataset."""

    sweep: str  # unique, and the same again when resumed
    config: Config
    yaml: str  # the configuration as the user would write it
    space: Space
    dataset: str
    load: str
    data: Mapping[str, Any]  # what `load` takes; its source is what was found, `archive` or `standin`
    digest: str
    directory: Path
    store: str = ""  # where its runs are, without a password
    function: str = "sweeps.trial.run"
    sizes: Mapping[str, int] = MappingProxyType({})  # examples of train, validation and test
    confirmed: Confirmed | None = None  # what it trains again, if it is a confirmation

    def spec(self, trial: int, values: Mapping[str, Value], initial_epoch: int, epochs: int) -> TrialSpec:
        """The first attempt at a trial, without a checkpoint."""
        spec = self._spec(trial, values, initial_epoch, epochs)
        if self.confirmed is None:
            return spec
        again = self.confirmed.trials[trial]
        return spec._replace(
            seed=again.seed, objective=self.objective, patience=None, test_last_epoch=True, final=True,
            origin=again.origin,
        )  # fmt: skip

    def _spec(self, trial: int, values: Mapping[str, Value], initial_epoch: int, epochs: int) -> TrialSpec:
        model, optimizer = self.space.split(values)
        config = self.config
        return TrialSpec(
            sweep=self.sweep,
            trial=trial,
            attempt=1,
            seed=trial_seed(config.seed, trial),
            build=config.model.build,
            model_values=model,
            optimizer=config.optimizer.build,
            optimizer_values=optimizer,
            load=self.load,
            data=self.data,
            digest=self.digest,
            batch_size=config.batch_size,
            objective=config.objective,
            patience=config.patience if config.stopping.name != "none" else None,
            test_last_epoch=self.held_out == "test",
            initial_epoch=initial_epoch,
            epochs=epochs,
        )

    @property
    def objective(self) -> str:
        """What is told of a trial; a confirmation holds nothing out and chooses nothing."""
        return self.config.objective.replace("val/", "train/") if self.confirmed else self.config.objective

    @property
    def held_out(self) -> str:
        """What the val/ metrics are measured on: `validation`, or (the article's own runs) `test`."""
        return "test" if self.data["validation"] == "test" else "validation"

    def fingerprint(self) -> str:
        """Of everything that decides which trials run and how they end."""
        deciding = {k: v for k, v in asdict(self.config).items() if k not in (*INDIFFERENT, "datasets")}
        content = json.dumps([deciding, self.dataset, self.digest], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]


def trial_seed(sweep_seed: int, trial: int) -> int:
    """The seed of a trial: its own, whatever ran before it and wherever it runs."""
    return int(np.random.SeedSequence([sweep_seed, trial]).generate_state(1)[0]) % 2**31
