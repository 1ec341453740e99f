"""What the search space did not give: the best value on its edge, a hyperparameter that does not matter, a range that
was never tried. Each finding comes with the override that mends it, ready to be pasted behind the sweep's command.
"""

from __future__ import annotations

import copy
import itertools
import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from conf.schema import Buildable, ConfigError
from sweeps.search import space
from sweeps.analysis.importance import Importances
from sweeps.journal import SweepRecord
from sweeps.search.space import Hyperparameter
from conf.schema import Value

FEWEST = 4  # trials; with fewer, half of all values lie on an edge and most of every range is untried
EDGE = 0.02  # of the range: nearer to its end is on it
GAP = 1 / 3  # of the range without a trial
# Among n uniform draws a gap of a third is rarer than 5 % from ten draws on; with fewer it says nothing.
FEWEST_FOR_A_GAP = 10
NEGLIGIBLE = 0.05  # of the objective's variance: an importance that is surely less does not matter
CLOSE = 5  # of the best trials are looked at beside the best one


class Finding(NamedTuple):
    kind: str  # edge | irrelevant | untried
    name: str
    text: str
    override: str  # for a shell


def findings(record: SweepRecord, config: Mapping[str, Any], importances: Importances) -> list[Finding]:
    """Of a sweep with the stored configuration `config`."""
    searched = space.recorded(config)
    found = []
    if len(record.ranking()) >= FEWEST:
        found += [finding for hp in searched for finding in _edge(record, config, hp)]
        found += [finding for hp in searched for finding in _irrelevant(record, hp, importances)]
    if len(record.trials) >= FEWEST:
        found += [finding for hp in searched for finding in _untried(record, hp)]
    return found


# The best value on the edge of its range


def _edge(record: SweepRecord, config: Mapping[str, Any], hp: Hyperparameter) -> Iterator[Finding]:
    if hp.kind == "Boolean" or isinstance(hp.bounds[0], str) or hp.bounds[0] == hp.bounds[1]:
        return
    ranking = record.ranking()
    for end, word in ((0, "smallest"), (1, "largest")):
        if not _on_edge(hp, ranking[0].values[hp.name], end):
            continue
        for argument, value in _beyond(hp, end):
            if _accepted(config, hp, {argument: value}):
                among = sum(_on_edge(hp, trial.values[hp.name], end) for trial in ranking[:CLOSE])
                text = (
                    f"the best trial has the {word} {hp.name} there is ({ranking[0].values[hp.name]}), as "
                    f"{'has' if among == 1 else 'have'} {among} of the {len(ranking[:CLOSE])} best; "
                    "what lies beyond was not tried"
                )
                yield Finding("edge", hp.name, text, _override(hp, {argument: value}))
                break


def _on_edge(hp: Hyperparameter, value: Value, end: int) -> bool:
    place = hp.place(value)
    return place >= 1 - EDGE if end else place <= EDGE


def _at(hp: Hyperparameter, place: float) -> Value:
    """The number at a place of its range: a whole one, and on its steps, where it has to be."""
    low, high = float(hp.bounds[0]), float(hp.bounds[1])
    if hp.logarithmic:
        return _tidy(hp, math.exp(math.log(low) + place * (math.log(high) - math.log(low))))
    value = low + place * (high - low)
    step = hp.arguments.get("step")
    return _tidy(hp, low + round((value - low) / step) * step if step else value)


def _tidy(hp: Hyperparameter, value: float) -> Value:
    return round(value) if hp.kind == "Int" or isinstance(hp.bounds[0], int) else float(f"{value:.3g}")


