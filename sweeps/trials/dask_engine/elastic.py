"""The engine whose workers a cluster's own scheduler starts: they come as trials need them, and go when none is left.

Dask would count the tasks that wait. None does here, since the driver proposes a trial when a worker is free for it, so
that the number of trials that are left decides.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Protocol

from dask.utils import parse_bytes
from distributed import Client

from conf.schema import ConfigError
from conf.schema import Engine as EngineConfig
from sweeps.trials.dask_engine.engine import SAME_SOFTWARE, DaskEngine, unlike_worker
from sweeps.trials.dask_engine.local import EMBEDDED
from sweeps.trials.dask_engine.worker import THREADS
from sweeps.trials.engine import Message

LOOK = 5  # seconds between two looks at the workers
# Of a worker's settings for Dask, those that the environment can hold, and that are not for this machine alone.
OF_WORKERS = ("distributed.worker.profile", "distributed.worker.http", "distributed.worker.memory")
WATCHING = 2**29  # bytes for the process that watches a worker, beside the worker's own


class Workers(Protocol):
    """The workers as the cluster's scheduler has them."""

    def grow(self, count: int) -> None:
        """Ask for so many workers, and again for those that were lost.

        Raises `SweepError` if none is there and none can be expected.
        """

    def shrink(self, count: int, idle: Collection[str]) -> None:
        """Give back all but so many workers: those that have yet to come, then some of the `idle` ones, by name."""


class ElasticEngine(DaskEngine):
    """An engine with `config.min` to `config.max` workers, as many as there are trials left."""

    def __init__(self, client: Client, workers: Workers, config: EngineConfig, functions: tuple[str, ...]) -> None:
        super().__init__(client, limit=config.memory or "", functions=functions, sends_data=True)
        self._cluster = workers
        self._range = config.min, config.max
        self._needed = self._asked = config.min
        self._looked = 0.0

    @property
    def lost_workers(self) -> int:
        return 0  # another comes for each

    def expect(self, trials: int) -> None:
        low, high = self._range
        self._needed = max(low, min(high, trials))

    def next(self, timeout: float) -> Message | None:
        if time.monotonic() >= self._looked + LOOK:
            self._looked = time.monotonic()
            self._adapt()
        return super().next(timeout)

    def _adapt(self) -> None:
        if self._needed >= self._asked:
            self._asked = self._needed
            self._cluster.grow(self._asked)
            return
        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        names = {address: str(each["name"]) for address, each in workers.items()}
        idle = [names[address] for address, keys in self._client.processing().items() if not keys and address in names]
        target = max(self._needed, len(names) - len(idle))
        if target < self._asked:
            self._asked = target
            self._cluster.shrink(target, idle)

    def _look_for_workers(self) -> None:
        """Leave it to `Workers.grow` to say whether any can be expected."""
        self._presence.ask()


@contextmanager
def opened(
    client: Client, workers: Workers, config: EngineConfig, functions: tuple[str, ...]
) -> Iterator[ElasticEngine]:
    """Yield the engine once its first worker is there, however long that takes; refuse one with other software."""
    workers.grow(config.min)
    while not client.scheduler_info(n_workers=-1)["workers"]:
        time.sleep(0.5)
        workers.grow(config.min)
    if unlike := unlike_worker(client, functions):
        raise ConfigError(f"engine={config.name}: {unlike}; {SAME_SOFTWARE}")
    yield ElasticEngine(client, workers, config, functions)


def environment(config: EngineConfig) -> dict[str, str]:
    """Return the variables that the process of a worker needs."""
    settings = {key: value for key, value in EMBEDDED.items() if key.startswith(OF_WORKERS)}
    return {
        **dict.fromkeys(THREADS, str(config.threads)),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        **{f"DASK_{key.upper().replace('.', '__').replace('-', '_')}": str(settings[key]) for key in settings},
    }


def memory(config: EngineConfig) -> int:
    """Return the bytes that a worker may take together with the process that watches it."""
    return int(parse_bytes(config.memory)) + WATCHING
