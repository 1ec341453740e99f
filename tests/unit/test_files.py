import errno
from pathlib import Path
from typing import IO

import numpy as np
import pytest

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
