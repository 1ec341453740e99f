from pathlib import Path

import numpy as np
import pytest

from sweeps.trials import reference_cache
from sweeps.trials.spec import Predictions, Reference

ANSWERS = Predictions(np.arange(50, dtype=np.uint8) % 3, np.arange(50, dtype=np.uint8) % 2)
FOUND = [
    Reference("svm", 0.3, {"test/accuracy": 0.77}, 5.5, 100, ANSWERS, {"test/accuracy": 0.78}, ANSWERS),
    Reference("nbsvm", 0.01, {"test/accuracy": 0.76}, 7.5, 100, ANSWERS),
]


def plain(references: list[Reference]) -> list[object]:
    return [
        [part.tolist() for part in value] if isinstance(value, Predictions) else value
        for reference in references
        for value in reference
    ]


def test_references_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "references" / "d.npz"
    assert reference_cache.read(path) == []
    reference_cache.write(path, FOUND)
    assert plain(reference_cache.read(path)) == plain(FOUND)
    assert [part.dtype for part in reference_cache.read(path)[0].predictions or ()] == [np.uint8, np.uint8]
    assert [file.name for file in path.parent.iterdir()] == ["d.npz"]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("how", ["cut", "flipped"])
def test_a_damaged_file_is_never_believed(how: str, share: float, tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    reference_cache.write(path, FOUND)
    content = bytearray(path.read_bytes())
    place = int(share * len(content))
    content[place] ^= 255
    path.write_bytes(content[:place] if how == "cut" else content)
    assert plain(reference_cache.read(path)) in ([], plain(FOUND))  # a byte between two entries of the archive


def test_scores_that_somebody_changed_are_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    reference_cache.write(path, FOUND)
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    better = arrays["description"].tobytes().replace(b"0.77", b"0.99")
    np.savez(path, **{**arrays, "description": np.frombuffer(better, np.uint8)})
    assert reference_cache.read(path) == []


def test_a_failure_is_not_kept(tmp_path: Path) -> None:
    reference_cache.write(tmp_path / "d.npz", [*FOUND, Reference("logistic", failure="too few documents")])
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "references").write_text("a file")
    reference_cache.write(tmp_path / "references" / "d.npz", FOUND)
    assert reference_cache.read(tmp_path / "references" / "d.npz") == []
