"""Whether the trials of a sweep had epochs enough to be compared."""

from __future__ import annotations

from collections.abc import Iterator

from sweeps.journal import SweepRecord


def sentences(record: SweepRecord) -> Iterator[str]:
    """Say so if most trials, and the best of them, were best in the last epoch that the sweep allows."""
    best, ranking = record.best, record.ranking()
    if best is None or record.started.source == "standin":  # generated data are no reason for anything
        return
    if record.started.held_out == "test":  # the last epoch counts, whichever is best
        return
    last = max(trial.epochs for trial in ranking)
    rising = [trial.trial for trial in ranking if trial.best_epoch == last]
    if best.trial not in rising or 2 * len(rising) <= len(ranking):
        return
    if len(ranking) == 1:
        said = "The only trial was best in its last epoch: it might still have improved"
    else:
        said = (
            f"{len(rising)} of {len(ranking)} trials, the best among them, were best in their last epoch: they might "
            "still have improved, and those that learn fast may rank too high"
        )
    yield f"{said}. Try epochs={2 * last}."
