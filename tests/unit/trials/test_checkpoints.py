from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sweeps.trials.checkpoints import GROUPS, Checkpoints
from sweeps.trials.spec import Checkpoint

CURVES = {"train/loss": [0.1 + 0.2, 1e-300], "val/accuracy": [1 / 3]}
NUMBERED = [np.full(i % 3 + 1, i) for i in range(23)]  # in the order of numbers and not of their names
COUNTERS = [np.array(2**40 + 1, np.int64), np.array(0.001, np.float32)]
dtypes = st.sampled_from(["float32", "float64", "float16", "int64", "int32", "uint32", "uint8", "bool"])
groups = st.lists(
    arrays.arrays(dtypes, arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)), max_size=13
)
curves = st.dictionaries(st.text(), st.lists(st.floats(allow_nan=False), max_size=3), max_size=4)


def exact(checkpoint: Checkpoint | None) -> dict[str, list[tuple[Any, ...]]]:
    """Dtype, shape and every bit, NaN and -0.0 included."""
    assert checkpoint is not None
    return {group: [(a.dtype, a.shape, a.tobytes()) for a in getattr(checkpoint, group)] for group in GROUPS}


def checkpoint(mark: float = 0.0) -> Checkpoint:
    return Checkpoint([np.array([mark])], [np.array(7)], [np.zeros((2, 3))], CURVES)


def stored(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob("*.npz"))


@pytest.mark.parametrize("examples", [20, pytest.param(300, marks=pytest.mark.long)])
def test_a_checkpoint_is_loaded_as_it_was_saved_to_the_last_bit(examples: int) -> None:
    @settings(max_examples=examples)
    @given(st.builds(Checkpoint, groups, groups, groups, curves))
    @example(Checkpoint(NUMBERED, NUMBERED[::-1], NUMBERED[5:], CURVES))
    @example(Checkpoint([], COUNTERS, [], CURVES))
    def check(saved: Checkpoint) -> None:
        with TemporaryDirectory() as folder:
            checkpoints = Checkpoints(Path(folder))
            checkpoints.save(3, 4, saved)
            loaded = checkpoints.load(3, 4)
        assert exact(loaded) == exact(saved)
        assert loaded is not None
        assert loaded.curves == saved.curves

    check()


def test_a_later_checkpoint_of_a_trial_replaces_the_earlier(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "new" / "folder")
    checkpoints.save(1, 4, checkpoint(1.0))
    checkpoints.save(1, 4, checkpoint(2.0))
    assert exact(checkpoints.load(1, 4)) == exact(checkpoint(2.0))
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["1-4.npz"]


@pytest.mark.parametrize(
    ("needed", "left"),
    [
        ((1, 12), ["1-4.npz", "12-4.npz"]),
        ((2,), ["2-4.npz"]),
        ((3,), []),
        ((), []),
        (range(20), ["1-4.npz", "12-4.npz", "2-4.npz"]),
    ],
)
def test_only_the_needed_checkpoints_are_kept(needed: tuple[int, ...], left: list[str], tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for trial in (1, 2, 12):
        checkpoints.save(trial, 4, checkpoint(trial))
    checkpoints.keep_only({(trial, 4) for trial in needed})
    assert stored(tmp_path) == left


def test_a_promoted_trial_has_a_checkpoint_of_each_round(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, 4, checkpoint(1.0))
    checkpoints.save(1, 10, checkpoint(2.0))
    assert exact(checkpoints.load(1, 4)) == exact(checkpoint(1.0))
    checkpoints.keep_only([(1, 10)])
    assert stored(tmp_path) == ["1-10.npz"]


@pytest.mark.parametrize("content", [None, b"", b"PK", b"no archive", "half"])
def test_a_checkpoint_that_is_lost_or_damaged_is_none(content: bytes | str | None, tmp_path: Path) -> None:
    path = tmp_path / "1-4.npz"
    Checkpoints(tmp_path).save(1, 4, checkpoint())
    whole = path.read_bytes()
    if content is None:
        path.unlink()
    else:
        path.write_bytes(whole[: len(whole) // 2] if isinstance(content, str) else content)
    assert Checkpoints(tmp_path).load(1, 4) is None


def test_a_folder_that_was_never_made_has_nothing_to_delete(tmp_path: Path) -> None:
    Checkpoints(tmp_path / "never").keep_only([])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("interruption", [OSError("No space left on device"), KeyboardInterrupt()])
def test_an_interrupted_save_leaves_no_checkpoint_and_an_earlier_one_untouched(
    interruption: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, 4, checkpoint(1.0))
    before = (tmp_path / "1-4.npz").read_bytes()

    def half_written(file: Any, **_: Any) -> None:
        file.write(before[: len(before) // 2])
        raise interruption

    with monkeypatch.context() as patched:
        patched.setattr(np, "savez", half_written)
        for trial in (1, 2):
            with pytest.raises(type(interruption)):
                checkpoints.save(trial, 4, checkpoint(2.0))
    assert stored(tmp_path) == ["1-4.npz"]
    assert (tmp_path / "1-4.npz").read_bytes() == before
    checkpoints.save(2, 4, checkpoint(2.0))
    assert exact(checkpoints.load(2, 4)) == exact(checkpoint(2.0))


def test_a_checkpoint_is_on_disk_before_it_has_its_name_and_then_its_name_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[list[str]] = []
    monkeypatch.setattr("os.fsync", lambda descriptor: flushed.append(stored(tmp_path)))
    Checkpoints(tmp_path).save(1, 4, checkpoint())
    assert flushed == [[], ["1-4.npz"]]


def test_only_checkpoints_are_deleted_and_what_an_interrupted_save_left(tmp_path: Path) -> None:
    own = ("0-4.npz", "1-4.npz.0123abcd.part")
    others = ("notes.txt", "mine.npz", "weights-1-4.npz", "1-4.npz.bak")
    for name in (*own, *others):
        (tmp_path / name).touch()
    (tmp_path / "7-7.npz").mkdir()
    Checkpoints(tmp_path).keep_only([])
    assert {path.name for path in tmp_path.iterdir()} == {*others, "7-7.npz"}
