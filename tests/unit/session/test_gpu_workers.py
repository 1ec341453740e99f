"""Workers that were to share GPUs, of which TensorFlow opens none; no GPU is needed."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from rich.console import Console

from conf.schema import Engine
from sweeps import environment
from sweeps.session import session
from sweeps.session.session import places
from sweeps.trials import gpus


class Engines:
    """Stands in for `open_engine`: says how each engine was opened, and opens some GPUs in each of two workers."""

    def __init__(self, opened: Sequence[int]) -> None:
        self._opened = opened
        self.began: list[dict[str, str]] = []
        self.ended = 0

    @contextmanager
    def open(self, config: Engine, functions: tuple[str, ...]) -> Iterator["Engines"]:
        self.began.append(gpus.hidden_from_workers())
        yield self
        self.ended += 1

    def warm_up(self, function: str) -> None:
        assert function == "sweeps.trials.building.prepare"

    def warmed_up(self) -> Sequence[int]:
        return self._opened


@pytest.mark.parametrize(
    ("opened", "began", "used"),
    [
        ([1, 1], [{}], ("0",)),
        ([0, 1], [{}], ("0",)),
        ([0, 0], [{}, {"CUDA_VISIBLE_DEVICES": "-1"}], ()),
        ([], [{}, {"CUDA_VISIBLE_DEVICES": "-1"}], ()),
    ],
)
def test_workers_that_were_given_a_gpu_and_see_none_make_room_for_as_many_as_a_processor_has(
    opened: list[int],
    began: list[dict[str, str]],
    used: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engines = Engines(opened)
    monkeypatch.setattr("sweeps.trials.dask_engine.opening.open_engine", engines.open)
    monkeypatch.setattr(gpus, "visible", lambda: ("0",))
    monkeypatch.setattr(gpus, "_lacking", lambda: "")
    prepared: list[int] = []
    with session.workers(Engine("local"), [], Console(), lambda: prepared.append(1)) as engine:
        assert engine is engines
        assert (engines.began, engines.ended) == (began, len(began) - 1)
        where, unused = places(Engine("local"), 2)
        assert where == ("2 workers on 1 GPU" if used else "2 workers")
        assert unused.startswith("1 GPU not used: TensorFlow opens none") == (not used)
        assert ("gpus" in environment.machine()) == bool(used)
    assert engines.ended == len(began)
    assert prepared == [1]
    gpus.forget()
