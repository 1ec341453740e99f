"""The axes of hyperparameters: categories have their names, and a tick stands at nothing that cannot be."""

from typing import Any

import pytest

from sweeps.analysis.summary import SweepSummary
from sweeps.report.figures import scale, search, style
from sweeps.search.space import Hyperparameter
from tests import records


def hyperparameter(kind: str, **arguments: Any) -> Hyperparameter:
    return Hyperparameter(f"model.space.{kind}", kind, kind, arguments)


def ticks(hp: Hyperparameter) -> list[str]:
    figure, axes = style.canvas()
    scale.prepare(axes, hp)
    figure.draw_without_rendering()
    low, high = axes.get_xlim()
    shown = zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
    return [label.get_text() for place, label in shown if low <= place <= high]


@pytest.mark.parametrize(
    ("kind", "arguments", "expected"),
    [
        ("Choice", {"values": [100, 400, 1000], "default": 100}, ["100", "400", "1000"]),
        ("Choice", {"values": ["relu", "$x_1$"], "default": "relu"}, ["relu", "$x_1$"]),
        ("Choice", {"values": [0.1], "default": 0.1}, ["0.1"]),
        ("Boolean", {"default": False}, ["False", "True"]),
        ("Int", {"min_value": 1, "max_value": 3, "default": 1}, ["1", "2", "3"]),
        ("Int", {"min_value": 20, "max_value": 200, "step": 20, "default": 100}, ["20", "60", "100", "140", "180"]),
        ("Int", {"min_value": 1, "max_value": 64, "sampling": "log", "default": 8}, ["1", "2", "5", "10", "20", "50"]),
        ("Int", {"min_value": 8, "max_value": 64, "step": 2, "sampling": "log", "default": 8}, ["8", "16", "32", "64"]),
        ("Int", {"min_value": 3, "max_value": 4, "sampling": "log", "default": 3}, ["3", "4"]),
        ("Float", {"min_value": 0.0, "max_value": 0.3, "step": 0.1, "default": 0.1}, ["0", "0.1", "0.2", "0.3"]),
        (
            "Float",
            {"min_value": 0.001, "max_value": 0.01, "sampling": "log", "default": 0.01},
            ["0.001", "0.002", "0.005", "0.01"],
        ),
    ],
)
def test_ticks_stand_only_where_values_can_be(kind: str, arguments: dict[str, Any], expected: list[str]) -> None:
    assert ticks(hyperparameter(kind, **arguments)) == expected


def test_a_scale_that_is_logarithmic_says_so_and_categories_have_none() -> None:
    log = {"min_value": 1, "max_value": 64, "sampling": "log", "default": 8}
    assert scale.in_words(hyperparameter("Int", **log)) == "whole number, logarithmic"
    assert scale.in_words(hyperparameter("Choice", values=[1, 10], default=1)) == "choice"


def test_categories_stand_at_equal_distances_and_their_trials_beside_each_other() -> None:
    hp = hyperparameter("Choice", values=[100, 400, 1000], default=100)
    assert [scale.place(hp, value) for value in (100, 400, 1000)] == [0, 0.5, 1]
    places = {scale.position(hp, 400, trial) for trial in range(1, 6)}
    assert len(places) == 5
    assert all(abs(place - 1) < 0.2 for place in places)


@pytest.mark.parametrize("last", [1, 2, 5, 100])
def test_numbers_of_epochs_and_trials_are_whole_and_begin_with_one(last: int) -> None:
    figure, axes = style.canvas()
    axes.plot(range(1, last + 1), [0.5] * last)
    style.whole(axes.xaxis, last)
    figure.draw_without_rendering()
    low, high = axes.get_xlim()
    shown = [tick for tick in axes.get_xticks() if low <= tick <= high]
    assert shown
    assert all(tick == round(tick) and 1 <= tick <= last for tick in shown)


def test_of_several_networks_what_all_have_is_drawn_and_each_one_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(style, "png", lambda figure: b"")
    sweep = SweepSummary.of(records.several(9, accuracy=lambda values, rng: rng.random()))
    drawn = {figure.name: figure.csv.decode().splitlines() for figure in search.parallel(sweep)}
    assert {name: (rows[0], len(rows) - 1) for name, rows in drawn.items()} == {
        "parallel": ("trial,model,learning_rate,val/accuracy", 9),
        "parallel-bag": ("trial,bag.embedding_dim,bag.dropout,learning_rate,val/accuracy", 5),
        "parallel-lstm": ("trial,lstm.embedding_dim,lstm.lstm_units,lstm.dropout,learning_rate,val/accuracy", 4),
    }
    assert all(",," not in row for rows in drawn.values() for row in rows)
    slices = {figure.name for figure in search.slices(sweep)}
    assert {"slice-model", "slice-bag_dropout", "slice-lstm_dropout", "slice-lstm_lstm_units"} <= slices
