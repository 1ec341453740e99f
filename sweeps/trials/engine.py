"""The protocol between the driver and wherever trials run.

A worker runs one trial at a time. It says when it has started, sends a `StepReport` now and then and an `EpochReport`
after each epoch, and returns the result; all of these arrive in `Engine.next`, in no promised order.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from sweeps.trials.spec import EpochReport, StepReport, TrialSpec

OUT_OF_MEMORY = "out of memory"  # the beginning of the reason of a failure for want of it


class Started(NamedTuple):
    """The trial is now on a worker that has imported everything it needs."""

    spec: TrialSpec


class Finished(NamedTuple):
    """The function returned."""

    spec: TrialSpec
    result: Any  # for a trial a `TrialResult`


class Failed(NamedTuple):
    """The function did not return. `lost` means that the worker died and the trial may be innocent.

    `host` names a host that may be at fault, where others are left on which the trial has not failed: then it is to be
    tried again, however often that was done.
    """

    spec: TrialSpec
    reason: str
    traceback: str
    lost: bool
    host: str = ""


Message = Started | StepReport | EpochReport | Finished | Failed


class Engine(Protocol):
    """The part of an engine that the driver needs."""

    @property
    def free(self) -> int:
        """The number of workers without a trial."""

    @property
    def busy(self) -> int:
        """The number of trials that are out."""

    def expect(self, trials: int) -> None:
        """Take in how many trials, at most, are out or have yet to begin: some engines have no more workers."""

    def submit(self, function: str, spec: TrialSpec) -> None:
        """Run `function(spec, on_epoch)`, given by its dotted name, on a worker."""

    def stop(self, sweep: str, reason: str) -> None:
        """Let the running trials of a sweep end with their current epoch, as completed, for this reason."""

    def kill(self, spec: TrialSpec, reason: str) -> None:
        """End a trial's worker at once; the trial then has failed for this reason."""

    def next(self, timeout: float) -> Message | None:
        """Wait up to `timeout` seconds for the next message."""


class Caller(Protocol):
    """The part of an engine that calls other functions than trials."""

    def call_when_idle(self, function: str) -> None:
        """Let a worker call a function without arguments, given by its dotted name, once it has nothing else to do."""

    def call(self, function: str, *arguments: Any) -> Any:
        """Call a function, given by its dotted name, and return what it returns or raise what it raises.

        A worker of this machine does so, which has TensorFlow loaded and mostly what `call_when_idle` was given; this
        process where there is none.
        """
