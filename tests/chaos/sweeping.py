"""The command with trials that take seconds and train nothing: python -m tests.chaos.sweeping COMMAND ARGUMENTS"""

from __future__ import annotations

import os
import signal
import sys
import time

import numpy as np

from pipelines.data.corpus import Corpus, Documents
from sweeps.trials.references import NAMES
from sweeps.trials.spec import EpochReport, OnEpoch, Predictions, Reference, TrialResult, TrialSpec
from tests.fakes import learn

EPOCH = 1.0  # seconds
LABELS = np.arange(10) % 2
ANSWERS = Predictions(LABELS.astype(np.uint8), LABELS.astype(np.uint8))


def read(*, url: str, sha256: str) -> Corpus:
    """Return a dataset that needs no file, whatever the address of the real one is."""
    documents = [[number] for number in range(1, len(LABELS) + 1)]
    return Corpus("chaos", "standin", lambda: Documents(documents, LABELS, documents, LABELS))


def references() -> list[Reference]:
    scores = {"val/accuracy": 1.0, "test/accuracy": 1.0}
    return [Reference(name, 1.0, scores, 0.01, len(LABELS), ANSWERS) for name in NAMES]


def trial(spec: TrialSpec, on_epoch: OnEpoch) -> TrialResult | list[Reference]:
    """Run on a worker in place of a trial, or of references; where FRAGILE is set, the worker does not survive it."""
    if os.environ.get("FRAGILE"):
        os.kill(os.getpid(), signal.SIGKILL)
    if spec.reference:
        time.sleep(EPOCH)
        return references()

    def after(report: EpochReport) -> str | None:
        time.sleep(EPOCH)
        return on_epoch(report)

    return learn(spec, after)


def main() -> None:
    from pipelines import sweep, sync
    from sweeps.trials.dask_engine.engine import DaskEngine

    submit = DaskEngine.submit
    DaskEngine.submit = lambda engine, _, spec: submit(engine, "tests.chaos.sweeping.trial", spec)  # type: ignore[method-assign]
    DaskEngine.warm_up = lambda *_: None  # type: ignore[method-assign]
    command, *sys.argv[1:] = sys.argv[1:]
    {"sweep": sweep.main, "sync": sync.main}[command]()


if __name__ == "__main__":
    main()
