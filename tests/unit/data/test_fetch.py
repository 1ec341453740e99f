"""Entries of another machine's cache."""

import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from pipelines.data import cache
from sweeps.errors import TrialFailedError
from sweeps.files import digest_of_arrays


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of an entry elsewhere; this machine's cache is empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "here"))
    folder = tmp_path / "there"
    folder.mkdir()
    cache.save(folder, [np.arange(n) for n in range(6)])
    (folder / cache.VOCABULARY).write_bytes(b"words")
    (folder / cache.DESCRIPTION).write_text(
        json.dumps({"digest": digest_of_arrays(cache.arrays_in(folder)), "more": 1})
    )
    return folder


def fetched(there: Path, digest: str, **instead: bytes) -> list[str]:
    """The files that were read, each in pieces of 100 bytes; some have another content instead."""
    read: list[str] = []

    def piece(name: str, start: int) -> bytes:
        time.sleep(0.001)
        read.extend([name] * (start == 0))
        return instead.get(name.partition(".")[0], (there / name).read_bytes())[start : start + 100]

    cache.fetch(digest, piece)
    return read


def digest_of(there: Path) -> str:
    return str(json.loads((there / cache.DESCRIPTION).read_text())["digest"])


def test_an_entry_is_the_same_here_and_fetched_once_by_all_who_share_the_cache(there: Path) -> None:
    read: list[str] = []
    digest = digest_of(there)
    threads = [threading.Thread(target=lambda: read.extend(fetched(there, digest))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(set(read)) == sorted(cache.FILES)
    assert read.count("train_x.npy") == 1
    entry = cache.with_digest(digest)
    assert entry is not None
    assert [array.tolist() for array in entry.arrays] == [list(range(n)) for n in range(6)]
    assert (entry.description["more"], entry.vocabulary()) == (1, b"words")


@pytest.mark.parametrize(
    ("instead", "reason"),
    [
        ({"digest": "0" * 16}, r"have the digest \w{16}, not 0000000000000000"),
        ({"test_y": b"no array"}, "cannot be read"),
        ({"test_y": b""}, "cannot be read"),
        ({"meta": b"{"}, "cannot be read"),
    ],
)
def test_what_is_not_as_the_driver_has_it_is_refused_and_leaves_nothing(
    instead: dict[str, str], reason: str, there: Path, tmp_path: Path
) -> None:
    with pytest.raises(TrialFailedError, match=f"^the data that the driver sent {reason}"):
        fetched(there, **{"digest": digest_of(there), **instead})
    assert [path for path in (tmp_path / "here").rglob("*") if path.is_file() and path.stat().st_size] == []


def test_only_the_files_of_an_entry_are_sent(there: Path, tmp_path: Path) -> None:
    (folder := tmp_path / "here" / "text-sweeps" / cache.BY_DIGEST).mkdir(parents=True)
    (folder / "0123").symlink_to(there)
    assert cache.piece("0123", cache.VOCABULARY, 2) == b"rds"
    assert cache.piece("0123", cache.VOCABULARY, 5) == b""
    assert cache.piece("4567", cache.VOCABULARY, 0) == b""
    with pytest.raises(ValueError, match="not in tuple"):
        cache.piece("0123", "../../secret", 0)
