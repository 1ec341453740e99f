"""The choice of an engine by its configuration."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dask

from conf.schema import Engine as EngineConfig
from sweeps.trials.dask_engine import cluster, kubernetes, local, slurm
from sweeps.trials.dask_engine.engine import DaskEngine

# The ways to open an engine, by its name, and the texts of those that submit something.
OPENED = {
    "local": local.embedded,
    "cluster": cluster.connected,
    "slurm": slurm.submitted,
    "kubernetes": kubernetes.created,
}
SUBMISSIONS = {"slurm": slurm.script, "kubernetes": kubernetes.manifest_text}


@contextmanager
def open_engine(config: EngineConfig, functions: tuple[str, ...] = ()) -> Iterator[DaskEngine]:
    """Yield an engine whose workers are there or starting; those of `engine=local` end with the block.

    `functions` are the dotted names of those that trials call: a worker that has others is refused.
    """
    # A spec holds the checkpoint from which a promoted trial goes on: some 20 MB, of which Dask would warn.
    settings = {"distributed.admin.large-graph-warning-threshold": "1GB"}
    with dask.config.set(settings), OPENED[config.name](config, functions) as engine:
        yield engine


def submission(config: EngineConfig) -> str:
    """Return what an elastic engine would submit: a job's script, or a manifest."""
    return SUBMISSIONS[config.name](config)
