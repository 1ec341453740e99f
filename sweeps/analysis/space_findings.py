"""Findings about the search space: the best value on the edge of its range, a hyperparameter that does not matter, a
range that was never tried.

Each finding comes with the override that corrects it, ready to be pasted behind the sweep's command. A hyperparameter
has one finding at most, so that no advice contradicts another, and only what chance would show in fewer than 5 % of
sweeps without an effect is a finding.
"""

from __future__ import annotations

import itertools
import math
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from conf.schema import NETWORK, ConfigError, Parts, Value
from sweeps.analysis.importance import Importances, enough
from sweeps.analysis.statistics import LEVEL
from sweeps.analysis.wording import percent
from sweeps.journal import SweepRecord, TrialRecord
from sweeps.search import space
from sweeps.search.space import Hyperparameter

OWN_END = ("finished", "patience")  # reasons; any other end came from outside, and the objective might have grown
EDGE = 0.1  # of the range: a value nearer to an end lies at the edge
GAP = 1 / 3  # of the range without a trial
NEGLIGIBLE = 0.05  # of the objective's variance: an importance that is surely less does not matter
CLOSE = 5  # best trials among which those at the same edge are counted
PLAIN = re.compile(r"(?!(?:null|true|false|yes|no|on|off|nan|inf)$)[A-Za-z_]\w*", re.ASCII | re.IGNORECASE)


class Finding(NamedTuple):
    """A sentence without its full stop, and the arguments for a shell that correct what it says."""

    kind: str  # edge | irrelevant | untried
    name: str
    text: str
    override: str


def findings(record: SweepRecord, parts: Parts, importances: Importances) -> list[Finding]:
    """Return the findings about the spaces of the recorded `parts`."""
    searched = space.recorded(parts)
    if silence(record, len(searched)):
        return []
    result = []
    negligible = {importance.name for importance in importances.ranked if importance.high < NEGLIGIBLE}
    for hp in searched:
        trials = [trial for trial in comparable(record) if hp.value(trial.values) is not None]
        if len(trials) < enough(sum(other.network in ("", hp.network) for other in searched)):
            continue  # of a network that had few of the trials
        edge = () if hp.label in negligible and not hp.network else _edge(trials, parts, hp, len(searched))
        others = _untried(record, hp, len(searched)), _irrelevant(trials[0], hp, importances)
        result += list(itertools.islice(itertools.chain(edge, *others), 1))
    return result


def silence(record: SweepRecord, searched: int) -> str:
    """Say why there is no advice on a space of so many searched hyperparameters; empty if there can be some."""
    if record.started.source == "standin":
        return "the data were generated, so they are no reason to change the space"
    trials, needed = len(comparable(record)), enough(searched)
    if trials < needed:
        return f"too few trials to advise: {trials} ran to their own end, {searched} hyperparameters need {needed}"
    return ""


def comparable(record: SweepRecord) -> list[TrialRecord]:
    """Return the completed trials that nothing ended from outside, best objective first."""
    return [trial for trial in record.ranking() if trial.reason in OWN_END]


# The best value on the edge of its range


def _edge(trials: Sequence[TrialRecord], parts: Parts, hp: Hyperparameter, searched: int) -> Iterator[Finding]:
    if hp.kind == "Boolean" or isinstance(hp.bounds[0], str) or hp.bounds[0] == hp.bounds[1]:
        return
    best = trials[0].values[hp.name]
    whose = f" of {hp.network}" if hp.network else ""
    for end, side, beyond in ((0, "lower", "smaller"), (1, "upper", "larger")):
        if not _crowded(trials, hp, end, searched):
            continue
        for argument, value in _wider(hp, end):
            if _accepted(parts, hp, {argument: value}):
                count = sum(_at_edge(hp, trial.values[hp.name], end) for trial in trials[:CLOSE])
                text = (
                    f"the best trial{whose} has {hp.name}={best}, at the {side} end of its range, as have {count} of "
                    f"the {CLOSE} best trials, more than chance explains; {beyond} values were not tried"
                )
                yield Finding("edge", hp.label, text, _override(hp, {argument: value}))
                break


def _crowded(trials: Sequence[TrialRecord], hp: Hyperparameter, end: int, searched: int) -> bool:
    """Whether more of the best trials lie at an end of the range than chance explains (Fisher's exact test).

    Trials that tie with the best or with the last of the best ones count as they do.
    """
    there = {trial.trial for trial in trials if _at_edge(hp, trial.values[hp.name], end)}
    best = {trial.trial for trial in trials if trial.objective == trials[0].objective}
    close = {trial.trial for trial in trials[:CLOSE]}
    close |= {trial.trial for trial in trials if trial.objective == trials[CLOSE - 1].objective}
    chance = _chance(len(close & there), len(close), len(there), len(trials))
    return best <= there and _rare(chance, 2 * searched)


def _chance(hits: int, drawn: int, marked: int, n: int) -> float:
    """Return the probability of at least so many marked ones among `drawn` of `n` (hypergeometric)."""
    ways = sum(math.comb(marked, k) * math.comb(n - marked, drawn - k) for k in range(hits, min(drawn, marked) + 1))
    return ways / math.comb(n, drawn)