def _beyond(hp: Hyperparameter, end: int) -> Iterator[tuple[str, Any]]:
    """Wider ranges, the boldest first: twice as far (on a logarithmic scale half as much again), or a little."""
    low, high = float(hp.bounds[0]), float(hp.bounds[1])
    ratio = math.sqrt(high / low) if hp.logarithmic else 2.0
    bold = high * ratio if end else low / ratio
    if end and not hp.logarithmic and hp.kind == "Float" and high <= 1 < bold:
        bold = (1 + high) / 2  # a share: towards 1
    for value in (bold, high + 0.2 * (high - low) if end else low - 0.2 * (high - low)):
        beyond = _tidy(hp, value)
        if not (beyond > high if end else beyond < low):  # type: ignore[operator]
            continue
        if hp.kind == "Choice":
            yield "values", [*hp.arguments["values"], beyond] if end else [beyond, *hp.arguments["values"]]
        else:
            yield ("max_value" if end else "min_value"), beyond


def _accepted(config: Mapping[str, Any], hp: Hyperparameter, changes: Mapping[str, Any]) -> bool:
    """Whether the builders would take it, as far as they are here to be asked."""
    try:
        _read(config)
    except ConfigError:
        return True
    changed = copy.deepcopy(dict(config))
    group, _, name = hp.key.split(".")
    changed[group]["space"][name] |= changes
    try:
        _read(changed)
    except ConfigError:
        return False
    return True


def _read(config: Mapping[str, Any]) -> None:
    model, optimizer = (
        Buildable(config[group]["name"], config[group]["build"], config[group]["space"])
        for group in ("model", "optimizer")
    )
    space.read(model, optimizer)


# A hyperparameter that does not matter


def _irrelevant(record: SweepRecord, hp: Hyperparameter, importances: Importances) -> Iterator[Finding]:
    """Only where the forest foretells something: that it found nothing does not say that there is nothing."""
    for importance in importances.ranked:
        if importance.name == hp.name and importance.high < NEGLIGIBLE:
            value = record.ranking()[0].values[hp.name]
            text = (
                f"nothing says that {hp.name} matters: shuffled, it costs at most {max(0.0, importance.high):.0%} of "
                "the objective's variance; fixed, it leaves the trials to the others"
            )
            yield Finding("irrelevant", hp.name, text, shlex.quote(f"{hp.key}={_yaml(value)}"))


# A range never sampled


def _untried(record: SweepRecord, hp: Hyperparameter) -> Iterator[Finding]:
    tried = [trial.values[hp.name] for trial in record.trials.values()]
    if hp.kind in ("Choice", "Boolean"):
        values = hp.arguments.get("values", [False, True])
        missing = [value for value in values if value not in tried]
        if missing:
            text = f"no trial had {hp.name} at {' or '.join(str(value) for value in missing)}"
            if hp.kind == "Boolean":
                yield Finding("untried", hp.name, text, shlex.quote(f"{hp.key}={_yaml(missing[0])}"))
            else:
                kept = [value for value in values if value in missing or value == hp.default]
                yield Finding("untried", hp.name, text, _override(hp, {"values": kept}))
        return
    if len(tried) < FEWEST_FOR_A_GAP:
        return
    gap, low, high = _widest_gap(hp, tried)
    start, end = _at(hp, low), _at(hp, high)
    if gap > GAP and start < end:  # type: ignore[operator]
        text = f"no trial had {hp.name} between {start} and {end}, {gap:.0%} of its range"
        changes = {"min_value": start, "max_value": end}
        if not start <= hp.default <= end:  # type: ignore[operator]
            changes["default"] = _at(hp, (low + high) / 2)
        yield Finding("untried", hp.name, text, _override(hp, changes))


def _widest_gap(hp: Hyperparameter, tried: Sequence[Value]) -> tuple[float, float, float]:
    """How wide, from where to where; as shares of the range."""
    places = sorted({0.0, 1.0, *(min(1.0, max(0.0, hp.place(value))) for value in tried)})
    return max((b - a, a, b) for a, b in itertools.pairwise(places))


def _override(hp: Hyperparameter, changes: Mapping[str, Any]) -> str:
    return " ".join(shlex.quote(f"{hp.key}.{argument}={_yaml(value)}") for argument, value in changes.items())


def _yaml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(_yaml(item) for item in value)}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
