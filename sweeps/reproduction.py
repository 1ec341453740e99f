"""The comparison of a trial with its repetition: whether the numbers are equal, and if not, where they part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from sweeps.journal import SweepRecord, TrialRecord
from sweeps.journal.events import Environment
from sweeps.plan import Plan, as_final
from sweeps.trials.engine import Failed
from sweeps.trials.spec import TrialResult, TrialSpec

OUT_OF_MEMORY = "out of memory"


NAMED = 10  # files in a list


class Difference(NamedTuple):
    """A number that differs from the recorded one."""

    epoch: int  # 0 for a number of the whole trial
    metric: str
    recorded: float | None
    now: float | None


def spec(plan: Plan, record: SweepRecord, trial: TrialRecord) -> TrialSpec:
    """Return a spec of the epochs that the trial ran, in one go; whatever ended it then does not end the repetition."""
    fresh = plan.spec(trial.trial, trial.values, 0, trial.epochs_run or trial.epochs)
    fresh = fresh._replace(seed=trial.seed, patience=None)
    if trial.origin is None:
        return fresh
    objective = record.started.objective
    return as_final(fresh, objective=objective, seed=trial.seed, origin=trial.origin, shuffled=trial.shuffled)


def differences(trial: TrialRecord, result: TrialResult) -> list[Difference]:
    """List every recorded number that differs in any bit, epoch by epoch, then those of the test.

    Metrics that were not recorded are not compared.
    """
    numbers = [
        Difference(epoch + 1, name, _at(curve, epoch), _at(result.curves.get(name, []), epoch))
        for epoch in range(max(trial.epochs_run, len(result.curves["train/loss"])))
        for name, curve in trial.curves.items()
    ]
    numbers += [Difference(0, name, value, result.test.get(name)) for name, value in trial.test.items()]
    return [number for number in numbers if number.recorded != number.now]


def _at(curve: Sequence[float], epoch: int) -> float | None:
    return curve[epoch] if epoch < len(curve) else None


def recorded_environment(record: SweepRecord, trial: TrialRecord) -> Environment:
    """Return the environment of the process that ran the trial; a resumed sweep had several processes."""
    return record.session_starts[trial.session].environment


def environment_differences(recorded: Environment, now: Environment) -> list[str]:
    """Describe, in a line each, the properties that differ, as far as they were recorded."""
    lines = [
        f"{name}: {before or 'absent'} then, {after or 'absent'} now"
        for name, before, after in _properties(recorded, now)
        if before != after
    ]
    lines += _code_differences(recorded.code, now.code)
    if recorded.git_diff != now.git_diff:
        lines.append(
            "uncommitted changes: "
            f"{len(recorded.git_diff.splitlines())} lines of diff then, {len(now.git_diff.splitlines())} now"
        )
    return lines


def _code_differences(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Name the files whose content differs; older journals recorded none."""
    lines = [
        f"{name} differs from the one that trained" if name in now
        else f"{name} is missing, it was there when the trial was trained"
        for name in then if now.get(name) != then[name]
    ]  # fmt: skip
    lines += [
        f"{name} is new, it was not there when the trial was trained" for name in now if then and name not in then
    ]
    more = len(lines) - NAMED
    return [*lines[:NAMED], f"{more} more files differ"] if more > 0 else lines


def _properties(recorded: Environment, now: Environment) -> Iterator[tuple[str, str | None, str | None]]:
    """Yield the name of each property of an environment, what was recorded of it, and what it is now."""
    for then, today in ((recorded.versions, now.versions), (recorded.machine, now.machine)):
        for name in then and (dict(then) | dict(today)):  # older journals do not have all of it
            yield name, then.get(name), today.get(name)
    yield "git commit", recorded.git_commit, now.git_commit


def in_words(trial: TrialRecord, outcome: TrialResult | Failed) -> tuple[bool, list[str]]:
    """Return whether the trial is reproduced, and a line for each epoch and for the test."""
    if isinstance(outcome, Failed):
        same = trial.failed and _kind(trial.reason) == _kind(outcome.reason)
        return same, [f"failed: {outcome.reason}; {'as' if same else 'unlike'} the recorded trial"]
    if trial.failed:
        return False, [f"completed, but the recorded trial failed: {trial.reason}"]
    different = differences(trial, outcome)
    epochs = range(1, max(trial.epochs_run, len(outcome.curves["train/loss"])) + 1)
    lines = [_line(f"epoch {epoch}", [d for d in different if d.epoch == epoch]) for epoch in epochs]
    if trial.test:
        lines.append(_line(f"test, after epoch {trial.best_epoch}", [d for d in different if d.epoch == 0]))
    return not different, lines


def _kind(reason: str) -> str:
    """Return a reason without the sizes of a worker that took too much memory: they are never the same again."""
    return OUT_OF_MEMORY if reason.startswith(OUT_OF_MEMORY) else reason


def _line(subject: str, different: Sequence[Difference]) -> str:
    if not different:
        return f"{subject}: equal to the last bit"
    parts = ", ".join(f"{d.metric} {_number(d.recorded)} then, {_number(d.now)} now" for d in different)
    return f"{subject}: differs: {parts}"


def _number(value: float | None) -> str:
    return "absent" if value is None else repr(value)
