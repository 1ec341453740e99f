"""The plan of one sweep: a model, a dataset, a space, and where its record is kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from conf.schema import RESUMABLE, Config, Data, Value, Values
from sweeps.audit import Audit
from sweeps.search.space import Space
from sweeps.trials.spec import TrialSpec

# Keys that decide neither which trials run nor how they end.
INDIFFERENT = (*RESUMABLE, "retries", "max_failures", "trial_minutes", "dry_run", "resume", "reproduce")
# Keys of a dataset that decide it but not its digest.
ADDED = ("space", "class_weight", "label_smoothing")
# Called by their names: they lie above this package, and a worker imports them by itself.
LOAD = "pipelines.data.dataset.load"
LOAD_WHOLE = "pipelines.data.whole.load"
CACHE = "pipelines.data.cache"
RUN = "sweeps.trials.training.run"


# Encodes a sweep's dataset with other settings, once for each, and returns the digest of the arrays.
DigestOf = Callable[[Data], str]


class Retraining(NamedTuple):
    """A configuration that is trained once more, with another seed, for the epochs that validation chose."""

    origin: int  # the sweep's trial that had it
    values: Mapping[str, Value]
    seed: int
    epochs: int
    shuffled: bool = False  # with the words of each document in a random order


class Confirmation(NamedTuple):
    """The trials of a confirmation in their order, and the sweep that they come from."""

    sweep: str
    finalists: Mapping[str, float]  # origin -> what it had on validation in the search, best first
    trials: tuple[Retraining, ...]
    compared_by: str  # the test metric by which they are compared


class Plan(NamedTuple):
    """One sweep to be run: one model on one dataset."""

    sweep: str  # unique, and the same again when resumed
    config: Config
    yaml: str  # the configuration as the user would write it
    space: Space
    dataset: str
    source: str  # archive | standin; the configuration may say `auto`
    digest: str  # of the data as they are configured
    directory: Path
    store: str = ""  # the address of the MLflow store, without a password
    load: str = LOAD
    function: str = RUN
    sizes: Mapping[str, int] = MappingProxyType({})  # examples of train, validation and test
    audit: Audit | None = None  # of the data
    confirmation: Confirmation | None = None
    digest_of: DigestOf | None = None  # None where no trial has other settings of the data than those configured
    whole: str = ""  # the digest of the whole texts for the reference that learns from them; empty: none does

    def spec(self, trial: int, values: Mapping[str, Value], initial_epoch: int, epochs: int) -> TrialSpec:
        """Make the spec of a trial's first attempt, without a checkpoint."""
        spec = self._spec(trial, values, initial_epoch, epochs)
        if self.confirmation is None:
            return spec
        retraining = self.confirmation.trials[trial]
        seed, origin, shuffled = retraining.seed, retraining.origin, retraining.shuffled
        return as_final(spec, objective=self.reported_metric, seed=seed, origin=origin, shuffled=shuffled)

    def _spec(self, trial: int, values: Mapping[str, Value], initial_epoch: int, epochs: int) -> TrialSpec:
        config, settings = self.config, self.settings(values)
        digest = self.digest_with(settings)
        return TrialSpec(
            sweep=self.sweep,
            trial=trial,
            attempt=1,
            seed=trial_seed(config.seed, trial),
            build=config.network(values).build,
            optimizer=config.optimizer.build,
            values=values,
            load=self.load,
            data={"name": self.dataset, "settings": settings, "digest": digest},
            digest=digest,
            batch_size=config.batch_size,
            objective=config.objective,
            patience=config.patience if config.stopping.name != "none" else None,
            test_last_epoch=self.held_out == "test",
            initial_epoch=initial_epoch,
            epochs=epochs,
            class_weight=settings.class_weight,
            label_smoothing=settings.label_smoothing,
            most_epochs=config.epochs,
            cache=CACHE,
        )

    def settings(self, values: Values) -> Data:
        """Return the dataset's settings, with a trial's values of those that are searched.

        The source is the one that was found, so that no worker takes another.
        """
        configured = self.config.datasets[self.dataset]
        searched: dict[str, Any] = {name: values[name] for name in configured.space}
        return replace(configured, source=self.source, space={}, **searched)

    def digest_with(self, settings: Data) -> str:
        """Return the digest of the data with other settings, for which they are encoded if that was not done yet."""
        if settings.encoding == self.config.datasets[self.dataset].encoding:
            return self.digest
        assert self.digest_of is not None
        return self.digest_of(settings)

    @property
    def functions(self) -> tuple[str, ...]:
        """The dotted names of the functions that the configuration chooses."""
        return *self.trial_functions, self.config.tuner["oracle"]

    @property
    def trial_functions(self) -> tuple[str, ...]:
        """Those of them that trials call, on workers."""
        config = self.config
        builders = (network.build for network in config.models.values())
        return *builders, config.optimizer.build, config.datasets[self.dataset].read

    @property
    def reported_metric(self) -> str:
        """The metric shown for a trial: the objective, or its train/ counterpart in a confirmation.

        A confirmation has no validation split and chooses nothing.
        """
        objective = self.config.objective
        return objective.replace("val/", "train/") if self.confirmation else objective

    @property
    def held_out(self) -> str:
        """The part of the data that val/ metrics are measured on: `validation`, or `test` in the article's own runs."""
        return "test" if self.config.datasets[self.dataset].validation == "test" else "validation"

    def fingerprint(self) -> str:
        """Identify everything that decides which trials run and how they end."""
        deciding = {k: v for k, v in asdict(self.config).items() if k not in (*INDIFFERENT, "datasets")}
        for later in ("networks", "first"):  # sweeps that were recorded before there were these keys go on
            if not deciding[later]:
                del deciding[later]
        data = self.config.datasets[self.dataset]
        # Settings that change nothing are left out, so that sweeps which were recorded before there were any go on.
        without = Data()
        added = [getattr(data, key) for key in ADDED if getattr(data, key) != getattr(without, key)]
        content = json.dumps([deciding, self.dataset, self.digest, *added], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]


def as_final(spec: TrialSpec, *, objective: str, seed: int, origin: int, shuffled: bool = False) -> TrialSpec:
    """Turn a spec into that of a confirmation: trained on train and validation, tested after its last epoch."""
    return spec._replace(
        objective=objective,
        seed=seed,
        origin=origin,
        shuffled=shuffled,
        patience=None,
        test_last_epoch=True,
        final=True,
    )


def trial_seed(sweep_seed: int, *place: int) -> int:
    """Derive a trial's own seed, independent of what ran before it and of where it runs."""
    import numpy as np

    return int(np.random.SeedSequence([sweep_seed, *place]).generate_state(1)[0]) % 2**31
