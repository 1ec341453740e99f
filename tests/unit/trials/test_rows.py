"""Documents with their words in a random order."""

from collections import Counter

import numpy as np
import pytest

from sweeps.trials.rows import Rows, shuffled

RNG = np.random.default_rng(3)
LENGTHS = RNG.integers(0, 9, 200)
X = np.where(np.arange(8) >= 8 - LENGTHS[:, None], RNG.integers(1, 50, (200, 8)), 0).astype(np.int32)


def test_each_document_keeps_its_words_and_its_padding() -> None:
    mixed = shuffled(5, X)[:]
    assert (mixed.dtype, mixed.shape) == (X.dtype, X.shape)
    assert ((mixed == 0) == (X == 0)).all()
    assert (np.sort(mixed) == np.sort(X)).all()
    assert (mixed != X).any(axis=1)[LENGTHS > 5].mean() > 0.95


def test_padding_stays_where_it_is_wherever_that_is() -> None:
    x = X.copy()
    x[:, ::3] = 0
    assert ((shuffled(5, x)[:] == 0) == (x == 0)).all()


def test_an_order_depends_on_the_seed_and_the_place_alone() -> None:
    whole = shuffled(5, X)
    places = RNG.permutation(200)[:70]
    assert (whole[places] == whole[:][places]).all()
    assert (whole[20:60] == whole[:][20:60]).all()
    assert (shuffled(5, Rows(X[:90], X[90:]))[:] == whole[:]).all()
    assert (shuffled(6, X)[:] != whole[:]).any()


def test_every_order_is_as_likely_as_every_other() -> None:
    x = np.tile(np.array([0, 1, 2, 3], np.int32), (60_000, 1))
    orders = Counter(map(tuple, shuffled(1, x)[:][:, 1:]))
    assert len(orders) == 6
    assert all(count == pytest.approx(10_000, abs=400) for count in orders.values())  # 4.4 standard deviations