def _rare(chance: float, questions: int) -> bool:
    """Whether an observation is rarer than 5 % even if so many are looked at (Bonferroni)."""
    return chance < (1 - LEVEL) / questions


def _at_edge(hp: Hyperparameter, value: Value, end: int) -> bool:
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


def _accepted(parts: Parts, hp: Hyperparameter, changes: Mapping[str, Any]) -> bool:
    """Whether the builders and the dataset accept the changed space."""
    section = hp.key.removesuffix(f".space.{hp.name}")
    part = parts[section]
    changed = replace(part, space={**part.space, hp.name: {**part.space[hp.name], **changes}})
    try:
        space.read({**parts, section: changed})
    except ConfigError:
        return False
    return True


# A hyperparameter that does not matter


def _irrelevant(best: TrialRecord, hp: Hyperparameter, importances: Importances) -> Iterator[Finding]:
    """Only a forest that predicts unseen trials ranks anything: otherwise a low importance would be no evidence.

    A hyperparameter of one of several networks may matter within it, although networks differ by more.
    """
    for importance in importances.ranked:
        if importance.name == hp.label and importance.high < NEGLIGIBLE and not hp.network:
            value = best.values[hp.name]
            end = math.floor(100 * max(0.0, importance.high)) + 1
            text = (
                f"there is no evidence that {hp.name} matters: the 95 % interval of its importance ends below {end} % "
                "of the objective's variance. If it is fixed, the trials can explore the other hyperparameters"
            )
            yield Finding("irrelevant", hp.name, text, shlex.quote(f"{hp.key}={_yaml(value)}"))


# A range that was never tried


def _untried(record: SweepRecord, hp: Hyperparameter, searched: int) -> Iterator[Finding]:
    """A failed trial has tried its values too."""
    values = (hp.value(trial.values) for trial in record.trials.values())
    tried = [value for value in values if value is not None]
    if hp.key == NETWORK:
        return  # the defaults of each network come first
    if hp.kind in ("Choice", "Boolean"):
        yield from _untried_values(hp, tried, searched)
        return
    gap, low, high = _widest_gap(hp, tried)
    start, end = _at(hp, low), _at(hp, high)
    # The chance of so wide a gap among n uniform draws is at most this (Bonferroni over the n + 1 spacings).
    is_rare = _rare((len(tried) + 1) * (1 - gap) ** len(tried), searched)
    if gap > GAP and is_rare and (start, end) != hp.bounds:
        scale = ", on its logarithmic scale" if hp.logarithmic else ""
        text = f"no trial had {hp.label} between {start} and {end}, {percent(gap)} of its range{scale}"
        changes = {"min_value": start, "max_value": end}
        if not start <= hp.default <= end:  # type: ignore[operator]
            changes["default"] = _at(hp, (low + high) / 2)
        yield Finding("untried", hp.label, text, _override(hp, changes))


def _untried_values(hp: Hyperparameter, tried: Sequence[Value], searched: int) -> Iterator[Finding]:
    values = hp.arguments.get("values", [False, True])
    missing = [value for value in values if value not in tried]
    n, left_out = len(values), len(missing)
    if not missing or not _rare(math.comb(n, left_out) * (1 - left_out / n) ** len(tried), searched):
        return
    text = f"no trial had {hp.label} at {' or '.join(str(value) for value in missing)}"
    if hp.kind == "Boolean":
        override = shlex.quote(f"{hp.key}={_yaml(missing[0])}")
    elif left_out == n - 1 and hp.default not in missing:  # the default alone was tried, so it can be left out
        override = _override(hp, {"values": missing, "default": missing[0]})
    else:
        override = _override(hp, {"values": [v for v in values if v in missing or v == hp.default]})
    yield Finding("untried", hp.label, text, override)


def _widest_gap(hp: Hyperparameter, tried: Sequence[Value]) -> tuple[float, float, float]:
    """The widest gap between two neighbouring trials or an end of the range: its width, start and end as shares.

    Between whole numbers, or steps, that were both tried there may be nothing left to try.
    """
    places = sorted({0.0, 1.0, *(min(1.0, max(0.0, hp.place(value))) for value in tried)})
    gaps = [
        (b - a, a, b)
        for a, b in itertools.pairwise(places)
        if any(_at(hp, place) not in tried for place in (a, (a + b) / 2, b))
    ]
    return max(gaps, default=(0.0, 0.0, 0.0))


def _override(hp: Hyperparameter, changes: Mapping[str, Any]) -> str:
    keys = {argument: f"{hp.key}.{argument}" for argument in changes} | {"default": hp.key_of_default}
    return " ".join(shlex.quote(f"{keys[argument]}={_yaml(value)}") for argument, value in changes.items())


def _yaml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(_yaml(item) for item in value)}]"
    if isinstance(value, str) and not PLAIN.fullmatch(value):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return str(value).lower() if isinstance(value, bool) else str(value)
