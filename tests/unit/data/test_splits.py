"""Splits of tables: no unit is divided, every part is drawn honestly, and the same seed gives the same split."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipelines.data import splits
from pipelines.data.splits import LEFT_OUT, TEST, TRAIN, VALIDATION, Rows


def divided(rows: Rows, *, duplicates: str = "apart", seed: int = 1, test: float = 0.2) -> NDArray[np.int8]:
    own = splits.units(rows, duplicates=duplicates)
    return splits.split(rows, own, test=test, validation=0.25, seed=seed)


def rows_of(labels: list[int], **columns: list[int] | None) -> Rows:
    texts = columns.pop("texts", None) or list(range(len(labels)))
    return Rows(
        np.array(labels),
        np.array(texts, dtype=np.uint64),
        **{name: np.array(values) for name, values in columns.items() if values is not None},
    )


def test_each_label_has_its_share_in_each_part() -> None:
    rows = rows_of([0] * 100 + [1] * 40)
    parts = divided(rows)
    counts = [[int(np.sum((parts == part) & (rows.y == label))) for part in (0, 1, 2)] for label in (0, 1)]
    assert counts == [[60, 20, 20], [24, 8, 8]]


def test_the_same_seed_gives_the_same_split_and_another_one_another() -> None:
    rows = rows_of([0, 1] * 50)
    assert divided(rows).tolist() == divided(rows).tolist()
    assert divided(rows).tolist() != divided(rows, seed=2).tolist()


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 15), st.integers(0, 15)), min_size=30, max_size=120))
def test_no_group_and_no_text_is_on_two_sides(table: list[tuple[int, int, int]]) -> None:
    labels, texts, groups = (list(column) for column in zip(*table, strict=True))
    rows = rows_of(labels, texts=texts, groups=groups)
    own = splits.units(rows, duplicates="apart")
    try:
        parts = splits.split(rows, own, test=0.2, validation=0.25, seed=1)
    except ValueError:  # everything hangs together
        return
    for column in (texts, groups):
        sides: dict[int, set[int]] = {}
        for value, part in zip(column, parts.tolist(), strict=True):
            sides.setdefault(value, set()).add(part)
        assert all(len(side) == 1 for side in sides.values())
    assert set(parts.tolist()) == {TRAIN, VALIDATION, TEST}


def test_groups_linked_by_a_text_stay_together() -> None:
    rows = rows_of([0] * 4, texts=[1, 2, 2, 3], groups=[7, 7, 8, 9])
    assert splits.units(rows, duplicates="apart").of_row.tolist() == [0, 0, 0, 1]
    assert len(splits.units(rows, duplicates="keep").size) == 3


def test_duplicates_may_be_kept() -> None:
    rows = rows_of([0] * 100, texts=[1] * 100)
    with pytest.raises(ValueError, match="no row is left for validation"):
        divided(rows)
    assert np.bincount(divided(rows, duplicates="keep")).tolist() == [60, 20, 20]


def test_the_latest_rows_are_tested_and_those_before_them_choose() -> None:
    rows = rows_of([0, 1] * 10, times=list(range(20, 0, -1)))
    parts = divided(rows)
    assert parts.tolist() == [TEST] * 4 + [VALIDATION] * 4 + [TRAIN] * 12


def test_rows_of_one_time_are_not_divided() -> None:
    rows = rows_of([0] * 10, times=[1, 2, 3, 4, 5, 6, 6, 6, 7, 7])
    assert divided(rows, test=0.3).tolist() == [TRAIN] * 5 + [VALIDATION] * 3 + [TEST] * 2


def test_a_given_test_set_stays_and_its_texts_are_left_out_of_train() -> None:
    rows = rows_of([0] * 8, texts=[1, 2, 3, 4, 5, 6, 1, 2], parts=[0, 0, 0, 0, 0, 1, 2, 2])
    assert divided(rows).tolist() == [LEFT_OUT, LEFT_OUT, TRAIN, TRAIN, TRAIN, VALIDATION, TEST, TEST]
    assert divided(rows, duplicates="keep").tolist() == [0, 0, 0, 0, 0, 1, 2, 2]


def test_a_label_of_three_texts_is_in_every_part() -> None:
    parts = divided(rows_of([0] * 300 + [1] * 3))
    assert sorted(parts[300:].tolist()) == [TRAIN, VALIDATION, TEST]


def test_labels_with_fewer_units_than_parts_are_rare() -> None:
    rows = rows_of([0, 0, 0, 1, 1, 2, 3, 3, 3], texts=[0, 1, 2, 3, 4, 5, 6, 6, 7])
    assert splits.rare(rows, splits.units(rows, duplicates="apart")).tolist() == [1, 2, 3]
    assert splits.rare(rows, splits.units(rows, duplicates="keep")).tolist() == [1, 2]


def test_a_large_group_does_not_fill_the_test_set_alone() -> None:
    rows = rows_of([0] * 200, groups=[0] * 150 + list(range(1, 51)))
    parts = divided(rows)
    assert set(parts[:150].tolist()) == {TRAIN}
    assert int(np.sum(parts == TEST)) == 40
