"""Data that workers fetch from the driver."""

import os
import re
from pathlib import Path

import pytest

from conf.schema import Data
from conf.schema import Engine as EngineConfig
from pipelines.data import cache, dataset, whole
from sweeps.plan import CACHE, LOAD_WHOLE
from sweeps.trials import references
from sweeps.trials.dask_engine.opening import open_engine
from sweeps.trials.spec import Dataset, TrialSpec
from tests.engines import failure, results
from tests.specs import spec


@pytest.fixture(params=[dataset.load])
def of_the_driver(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """The data of a table that was encoded in the driver's own cache, and is no longer there."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "driver"))
    monkeypatch.setattr(cache, "PIECE", 3000)  # of arrays of 4,000 bytes and more
    table = tmp_path / "reviews.csv"
    rows = [f"{tmp_path.name} text{n},{'ab'[n % 2]}" for n in range(200)]
    table.write_text("\n".join(["text,label", *rows]))
    loaded: Dataset = request.param(name="reviews", settings=Data(files=[str(table)], num_words=99, maxlen=20))
    table.unlink()
    return loaded


def reading(data: Dataset, trial: int) -> TrialSpec:
    arguments = {
        "name": "reviews",
        "settings": Data(files=["/elsewhere/reviews.csv"], num_words=99, maxlen=20),
        "digest": data.digest,
    }
    return spec(trial=trial, data=arguments, digest=data.digest, cache=CACHE)


def test_workers_without_the_file_and_the_cache_fetch_the_data_once_for_their_machine(
    cluster: str, of_the_driver: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[str, int]] = []
    piece = cache.piece
    monkeypatch.setattr(cache, "piece", lambda digest, *which: sent.append(which) or piece(digest, *which))
    with open_engine(EngineConfig("cluster", scheduler=cluster)) as engine:
        for trial in range(2):
            engine.submit("tests.specs.loading", reading(of_the_driver, trial))
        loaded = results(engine)
        assert len({process for process, *_ in loaded}) == 2
        for _, digest, labels, folder in loaded:
            assert (digest, labels) == (of_the_driver.digest, of_the_driver.test.y.tolist())
            assert folder != os.environ["XDG_CACHE_HOME"]
        assert len([file for file, start in sent if file == "train_y.npy" and start == 0]) == 1
        assert len([file for file, _ in sent if file == "train_x.npy"]) > 3
        sent.clear()
        engine.submit("tests.specs.loading", reading(of_the_driver, 2))
        assert len(results(engine)) == 1
        assert sent == []


@pytest.mark.parametrize("of_the_driver", [whole.load], indirect=True)
def test_a_reference_on_whole_texts_is_trained_where_nobody_has_the_file(cluster: str, of_the_driver: Dataset) -> None:
    assert of_the_driver.train.x.ndim == 1
    with open_engine(EngineConfig("cluster", scheduler=cluster)) as engine:
        engine.submit(references.RUN, reading(of_the_driver, -2)._replace(load=LOAD_WHOLE, reference=True))
        ((found,),) = results(engine)
    assert (found.name, found.failure, found.documents) == (references.WHOLE, "", len(of_the_driver.train.y))
    assert found.predictions.labels.tolist() == of_the_driver.test.y.tolist()


def test_a_worker_refuses_data_that_arrive_with_another_digest(
    cluster: str, of_the_driver: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    piece = cache.piece
    monkeypatch.setattr(
        cache, "piece", lambda digest, file, *where: piece(digest, file.replace("test", "train"), *where)
    )
    with open_engine(EngineConfig("cluster", scheduler=cluster)) as engine:
        for trial in range(2):
            engine.submit("tests.specs.loading", reading(of_the_driver, trial))
            reason = failure(engine).reason
            assert re.fullmatch(
                rf"the data that the driver sent have the digest \w+, not {of_the_driver.digest}", reason
            )


def test_data_that_the_driver_lacks_are_read_by_the_worker_itself(cluster: str, of_the_driver: Dataset) -> None:
    with open_engine(EngineConfig("cluster", scheduler=cluster)) as engine:
        engine.submit("tests.specs.loading", reading(of_the_driver._replace(digest="0" * 16), 0))
        assert "/elsewhere/reviews.csv" in failure(engine).reason
