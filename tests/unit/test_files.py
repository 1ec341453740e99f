import errno
from pathlib import Path
from typing import IO

import numpy as np
import psutil
import pytest

from pipelines.data import keras_cache
from sweeps import files


def full(descriptor: int) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("name", ["config.yaml", "가.json"])
def test_a_file_holds_the_old_text_or_the_new_one(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / name
    files.write_text(path, "old 글")
    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            files.write_text(path, "new")
    assert path.read_text(encoding="utf-8") == "old 글"
    assert list(tmp_path.iterdir()) == [path]  # a full disk is not kept full
    files.write_text(path, "new")
    assert path.read_text() == "new"


def test_a_user_without_a_home_directory_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(number: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", unknown)
    for variable, directory in (("KERAS_HOME", keras_cache._directory), ("XDG_CACHE_HOME", files.cache)):
        monkeypatch.delenv(variable)
        with pytest.raises(OSError, match=r"^HOME: it is not set, and this user has no home directory; set HOME$"):
            directory()


def test_nothing_is_left_of_a_file_that_could_not_be_filled(tmp_path: Path) -> None:
    def half(file: IO[bytes]) -> None:
        file.write(b"half")
        raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        files.write(tmp_path / "weights.npz", half)
    assert list(tmp_path.iterdir()) == []


def test_a_digest_depends_on_content_type_and_shape_and_not_on_the_layout_in_memory() -> None:
    array = np.arange(6, dtype=np.int32).reshape(2, 3)
    digests = {
        files.digest_of_arrays([array]),
        files.digest_of_arrays([array.astype(np.int64)]),
        files.digest_of_arrays([array.reshape(3, 2)]),
        files.digest_of_arrays([array + 1]),
        files.digest_of_arrays([array, array]),
        files.digest_of_arrays([array[:0]]),
    }
    assert len(digests) == 6
    assert {len(digest) for digest in digests} == {16}
    assert files.digest_of_arrays([np.asfortranarray(array)]) == files.digest_of_arrays([array])


def test_a_mapped_file_takes_no_memory_once_it_is_released(tmp_path: Path) -> None:
    def resident() -> int:
        (mapping,) = [m for m in psutil.Process().memory_maps() if m.path == str(tmp_path / "x.npy")]
        return int(mapping.rss)

    np.save(tmp_path / "x.npy", np.arange(2**20))
    array = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert array.sum() == 2**19 * (2**20 - 1)
    assert resident() >= 2**23
    files.release(array[5:])
    assert resident() == 0
    digest = files.digest_of_arrays([array])
    assert resident() == 0
    assert digest == files.digest_of_arrays([np.arange(2**20)])
    assert array[-1] == 2**20 - 1


def test_what_was_written_into_a_copy_of_a_file_is_not_released(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros(4))
    array = np.load(tmp_path / "x.npy", mmap_mode="c")
    array[0] = 1
    files.release(array)
    assert array.tolist() == [1, 0, 0, 0]
