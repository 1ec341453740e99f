"""The tasks whose curves are recorded: a network, a dataset that is cut, and a grid that has the network's defaults."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent
REPEATED = 30  # configurations that are trained with a second seed, so that noise is known

Grid = Mapping[str, Sequence[float]]

LSTM: Grid = {
    "embedding_dim": (50, 100, 200),
    "lstm_units": (20, 60, 100),
    "dropout": (0.0, 0.3, 0.6),
    "learning_rate": (0.0003, 0.001, 0.003, 0.006, 0.01),
}
CONV_LSTM: Grid = {
    "embedding_dim": (50, 100, 200),
    "conv_filters": (32, 64),
    "lstm_units": (20, 100),
    "dropout": (0.2, 0.5, 0.7),
    "learning_rate": (0.0003, 0.001, 0.003, 0.01),
}


class Task(NamedTuple):
    """One table of curves. The texts are the first of a fixed random order of each part."""

    model: str
    dataset: str
    grid: Grid
    maxlen: int
    batch_size: int
    train: int  # texts to learn from
    validation: int
    test: int
    epochs: int

    @property
    def name(self) -> str:
        return f"{self.model}_{self.dataset}"

    def configurations(self) -> list[dict[str, float]]:
        return [dict(zip(self.grid, values, strict=True)) for values in itertools.product(*self.grid.values())]

    def runs(self) -> list[tuple[int, int]]:
        """Return the configuration and the seed of each run: all with seed 0, then some with seed 1."""
        n = len(self.configurations())
        repeated = [round(place * (n - 1) / (REPEATED - 1)) for place in range(REPEATED)]
        return [(place, 0) for place in range(n)] + [(place, 1) for place in repeated]


TASKS = {
    task.name: task
    for task in (
        Task("lstm", "reuters", LSTM, 50, 50, train=3000, validation=1000, test=2246, epochs=12),
        Task("conv_lstm", "reuters", CONV_LSTM, 60, 50, train=3000, validation=1000, test=2246, epochs=12),
        Task("lstm", "imdb", LSTM, 50, 100, train=6000, validation=2000, test=5000, epochs=8),
        Task("conv_lstm", "imdb", CONV_LSTM, 100, 100, train=6000, validation=2000, test=5000, epochs=8),
        Task("lstm", "debian_en", LSTM, 40, 100, train=6000, validation=2000, test=4000, epochs=10),
        Task("lstm", "debian_ko", LSTM, 40, 50, train=2500, validation=800, test=842, epochs=12),
    )
}
# On these nothing is tuned: neither a method nor a default is chosen by what they show.
HELD_BACK = ("conv_lstm_reuters", "lstm_debian_en")
