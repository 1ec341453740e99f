"""Findings about the search space: the best value on the edge of its range, a hyperparameter that does not matter, a
range that was never tried.

Each finding comes with the override that corrects it, ready to be pasted behind the sweep's command.
"""

from __future__ import annotations

import itertools
import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from conf.schema import Buildable, ConfigError, Value
from sweeps.analysis.importance import Importances
from sweeps.journal import SweepRecord
from sweeps.search import space
from sweeps.search.space import Hyperparameter

FEWEST = 4  # trials; with fewer, half of all values lie on an edge and most of every range is untried
EDGE = 0.02  # of the range: a value nearer to an end lies on the edge
GAP = 1 / 3  # of the range without a trial
# Among n uniform draws a gap of a third is rarer than 5 % from ten draws on; with fewer it says nothing.
FEWEST_FOR_A_GAP = 10
NEGLIGIBLE = 0.05  # of the objective's variance: an importance that is surely less does not matter
CLOSE = 5  # best trials among which those on the same edge are counted


class Finding(NamedTuple):
    """A sentence without its full stop, and the arguments for a shell that correct what it says."""

    kind: str  # edge | irrelevant | untried
    name: str
    text: str
    override: str


def findings(record: SweepRecord, model: Buildable, optimizer: Buildable, importances: Importances) -> list[Finding]:
    """Return the findings about the space of the recorded `model` and `optimizer`; few trials have none."""
    searched = space.recorded(model, optimizer)
    result: list[Finding] = []
    if len(record.ranking()) >= FEWEST:
        result += [finding for hp in searched for finding in _edge(record, model, optimizer, hp)]
        result += [finding for hp in searched for finding in _irrelevant(record, hp, importances)]
    if len(record.trials) >= FEWEST:
        result += [finding for hp in searched for finding in _untried(record, hp)]
    return result


# The best value on the edge of its range


def _edge(record: SweepRecord, model: Buildable, optimizer: Buildable, hp: Hyperparameter) -> Iterator[Finding]:
    if hp.kind == "Boolean" or isinstance(hp.bounds[0], str) or hp.bounds[0] == hp.bounds[1]:
        return
    closest = record.ranking()[:CLOSE]
    best = closest[0].values[hp.name]
    for end, side, beyond in ((0, "lower", "smaller"), (1, "upper", "larger")):
        if not _on_edge(hp, best, end):
            continue
        for argument, value in _wider(hp, end):
            if _accepted(model, optimizer, hp, {argument: value}):
                count = sum(_on_edge(hp, trial.values[hp.name], end) for trial in closest)
                lie = "lies" if count == 1 else "lie"
                text = (
                    f"the best trial has {hp.name}={best}, at the {side} end of its range; {count} of the "
                    f"{len(closest)} best trials {lie} at this end, and {beyond} values were not tried"
                )
                yield Finding("edge", hp.name, text, _override(hp, {argument: value}))
                break


def _on_edge(hp: Hyperparameter, value: Value, end: int) -> bool:
    place = hp.place(value)
    return place >= 1 - EDGE if end else place <= EDGE


def _at(hp: Hyperparameter, place: float) -> Value:
    """The number at a place of the range, from 0 to 1: a whole number, or one on a step, where it has to be."""
    low, high = float(hp.bounds[0]), float(hp.bounds[1])
    if hp.logarithmic:
        return _tidy(hp, math.exp(math.log(low) + place * (math.log(high) - math.log(low))))
    value = low + place * (high - low)
    step = hp.arguments.get("step")
    return _tidy(hp, low + round((value - low) / step) * step if step else value)


def _tidy(hp: Hyperparameter, value: float) -> Value:
    return round(value) if hp.kind == "Int" or isinstance(hp.bounds[0], int) else float(f"{value:.3g}")


