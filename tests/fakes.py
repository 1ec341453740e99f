"""An engine without Dask and trials without Keras."""

from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from conf.schema import Job
from sweeps.errors import TrialFailedError
from sweeps.journal import Event, SweepRecord
from sweeps.metrics import CURVES, METRICS
from sweeps.plan import Plan
from sweeps.search import space
from sweeps.trials import early_stopping
from sweeps.trials.engine import Failed, Finished, Message, Started
from sweeps.trials.loading import named
from sweeps.trials.spec import Checkpoint, Cost, EpochReport, OnEpoch, TrialResult, TrialSpec

Trial = Callable[[TrialSpec, OnEpoch], TrialResult]


def result(spec: TrialSpec, curve: list[float], accuracy: float = 0.5, reason: str = "finished") -> TrialResult:
    """A trial all of whose curves took this course."""
    curves = {name: list(curve) for name in CURVES}
    best = int(np.argmax(curve)) + 1
    return TrialResult(
        curves=curves,
        objective=max(curve),
        best_epoch=best,
        test={f"test/{metric.name}": 1.0 if metric.name == "loss" else accuracy for metric in METRICS},
        cost=Cost(
            seconds=1.0,
            epochs=len(curve) - spec.initial_epoch,
            parameters=10,
            peak_rss_mb=1.0,
            predict_seconds=0.1,
            model_megabytes=0.5,
        ),
        reason=reason,
        checkpoint=Checkpoint([np.array([spec.trial])], [np.array([spec.epochs])], [np.zeros(2)], curves),
    )


def learn(spec: TrialSpec, on_epoch: OnEpoch) -> TrialResult:
    """A trial that improves with every epoch, and the more the larger its LSTM is. Of references it knows none."""
    if spec.reference:
        return []  # type: ignore[return-value]
    curve = list(spec.checkpoint.curves["val/accuracy"]) if spec.checkpoint else []
    for epoch in range(spec.initial_epoch, spec.epochs):
        curve.append(float(spec.values.get("lstm_units", 1)) / 1000 + epoch / 100)
        answer = on_epoch(
            EpochReport(spec.sweep, spec.trial, spec.attempt, epoch + 1, dict.fromkeys(CURVES, curve[-1]))
        )
        reason = answer or early_stopping.reason_to_end(spec.objective, curve, spec.patience, spec.bar)
        if reason:
            return result(spec, curve, reason=reason)
    return result(spec, curve)


class WorkerDiedError(Exception):
    """Raised by a fake trial to say that its worker is gone, and which host may be at fault."""

    def __init__(self, reason: str = "worker died", host: str = "") -> None:
        super().__init__(reason)
        self.host = host


class FakeEngine:
    """Runs each trial when the driver waits for it, oldest first."""

    def __init__(self, trial: Trial = learn, workers: int = 2) -> None:
        self._trial, self._workers = trial, workers
        self._out: deque[TrialSpec] = deque()
        self._messages: deque[Message] = deque()
        self.specs: list[TrialSpec] = []
        self.stopped: dict[str, str] = {}  # sweep -> reason
        self.killed: list[tuple[TrialSpec, str]] = []
        self.expected: list[int] = []

    @property
    def busy(self) -> int:
        return len(self._out) + sum(isinstance(m, Finished | Failed) for m in self._messages)

    @property
    def free(self) -> int:
        return self._workers - self.busy

    def expect(self, trials: int) -> None:
        self.expected.append(trials)

    def submit(self, function: str, spec: TrialSpec) -> None:
        self.specs.append(spec)
        self._out.append(spec)

    def stop(self, sweep: str, reason: str) -> None:
        self.stopped[sweep] = reason

    def kill(self, spec: TrialSpec, reason: str) -> None:
        self.killed.append((spec, reason))
        self._messages.append(Failed(spec, reason, "", lost=False))

    def call_when_idle(self, function: str) -> None:
        """Do nothing: this is no process of its own."""

    def call(self, function: str, *arguments: Any) -> Any:
        return named(function)(*arguments)

    def next(self, timeout: float) -> Message | None:
        if not self._messages:
            spec = self._out.popleft()
            self._messages.append(Started(spec))
            self._run(spec)
        return self._messages.popleft()

    def _run(self, spec: TrialSpec) -> None:
        def on_epoch(report: EpochReport) -> str | None:
            self._messages.append(report)
            return self.stopped.get(spec.sweep)

        try:
            self._messages.append(Finished(spec, self._trial(spec, on_epoch)))
        except TrialFailedError as error:
            self._messages.append(Failed(spec, str(error), "Traceback …", lost=False))
        except WorkerDiedError as error:
            self._messages.append(Failed(spec, str(error), "", lost=True, host=error.host))


class Recorder:
    """A listener that keeps everything it was told."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.caught_up: list[Event] = []
        self.closed = False

    def on_event(self, record: SweepRecord, event: Event) -> None:
        self.events.append(event)

    def catch_up(self, directory: Path, events: Sequence[Event]) -> None:
        self.caught_up += events

    def close(self) -> None:
        self.closed = True


def plan(job: Job, directory: Path = Path("outputs/sweep/imdb"), dataset: str = "imdb") -> Plan:
    return Plan(
        sweep=f"{directory.parent.name}/{dataset}",
        config=job.config,
        yaml=job.yaml,
        space=space.read(job.config.parts(dataset)),
        dataset=dataset,
        source="standin",
        digest="0123456789abcdef",
        directory=directory,
        load="nowhere.load",
    )
