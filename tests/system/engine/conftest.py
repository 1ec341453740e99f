"""Engines with two workers: an embedded cluster, and one on a scheduler that was there before."""

from collections.abc import Iterator

import pytest

from conf.schema import Engine as EngineConfig
from sweeps.trials.dask_engine.engine import DaskEngine
from sweeps.trials.dask_engine.opening import open_engine
from tests.engines import wait_until_whole


@pytest.fixture(scope="package")
def embedded_cluster() -> Iterator[DaskEngine]:
    with open_engine(EngineConfig("local", workers=2, threads=3)) as engine:
        yield engine


@pytest.fixture
def local(embedded_cluster: DaskEngine) -> DaskEngine:
    """The embedded cluster when the workers that earlier tests ended have been replaced."""
    wait_until_whole(embedded_cluster)
    return embedded_cluster


@pytest.fixture(params=["local", "cluster"])
def engine(request: pytest.FixtureRequest) -> Iterator[DaskEngine]:
    if request.param == "local":
        yield request.getfixturevalue("local")
        return
    with open_engine(EngineConfig("cluster", scheduler=request.getfixturevalue("cluster"))) as engine:
        yield engine
