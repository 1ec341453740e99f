"""What `stopping=median` saves, and what it costs, on sweeps that ran without it.

    python -m tests.benchmarks.stopping outputs/<sweep>/<dataset> … [workers=2] [orders=1000] [trials=…] [grace=…]

The trials of a random search could as well have come in any other order: so many orders are drawn, the baseline always
first, and each is gone through with and without the bar, its workers beside each other and its epochs as long as they
were. Prints, over all orders: epochs and time with the bar, as a part of those without; how often it chose the same
trial; and by how much the chosen trial's validation and test accuracy differ (95 % interval of the mean).
"""

from __future__ import annotations

import heapq
import itertools
import random
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from omegaconf import DictConfig, OmegaConf

import conf
from sweeps import journal
from sweeps.journal import SweepRecord, TrialRecord
from sweeps.trials import early_stopping


class Outcome(NamedTuple):
    epochs: int
    seconds: float
    chosen: int


def main() -> None:
    given = dict(argument.split("=", 1) for argument in sys.argv[1:] if "=" in argument)
    median = OmegaConf.load(Path(conf.__file__).parent / "stopping" / "median.yaml")
    settings = OmegaConf.merge(
        median, {"workers": 2, "orders": 1000, "trials": 0}, {k: int(v) for k, v in given.items()}
    )
    assert isinstance(settings, DictConfig)
    for path in (Path(argument) for argument in sys.argv[1:] if "=" not in argument):
        record = SweepRecord(path, journal.read(path))
        print(path.parent.name, path.name, compared(record, settings), flush=True)


def compared(record: SweepRecord, settings: DictConfig) -> str:
    assert record.started is not None
    objective, epochs = record.started.objective, OmegaConf.create(record.config).epochs
    (baseline, *others), workers, orders = record.completed, settings.workers, settings.orders
    pairs = []
    for order in range(orders):
        drawn = random.Random(order).sample(others, (settings.trials or len(record.completed)) - 1)
        bar = early_stopping.Median(objective, epochs=epochs, grace=settings.grace, min_trials=settings.min_trials)
        pairs.append([gone_through([baseline, *drawn], objective, workers, median) for median in (None, bar)])

    def of(trial: int, metric: str) -> float:
        known = record.trials[trial]
        assert known.objective is not None
        return known.objective if metric == objective else known.test[metric]

    parts = [
        f"epochs {statistics.median(bar.epochs / plain.epochs for plain, bar in pairs):.2f}",
        f"time {statistics.median(bar.seconds / plain.seconds for plain, bar in pairs):.2f}",
        f"same choice {sum(plain.chosen == bar.chosen for plain, bar in pairs) / orders:.3f}",
    ]
    for metric in (objective, "test/accuracy"):
        gains = [of(bar.chosen, metric) - of(plain.chosen, metric) for plain, bar in pairs]
        margin = 1.96 * statistics.stdev(gains) / orders**0.5
        parts.append(f"{metric} {statistics.mean(gains):+.5f} ± {margin:.5f}, worst {min(gains):+.4f}")
    return "; ".join(parts)


def gone_through(
    trials: Sequence[TrialRecord], objective: str, workers: int, median: early_stopping.Median | None
) -> Outcome:
    """The sweep in this order: a trial starts when a worker is free, with the bar as it then is."""
    free = [(0.0, number) for number in range(workers)]
    running: list[tuple[float, int, list[float]]] = []  # until when, in which place of the order, its curve
    best: tuple[float, int] | None = None
    epochs = 0
    for place, trial in enumerate(trials):
        now, worker = heapq.heappop(free)
        while running and running[0][0] <= now:
            curve = heapq.heappop(running)[2]
            if median:
                median.add(curve)
        times = [trial.started_last, *trial.epoch_times]
        curve, bar = trial.curves[objective], median.bar() if median else ()
        ended = next(
            (n for n in range(1, len(curve)) if early_stopping.why_end(objective, curve[:n], None, bar)), len(curve)
        )
        epochs += ended
        until = now + sum(b - a for a, b in itertools.pairwise(times[: ended + 1]))
        heapq.heappush(running, (until, place, curve[:ended]))
        heapq.heappush(free, (until, worker))
        reached = curve[early_stopping.best_epoch(objective, curve[:ended]) - 1]
        if best is None or early_stopping.best_epoch(objective, [best[0], reached]) == 2:
            best = reached, trial.trial
    assert best is not None
    return Outcome(epochs, max(until for until, _ in free), best[1])


if __name__ == "__main__":
    main()
