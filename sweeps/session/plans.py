"""The plans of a job's sweeps, and the plan of a recorded sweep."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from conf.schema import ENCODING, Config, ConfigError, Data, Job, Value
from sweeps import files
from sweeps.journal import SweepRecord
from sweeps.plan import LOAD, LOAD_WHOLE, Plan
from sweeps.search import space
from sweeps.search.space import Space
from sweeps.session import outputs
from sweeps.terminal.reading import Reading
from sweeps.trials.spec import Dataset

if TYPE_CHECKING:
    from rich.console import Console


class Encodings:
    """The encodings of a dataset, one for each setting that a trial asks for; only their digests are kept here."""

    def __init__(self, dataset: str) -> None:
        self._dataset = dataset
        self._digests: dict[tuple[Value, ...], str] = {}
        self._labels = ""  # the digest of the labels, which no setting changes

    def load(self, settings: Data, on_progress: Reading | None = None) -> Dataset:
        """Return the encoded data, from the cache if they are there.

        Raises `ConfigError` if the labels differ from those of another setting: then the documents do too, and scores
        cannot be compared.
        """
        encoded = self._load(LOAD, settings, on_progress)
        self._digests[settings.encoding] = encoded.digest
        return encoded

    def digest(self, settings: Data) -> str:
        return self._digests.get(settings.encoding) or self.load(settings).digest

    def whole(self, settings: Data, on_progress: Reading) -> str:
        """Return the digest of the same texts whole, which are read once more if they are not in the cache."""
        return self._load(LOAD_WHOLE, settings, on_progress).digest

    def _load(self, loader: str, settings: Data, on_progress: Reading | None) -> Dataset:
        module, _, function = loader.rpartition(".")
        load = getattr(import_module(module), function)
        options = {"on_progress": on_progress} if on_progress else {}
        encoded: Dataset = load(name=self._dataset, settings=settings, **options)
        labels = files.digest_of_arrays([part.y for part in (encoded.train, encoded.validation, encoded.test)])
        if self._labels not in ("", labels):
            shown = ", ".join(f"{key}={value}" for key, value in zip(ENCODING, settings.encoding, strict=True))
            raise ConfigError(
                f"datasets.{self._dataset}.space: with {shown} there are other documents, so that no trial could be "
                f"compared with another; {settings.read} must return the same for all of them"
            )
        self._labels = labels
        return encoded


def plans_of(job: Job, spaces: Mapping[str, Space], directory: Path, console: Console) -> list[Plan]:
    """Plan a sweep for each dataset. This loads the data, so that their faults show before any training."""
    plans = []
    name = outputs.name_of(directory)
    for dataset, settings in job.config.datasets.items():
        encodings = Encodings(dataset)
        with Reading(console, dataset) as on_progress:
            encoded = encodings.load(settings, on_progress)
            is_wanted = job.config.references != "none" and not job.config.dry_run
            is_cut = encoded.audit is not None and encoded.audit.is_cut
            whole = encodings.whole(settings, on_progress) if is_wanted and is_cut else ""
        plans.append(
            Plan(
                sweep=f"{name}/{dataset}",
                config=job.config,
                yaml=job.yaml,
                space=spaces[dataset],
                dataset=dataset,
                source=encoded.source,
                digest=encoded.digest,
                directory=directory / dataset,
                audit=encoded.audit,
                digest_of=encodings.digest,
                whole=whole,
                sizes={part: len(getattr(encoded, part).y) for part in ("train", "validation", "test")},
            )
        )
    return plans


def recorded_plan(config: Config, record: SweepRecord) -> Plan:
    """Return the plan of a recorded sweep, built without loading its data."""
    started = record.started
    return Plan(
        sweep=started.sweep,
        config=config,
        yaml=started.config,
        space=space.read(config.parts(started.dataset)),
        dataset=started.dataset,
        source=started.source,
        digest=started.digest,
        directory=record.directory,
        digest_of=Encodings(started.dataset).digest,
    )
