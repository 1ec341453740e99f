"""Whether a trial, trained again from what was recorded of it, gives the same numbers, and if not, where they part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from sweeps import environment
from sweeps.trials.engine import Failed
from sweeps.journal import SweepRecord, TrialRecord
from sweeps.plan import Plan
from sweeps.trials.spec import TrialResult, TrialSpec


class Environment(NamedTuple):
    """What a trial's numbers depend on besides its spec."""

    versions: Mapping[str, str]
    machine: Mapping[str, str]
    git_commit: str | None
    git_diff: str


class Difference(NamedTuple):
    """`epoch` 0: not of an epoch but of the whole trial."""

    epoch: int
    metric: str
    recorded: float | None
    now: float | None


def spec(plan: Plan, record: SweepRecord, trial: TrialRecord) -> TrialSpec:
    """Everything the trial ran, in one go and no further: whatever ended it then has no say now."""
    fresh = plan.spec(trial.trial, trial.values, 0, trial.epochs_run or trial.epochs)
    fresh = fresh._replace(seed=trial.seed, patience=None)
    if trial.origin is None:
        return fresh
    assert record.started is not None
    return fresh._replace(objective=record.started.objective, test_last_epoch=True, final=True, origin=trial.origin)


def differences(trial: TrialRecord, result: TrialResult) -> list[Difference]:
    """Every number that is not the recorded one to the last bit, epoch by epoch, then the test's."""
    found = []
    for epoch in range(max(trial.epochs_run, len(result.curves["train/loss"]))):
        for name in trial.curves | dict(result.curves):
            recorded, now = (_at(curves.get(name, []), epoch) for curves in (trial.curves, result.curves))
            if recorded != now:
                found.append(Difference(epoch + 1, name, recorded, now))
    for name, value in trial.test.items():
        if value != result.test.get(name):
            found.append(Difference(0, name, value, result.test.get(name)))
    return found


def _at(curve: list[float], epoch: int) -> float | None:
    return curve[epoch] if epoch < len(curve) else None


def recorded_environment(record: SweepRecord, trial: TrialRecord) -> Environment:
    """Of the process that ran the trial: a sweep that was resumed had several."""
    latest = [origin for origin in record.origins if origin.time <= trial.started_last][-1]
    return Environment(latest.versions, latest.machine, latest.git_commit, latest.git_diff)


def here() -> Environment:
    git = environment.git()
    return Environment(
        environment.versions(), environment.machine(), git.commit if git else None, git.diff if git else ""
    )


def environment_differences(recorded: Environment, now: Environment) -> list[str]:
    """A line for each thing that is not as it was, as far as it was recorded."""
    said = [
        f"{name}: {before or 'absent'} then, {after or 'absent'} now"
        for before, after, name in _pairs(recorded, now)
        if before != after
    ]
    if recorded.git_diff != now.git_diff:
        said.append(
            "uncommitted changes: "
            f"{len(recorded.git_diff.splitlines())} lines of diff then, {len(now.git_diff.splitlines())} now"
        )
    return said


def _pairs(recorded: Environment, now: Environment) -> Iterator[tuple[str | None, str | None, str]]:
    for then, today in ((recorded.versions, now.versions), (recorded.machine, now.machine)):
        for name in then and (dict(then) | dict(today)):  # nothing is said of what an older journal does not have
            yield then.get(name), today.get(name), name
    yield recorded.git_commit, now.git_commit, "git commit"


def in_words(trial: TrialRecord, outcome: TrialResult | Failed) -> tuple[bool, list[str]]:
    """Whether the trial is reproduced, and what there is to say, epoch by epoch."""
    if isinstance(outcome, Failed):
        same = trial.status == "failed" and trial.reason == outcome.reason
        return same, [f"failed: {outcome.reason}; {'as' if same else 'unlike'} the recorded trial"]
    if trial.status == "failed":
        return False, [f"completed, but the recorded trial failed: {trial.reason}"]
    found = differences(trial, outcome)
    epochs = range(1, max(trial.epochs_run, len(outcome.curves["train/loss"])) + 1)
    lines = [_line(f"epoch {epoch}", [d for d in found if d.epoch == epoch]) for epoch in epochs]
    if trial.test:
        lines.append(_line(f"test, after epoch {trial.best_epoch}", [d for d in found if d.epoch == 0]))
    return not found, lines


def _line(what: str, found: list[Difference]) -> str:
    if not found:
        return f"{what}: equal to the last bit"
    said = ", ".join(f"{d.metric} {_number(d.recorded)} then, {_number(d.now)} now" for d in found)
    return f"{what}: differs: {said}"


def _number(value: float | None) -> str:
    return "absent" if value is None else repr(value)
