"""Every tuner proposes values of the space, of its types, none twice, and all of them where they can be counted."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from conf.schema import Buildable, Config, ConfigError, Job
from sweeps.search import space
from sweeps.search.ask_tell import Proposal
from sweeps.search.oracle import Oracle
from tests.conftest import composed_job
from tests.searches import TUNERS, oracle

OPTIMIZER = Buildable("still", f"{__name__}.still", {})
TYPES = {"Int": int, "Float": float, "Boolean": bool}
LOG = {"kind": "Int", "min_value": 2, "max_value": 16, "sampling": "log", "step": 2, "default": 4}
# It was drawn as 17 by a search that reaches the end of its unit cube.
WHOLE_LOG = {"kind": "Int", "min_value": 3, "max_value": 5, "sampling": "log", "default": 4}
RATE = {"kind": "Float", "min_value": 0.001, "max_value": 1.0, "sampling": "log", "step": 10, "default": 0.01}


def still() -> None:
    """An optimizer without hyperparameters."""


def pair(*, a: Any, b: Any) -> None:
    """A builder whose two keywords take any value."""


@st.composite
def ranges(draw: st.DrawFn) -> dict[str, Any]:
    kind, sampling = draw(st.sampled_from(["Int", "Float"])), draw(st.sampled_from(["linear", "log", "reverse_log"]))
    scale = 1 if kind == "Int" else draw(st.sampled_from([0.1, 0.001, 1 / 3]))
    low = draw(st.integers(1, 30))
    entry = {"kind": kind, "sampling": sampling, "min_value": low * scale}
    step = draw(st.integers(2, 4)) if sampling != "linear" else draw(st.integers(1, 4)) * scale
    if sampling == "linear":
        entry["max_value"] = (low + draw(st.integers(1, 9))) * scale
    else:
        entry["max_value"] = low * draw(st.integers(2, 30)) * scale
    if kind == "Float" or draw(st.booleans()):
        entry["step"] = step
    where = draw(st.sampled_from(["min_value", "max_value", "step"]))
    between = entry["min_value"] + step if sampling == "linear" else entry["min_value"] * step
    return {**entry, "default": min(between, entry["max_value"]) if where == "step" else entry[where]}


def entries() -> st.SearchStrategy[Any]:
    numbers = st.lists(st.integers(1, 99), min_size=1, max_size=4, unique=True)
    names = st.lists(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=4, unique=True)
    choices = (numbers | names).map(lambda values: {"kind": "Choice", "values": values, "default": values[-1]})
    flags = st.booleans().map(lambda default: {"kind": "Boolean", "default": default})
    return ranges() | choices | flags | st.integers(1, 9)


def values_of(entry: Any) -> set[Any]:
    """Every value that an entry names, its default included, floats to six digits: by its definition in the README."""
    if not isinstance(entry, dict):
        return {entry}
    if entry["kind"] in ("Choice", "Boolean"):
        return set(entry.get("values", [False, True]))
    low, high, step = entry["min_value"], entry["max_value"], entry.get("step", 1)
    values, place, slack = [], 0, 1e-6
    while True:
        grown = low + place * step if entry["sampling"] == "linear" or "step" not in entry else low * step**place
        if grown > high * (1 + slack):
            break
        values.append(high + low - grown if entry["sampling"] == "reverse_log" and "step" in entry else grown)
        place += 1
    if entry["kind"] == "Int":
        return {*values, entry["default"]}
    return {float(f"{value:.6g}") for value in (*values, entry["default"])}


def config_of(tuner: str, trials: int, **entries: Any) -> Config:
    config = composed_job(f"tuner={tuner}").config
    return replace(config, trials=trials, model=Buildable("pair", f"{__name__}.pair", entries), optimizer=OPTIMIZER)


def searched_to_its_end(search: Oracle) -> dict[int, dict[str, Any]]:
    """The values of every trial, where each trial's objective differs from the others'."""
    proposals: list[Proposal] = []
    while (proposal := search.ask()) is not None:
        proposals.append(proposal)
        search.tell(proposal.trial, math.sin(len(proposals)))
    return {proposal.trial: dict(proposal.values) for proposal in proposals}


@pytest.mark.parametrize("tuner", TUNERS)
@settings(max_examples=6)
@given(st.fixed_dictionaries({"a": entries(), "b": entries()}))
@example({"a": LOG, "b": 1})
@example({"a": {**LOG, "sampling": "reverse_log"}, "b": {"kind": "Boolean", "default": True}})
@example({"a": {**LOG, "max_value": 20, "default": 20}, "b": 1})
@example({"a": RATE, "b": {**RATE, "sampling": "reverse_log", "default": 1.0}})
@example({"a": WHOLE_LOG, "b": {**WHOLE_LOG, "sampling": "reverse_log"}})
@example({"a": 1, "b": 2})
def test_all_values_and_no_others_are_proposed_once_and_with_their_types(tuner: str, space_: dict[str, Any]) -> None:
    allowed = {name: values_of(entry) for name, entry in space_.items()}
    size = math.prod(len(values) for values in allowed.values())
    trials = searched_to_its_end(oracle(config_of(tuner, max(2, size + 3 if size < 40 else 10), **space_)))
    for values in trials.values():
        for name, value in values.items():
            assert value in allowed[name]
            assert {type(value)} == {type(one) for one in allowed[name]}
    configurations = [tuple(values.items()) for values in trials.values()]
    assert len(set(configurations)) == len(configurations) == min(size, size if size < 40 else 10)


@pytest.mark.parametrize("tuner", TUNERS)
def test_a_range_without_steps_is_kept_to_and_its_trials_differ(tuner: str) -> None:
    rate = {"kind": "Float", "min_value": 0.123456789, "max_value": 0.3, "sampling": "log", "default": 0.123456789}
    units = {"kind": "Int", "min_value": 2, "max_value": 9, "sampling": "reverse_log", "default": 3}
    trials = searched_to_its_end(oracle(config_of(tuner, 40, a=rate, b=units)))
    configurations = [(values["a"], values["b"]) for values in trials.values()]
    assert len(set(configurations)) == len(configurations) == 40
    assert all(0.123456 < a <= 0.3 and 2 <= b <= 9 and type(b) is int for a, b in configurations)


def test_a_range_with_no_end_of_steps_is_searched_and_refused_for_a_grid(composed: Callable[..., Job]) -> None:
    fine = {"kind": "Float", "min_value": 0.0, "max_value": 1.0, "step": 1e-9, "default": 0.5}
    for tuner in ("random", "bayesian", "hyperband"):
        assert len(searched_to_its_end(oracle(config_of(tuner, 6, a=fine, b=1)))) == 6
    with pytest.raises(ConfigError, match=r"^tuner=grid: a has more than 100,000 values; .* a larger step"):
        oracle(config_of("grid", 6, a=fine, b=1))


@pytest.mark.parametrize(
    ("changes", "bounds"),
    [
        ({"sampling": "linear", "min_value": 6, "max_value": 13, "step": 3, "default": 6}, (6, 12)),
        ({"max_value": 20}, (2, 16)),
        ({"sampling": "reverse_log", "max_value": 20, "default": 20}, (6, 20)),
        ({"max_value": 20, "default": 20}, (2, 20)),
    ],
)
def test_the_ends_of_a_range_are_values_that_are_tried(changes: dict[str, Any], bounds: tuple[int, int]) -> None:
    read = space.read(
        {"model": Buildable("pair", f"{__name__}.pair", {"a": {**LOG, **changes}, "b": 1}), "optimizer": OPTIMIZER}
    )
    assert read.searched[0].bounds == bounds
    assert (read.smallest()["a"], read.largest()["a"]) == bounds
