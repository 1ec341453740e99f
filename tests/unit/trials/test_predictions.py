from pathlib import Path

import numpy as np
import pytest

from sweeps.trials import predictions
from sweeps.trials.spec import Predictions

PREDICTIONS = Predictions(np.array([0, 1, 45, 7], np.uint8), np.array([0, 1, 44, 7], np.uint8))
DIGEST = "2b22f04e35d1c1e3"  # computed by the version of 2026-11-26


def path(directory: Path) -> Path:
    return directory / predictions.FOLDER / "3.npz"


def test_saved_predictions_are_loaded_by_the_digest_that_earlier_versions_wrote_into_journals(tmp_path: Path) -> None:
    assert predictions.save(tmp_path, 3, PREDICTIONS) == DIGEST
    loaded = predictions.load(tmp_path, 3, DIGEST)
    assert loaded is not None
    for array, saved in zip(loaded, PREDICTIONS, strict=True):
        assert array.dtype == saved.dtype
        np.testing.assert_array_equal(array, saved)
    assert [file.name for file in path(tmp_path).parent.iterdir()] == ["3.npz"]


def test_a_trial_without_predictions_has_an_empty_digest_and_no_file(tmp_path: Path) -> None:
    assert predictions.save(tmp_path, 3, None) == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [None, b"", b"PK", b"no archive"])
def test_predictions_that_are_lost_or_damaged_are_none(content: bytes | None, tmp_path: Path) -> None:
    predictions.save(tmp_path, 3, PREDICTIONS)
    if content is None:
        path(tmp_path).unlink()
    else:
        path(tmp_path).write_bytes(content)
    assert predictions.load(tmp_path, 3, DIGEST) is None


@pytest.mark.parametrize("part", ["predicted", "labels"])
def test_altered_predictions_are_none(part: str, tmp_path: Path) -> None:
    altered = PREDICTIONS._asdict()
    altered[part] = altered[part][::-1].copy()
    assert predictions.save(tmp_path, 3, Predictions(**altered)) != DIGEST
    assert predictions.load(tmp_path, 3, DIGEST) is None


def test_an_interrupted_save_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full_disk)
    with pytest.raises(OSError, match="No space left"):
        predictions.save(tmp_path, 3, PREDICTIONS)
    assert list(path(tmp_path).parent.iterdir()) == []
