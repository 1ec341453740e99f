"""The plans of a job's sweeps, and the plan of a recorded sweep."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from conf.schema import Config, Job
from sweeps.journal import SweepRecord
from sweeps.plan import LOAD, Plan
from sweeps.reading import Reading
from sweeps.search import space
from sweeps.search.space import Space
from sweeps.session import outputs

if TYPE_CHECKING:
    from rich.console import Console


def plans_of(job: Job, search_space: Space, directory: Path, console: Console) -> list[Plan]:
    """Plan a sweep for each dataset. This loads the data, so that their faults show before any training."""
    module, _, function = LOAD.rpartition(".")
    plans = []
    name = outputs.name_of(directory)
    for dataset, settings in job.config.datasets.items():
        with Reading(console, dataset) as on_progress:
            load = getattr(import_module(module), function)
            encoded = load(name=dataset, settings=settings, on_progress=on_progress)
        plans.append(
            Plan(
                sweep=f"{name}/{dataset}",
                config=job.config,
                yaml=job.yaml,
                space=search_space,
                dataset=dataset,
                source=encoded.source,
                digest=encoded.digest,
                directory=directory / dataset,
                audit=encoded.audit,
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
        space=space.read(config.model, config.optimizer),
        dataset=started.dataset,
        source=started.source,
        digest=started.digest,
        directory=record.directory,
    )
