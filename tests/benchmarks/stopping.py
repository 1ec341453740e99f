"""The savings and the cost of `stopping=median`, computed from sweeps that ran without it.

    python -m tests.benchmarks.stopping outputs/<sweep>/<dataset> … [workers=2] [orders=1000] [trials=…] [grace=…]

The trials of a random search could as well have come in any other order. So this draws many orders, the baseline always
first, and simulates each with and without the bar, with parallel workers and epochs as long as they were. Prints, over
all orders: epochs and time with the bar, as a share of those without; how often both choose the same trial; and the
difference in the chosen trial's validation and test accuracy (95 % interval of the mean).
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
from sweeps import journal, metrics
from sweeps.journal import SweepRecord, TrialRecord
from sweeps.trials import early_stopping


class Outcome(NamedTuple):
    epochs: int
    seconds: float
    chosen: int


def main() -> None:
    options = dict(argument.split("=", 1) for argument in sys.argv[1:] if "=" in argument)
    median = OmegaConf.load(Path(conf.__file__).parent / "stopping" / "median.yaml")
    settings = OmegaConf.merge(
        median, {"workers": 2, "orders": 1000, "trials": 0}, {k: int(v) for k, v in options.items()}
    )
    assert isinstance(settings, DictConfig)
    for path in (Path(argument) for argument in sys.argv[1:] if "=" not in argument):
        record = SweepRecord.of(path, journal.read(path))
        print(path.parent.name, path.name, compared(record, settings), flush=True)


def compared(record: SweepRecord, settings: DictConfig) -> str:
    objective, epochs = record.started.objective, OmegaConf.create(record.config).epochs
    (baseline, *others), workers, orders = record.completed, settings.workers, settings.orders
    pairs = []
    for order in range(orders):
        drawn = random.Random(order).sample(others, (settings.trials or len(record.completed)) - 1)
        bar = early_stopping.Median(objective, epochs=epochs, grace=settings.grace, min_trials=settings.min_trials)
        pairs.append([simulated([baseline, *drawn], objective, workers, median) for median in (None, bar)])

    def value(number: int, metric: str) -> float:
        trial = record.trials[number]
        return trial.test[metric] if trial.objective is None or metric != objective else trial.objective

    parts = [
        f"epochs {statistics.median(bar.epochs / plain.epochs for plain, bar in pairs):.2f}",
        f"time {statistics.median(bar.seconds / plain.seconds for plain, bar in pairs):.2f}",
        f"same choice {sum(plain.chosen == bar.chosen for plain, bar in pairs) / orders:.3f}",
    ]
    for metric in (objective, "test/accuracy"):
        gains = [value(bar.chosen, metric) - value(plain.chosen, metric) for plain, bar in pairs]
        margin = 1.96 * statistics.stdev(gains) / orders**0.5
        parts.append(f"{metric} {statistics.mean(gains):+.5f} ± {margin:.5f}, worst {min(gains):+.4f}")
    return "; ".join(parts)


def simulated(
    trials: Sequence[TrialRecord], objective: str, workers: int, median: early_stopping.Median | None
) -> Outcome:
    """Run the sweep in this order: a trial starts when a worker is free, with the bar of that moment."""
    free = [(0.0, number) for number in range(workers)]
    running: list[tuple[float, int, list[float]]] = []  # the end, the place in the order, the curve
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
        stopped = (n for n in range(1, len(curve)) if early_stopping.reason_to_end(objective, curve[:n], None, bar))
        last = next(stopped, len(curve))
        epochs += last
        end = now + sum(b - a for a, b in itertools.pairwise(times[: last + 1]))
        heapq.heappush(running, (end, place, curve[:last]))
        heapq.heappush(free, (end, worker))
        reached = metrics.best(objective, curve[:last])
        if best is None or metrics.is_better(objective, reached, best[0]):
            best = reached, trial.trial
    assert best is not None
    return Outcome(epochs, max(end for end, _ in free), best[1])


if __name__ == "__main__":
    main()
