from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from sweeps.trials import evaluation, rows
from sweeps.trials.rows import Rows
from sweeps.trials.spec import Split

N = 1300  # rows: two pieces and a part of one, and no whole number of batches


@pytest.fixture
def split(tmp_path: Path) -> Split:
    """Rows in files that are mapped read-only."""
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 100, (N, 7), dtype=np.int32))
    np.save(tmp_path / "y.npy", np.arange(N))
    return Split(np.load(tmp_path / "x.npy", mmap_mode="r"), np.load(tmp_path / "y.npy", mmap_mode="r"))


@pytest.mark.parametrize("order", [None, np.random.default_rng(1).permutation(N)], ids=["in order", "shuffled"])
def test_batches_of_a_corpus_that_is_read_in_blocks_are_those_of_one_in_memory(
    split: Split, order: NDArray[np.int64] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_memory = evaluation.batches(split, 32, order)
    monkeypatch.setattr(evaluation, "IN_MEMORY", 0)
    monkeypatch.setattr(evaluation, "READ", 100 * split.x.strides[0])
    sizes: list[int] = []
    read = Rows.__getitem__
    monkeypatch.setattr(Rows, "__getitem__", lambda self, rows: sizes.append(len(rows)) or read(self, rows))
    in_blocks = evaluation.batches(split, 32, order)
    assert in_blocks.element_spec == in_memory.element_spec
    assert int(in_blocks.cardinality()) == int(in_memory.cardinality()) == 41
    for block, whole in zip(in_blocks, in_memory, strict=True):
        for one, other in zip(block, whole, strict=True):
            np.testing.assert_array_equal(one, other)
    assert set(sizes) == {96, N % 96}
    assert not in_blocks.options().autotune.enabled


@pytest.mark.parametrize("length", [3, N])
def test_a_block_holds_a_batch_at_least(split: Split, length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "IN_MEMORY", 0)
    monkeypatch.setattr(evaluation, "READ", 1)
    order = np.arange(length)[::-1].copy()
    (first, _), *_ = evaluation.batches(split, 2000, order)
    np.testing.assert_array_equal(first, split.x[order])


def test_joined_rows_are_those_of_one_array_and_their_memory_is_given_back(
    split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    released: list[int] = []
    monkeypatch.setattr(rows, "release", lambda part: released.append(len(part)))
    joined, whole = Rows(split.x[:900], split.x[900:]), np.asarray(split.x)
    order = np.random.default_rng(2).permutation(N)
    np.testing.assert_array_equal(joined[order], whole[order])
    assert released == [900, 400] * 3
    np.testing.assert_array_equal(joined[890:910], whole[890:910])
    assert (joined.shape, joined.dtype, joined.nbytes, len(joined)) == (whole.shape, whole.dtype, whole.nbytes, N)


def test_a_dataset_outlives_the_split_that_it_was_made_of(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "IN_MEMORY", 0)
    made: tf.data.Dataset = evaluation.batches(Split(split.x[:10], split.y[:10]), 10)
    ((_, labels),) = made
    assert labels.numpy().tolist() == list(range(10))


def test_the_size_of_a_model_is_that_of_its_weights_and_of_a_batch_of_each_layers_outputs() -> None:
    words = keras.Input((7,), dtype="int32")
    x = keras.layers.Embedding(11, 5)(words)  # (batch, 7, 5)
    x = keras.layers.LSTM(3)(x)  # (batch, 3)
    model = keras.Model(words, keras.layers.Dense(2)(x))
    outputs = evaluation.BATCH * (7 + 7 * 5 + 3 + 2)
    assert evaluation.megabytes(model) == pytest.approx(4 * (model.count_params() + outputs) / 1e6)


def test_a_model_that_does_not_name_its_layers_has_the_size_of_its_weights() -> None:
    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(2)

        def call(self, x: tf.Tensor) -> tf.Tensor:
            return self.dense(x)

    model = Own()
    model(np.zeros((1, 3), np.float32))
    assert evaluation.megabytes(model) == pytest.approx(4 * (3 * 2 + 2) / 1e6)