def _wider(hp: Hyperparameter, end: int) -> Iterator[tuple[str, Any]]:
    """Wider ranges, the widest first: twice as far (on a logarithmic scale half as far again), or a fifth wider."""
    low, high = float(hp.bounds[0]), float(hp.bounds[1])
    ratio = math.sqrt(high / low) if hp.logarithmic else 2.0
    bold = high * ratio if end else low / ratio
    if end and not hp.logarithmic and hp.kind == "Float" and high <= 1 < bold:
        bold = (1 + high) / 2  # it may be a share, which must not exceed 1
    for value in (bold, high + 0.2 * (high - low) if end else low - 0.2 * (high - low)):
        beyond = _tidy(hp, value)
        if not (beyond > high if end else beyond < low):  # type: ignore[operator]
            continue
        if hp.kind == "Choice":
            yield "values", [*hp.arguments["values"], beyond] if end else [beyond, *hp.arguments["values"]]
        else:
            yield ("max_value" if end else "min_value"), beyond


def _accepted(model: Buildable, optimizer: Buildable, hp: Hyperparameter, changes: Mapping[str, Any]) -> bool:
    """Whether the builders accept the changed space. If they do not accept the recorded one, they cannot be asked."""
    parts = {"model": model, "optimizer": optimizer}
    if not _valid(parts):
        return True
    group, _, name = hp.key.split(".")
    part = parts[group]
    return _valid({**parts, group: replace(part, space={**part.space, name: {**part.space[name], **changes}})})


def _valid(parts: Mapping[str, Buildable]) -> bool:
    try:
        space.read(parts["model"], parts["optimizer"])
    except ConfigError:
        return False
    return True


# A hyperparameter that does not matter


def _irrelevant(record: SweepRecord, hp: Hyperparameter, importances: Importances) -> Iterator[Finding]:
    """Only a forest that predicts unseen trials ranks anything: otherwise a low importance would be no evidence."""
    for importance in importances.ranked:
        if importance.name == hp.name and importance.high < NEGLIGIBLE:
            value = record.ranking()[0].values[hp.name]
            text = (
                f"there is no evidence that {hp.name} matters: the 95 % interval of its importance ends at "
                f"{100 * max(0.0, importance.high):.0f} % of the objective's variance. If it is fixed, the trials can "
                "explore the other hyperparameters"
            )
            yield Finding("irrelevant", hp.name, text, shlex.quote(f"{hp.key}={_yaml(value)}"))


# A range that was never tried


def _untried(record: SweepRecord, hp: Hyperparameter) -> Iterator[Finding]:
    tried = [trial.values[hp.name] for trial in record.trials.values()]
    if hp.kind in ("Choice", "Boolean"):
        yield from _untried_values(hp, tried)
        return
    if len(tried) < FEWEST_FOR_A_GAP:
        return
    gap, low, high = _widest_gap(hp, tried)
    start, end = _at(hp, low), _at(hp, high)
    if gap > GAP and start < end:  # type: ignore[operator]
        scale = ", on its logarithmic scale" if hp.logarithmic else ""
        text = f"no trial had {hp.name} between {start} and {end}, {100 * gap:.0f} % of its range{scale}"
        changes = {"min_value": start, "max_value": end}
        if not start <= hp.default <= end:  # type: ignore[operator]
            changes["default"] = _at(hp, (low + high) / 2)
        yield Finding("untried", hp.name, text, _override(hp, changes))


def _untried_values(hp: Hyperparameter, tried: Sequence[Value]) -> Iterator[Finding]:
    values = hp.arguments.get("values", [False, True])
    missing = [value for value in values if value not in tried]
    if not missing:
        return
    text = f"no trial had {hp.name} at {' or '.join(str(value) for value in missing)}"
    if hp.kind == "Boolean":
        override = shlex.quote(f"{hp.key}={_yaml(missing[0])}")
    else:
        override = _override(hp, {"values": [v for v in values if v in missing or v == hp.default]})
    yield Finding("untried", hp.name, text, override)


def _widest_gap(hp: Hyperparameter, tried: Sequence[Value]) -> tuple[float, float, float]:
    """The widest gap between two neighbouring trials or an end of the range: its width, start and end as shares."""
    places = sorted({0.0, 1.0, *(min(1.0, max(0.0, hp.place(value))) for value in tried)})
    return max((b - a, a, b) for a, b in itertools.pairwise(places))


def _override(hp: Hyperparameter, changes: Mapping[str, Any]) -> str:
    return " ".join(shlex.quote(f"{hp.key}.{argument}={_yaml(value)}") for argument, value in changes.items())


def _yaml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(_yaml(item) for item in value)}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
