"""Small archives as Keras makes them, the real ones, and the datasets that are loaded from them."""

import io

import numpy as np
import pytest

from conf.schema import Data
from pipelines.data.dataset import load
from tests.conftest import ROOT

REAL = ROOT.parent / "shared" / "data"
REUTERS = {
    "archive": str(REAL / "reuters.npz"),
    "sha256": "d6586e694ee56d7a4e65172e12b3e987c03096cb01eab99753921ef915959916",
    "num_words": 1000,
    "maxlen": 100,
    "num_classes": 46,
}
IMDB = {"archive": str(REAL / "imdb.npz"), "num_words": 5000, "maxlen": 100, "num_classes": 2}
needs_real_archives = pytest.mark.skipif(not REAL.exists(), reason=f"the real archives are not at {REAL}")


def npz(**members):
    """Make an archive as Keras does: lists become object arrays, everything else plain ones."""
    content = io.BytesIO()
    np.savez(content, **{name: _ragged(m) if isinstance(m, list) else np.asarray(m) for name, m in members.items()})
    return content.getvalue()


def _ragged(documents):
    array = np.empty(len(documents), dtype=object)
    array[:] = documents
    return array


def toy(size=40, num_classes=2, seed=0):
    """Return the members of a small archive with two splits."""
    rng = np.random.default_rng(seed)

    def documents():
        return [rng.integers(1, 50, rng.integers(0, 15)).tolist() for _ in range(size)]

    labels = np.arange(size) % num_classes
    return {"x_train": documents(), "y_train": labels, "x_test": documents(), "y_test": labels}


def load_toy(**changes):
    settings = {"num_words": 30, "maxlen": 10, "num_classes": 2} | changes
    return load(name="toy", settings=Data(**settings))


def load_bytes(directory, content, **changes):
    return load_toy(archive=str(put(directory / "toy.npz", content)), **changes)


def arrays_of(dataset):
    return [array for split in dataset[:3] for array in split]


def assert_same(one, other):
    assert one.digest == other.digest
    for a, b in zip(arrays_of(one), arrays_of(other), strict=True):
        np.testing.assert_array_equal(a, b)


def files_under(directory):
    return sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
