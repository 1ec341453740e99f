"""The workers of `engine=kubernetes`: the pods of a DaskCluster, which Dask's operator makes."""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import yaml
from dask.utils import parse_bytes
from distributed import Client

from conf.schema import ConfigError
from conf.schema import Engine as EngineConfig
from sweeps.errors import SweepError, reason_of
from sweeps.trials.dask_engine import elastic
from sweeps.trials.dask_engine.elastic import ElasticEngine
from sweeps.trials.dask_engine.engine import WAIT_FOR_START

if TYPE_CHECKING:
    from dask_kubernetes.operator import KubeCluster

WHERE = "engine=kubernetes"
MISSING = f"{WHERE} needs dask-kubernetes: make install EXTRAS=kubernetes, or pip install '.[kubernetes]'"
IDLE = 3600  # seconds without a trial after which the operator removes a cluster whose driver is gone
SCHEDULER = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "4Gi"}}


@contextmanager
def created(config: EngineConfig, functions: tuple[str, ...]) -> Iterator[ElasticEngine]:
    with (
        _cluster(config) as cluster,
        Client(cluster) as client,
        elastic.opened(client, Pods(cluster), config, functions) as engine,
    ):
        yield engine


def manifest(config: EngineConfig) -> dict[str, Any]:
    """Return the DaskCluster, under a name of its own."""
    make_cluster_spec = _operator().make_cluster_spec
    threads, limit = str(config.threads), parse_bytes(config.memory)
    spec: dict[str, Any] = make_cluster_spec(
        name=f"text-sweeps-{uuid.uuid4().hex[:8]}",
        image=config.image,
        n_workers=config.min,
        env=elastic.environment(config),
        worker_command=["dask", "worker", "--nthreads", "1", "--memory-limit", str(limit)],
        idle_timeout=IDLE,
    )
    gpus = {"nvidia.com/gpu": str(config.gpus)} if config.gpus else {}
    (worker,) = spec["spec"]["worker"]["spec"]["containers"]
    worker["resources"] = {
        "requests": {"cpu": threads, "memory": str(limit)},
        "limits": {"memory": str(elastic.memory(config)), **gpus},
    }
    (scheduler,) = spec["spec"]["scheduler"]["spec"]["containers"]
    scheduler["resources"] = SCHEDULER
    scheduler["env"] = [{"name": "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "value": "0"}]
    return spec


def manifest_text(config: EngineConfig) -> str:
    return str(yaml.safe_dump(manifest(config), sort_keys=False))


class Pods:
    """The pods of a DaskCluster, each of them a worker; the operator replaces those that are lost."""

    def __init__(self, cluster: KubeCluster) -> None:
        self._cluster = cluster
        self._count = 0
        self._seen = time.monotonic()

    def grow(self, count: int) -> None:
        if count != self._count:
            self._cluster.scale(count)
            self._count = count
        if self._cluster.scheduler_info["workers"]:
            self._seen = time.monotonic()
        elif time.monotonic() > self._seen + WAIT_FOR_START:
            pods = f"kubectl describe pods -n {self._cluster.namespace} -l dask.org/cluster-name={self._cluster.name}"
            raise SweepError(f"{WHERE}: no worker has come within {WAIT_FOR_START} s; the reason is in: {pods}")

    def shrink(self, count: int, idle: Collection[str]) -> None:
        self.grow(count)  # the operator asks Dask which ones are idle


def _operator() -> Any:
    try:
        from dask_kubernetes import operator
    except ModuleNotFoundError as error:
        raise ConfigError(MISSING) from error
    return operator


def _cluster(config: EngineConfig) -> KubeCluster:
    operator = _operator()
    from dask_kubernetes.operator.kubecluster.kubecluster import CreateMode

    try:
        return operator.KubeCluster(
            custom_cluster_spec=manifest(config),
            namespace=config.namespace,
            create_mode=CreateMode.CREATE_ONLY,
            shutdown_on_close=True,
            quiet=True,
        )
    except Exception as error:  # of Kubernetes' client, of the operator, or of the user's settings for them
        raise SweepError(f"{WHERE}: no Dask cluster can be created: {reason_of(error)}") from error
