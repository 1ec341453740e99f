"""Properties of the data that one process cannot show."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.corpora import REUTERS, load_toy, needs_real_archives, put

pytestmark = pytest.mark.usefixtures("home")


def test_processes_that_encode_at_once_all_succeed(start):
    script = "from tests.corpora import load_toy; print(load_toy(source='standin', num_words=1000, maxlen=40).digest)"
    command = [sys.executable, "-W", "error", "-c", script]
    processes = [start(command) for _ in range(2)]
    digests = {process.communicate(timeout=240)[0] for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    assert digests == {load_toy(source="standin", num_words=1000, maxlen=40).digest + "\n"}


def test_loading_needs_neither_tensorflow_nor_keras():
    script = "import sys, pipelines.data.dataset; print({'tensorflow', 'keras', 'mlflow', 'dask'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.long
@needs_real_archives
def test_reuters_is_what_keras_loads(home):
    put(home / "keras/datasets/reuters.npz", Path(REUTERS["archive"]).read_bytes())
    script = """if True:
        import sys, numpy as np, keras
        (x, y), (x_test, y_test) = keras.datasets.reuters.load_data(num_words=1000)
        x, x_test = (keras.utils.pad_sequences(documents, maxlen=100) for documents in (x, x_test))
        np.savez(sys.argv[1], x=x, y=y, x_test=x_test, y_test=y_test)
    """
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run([sys.executable, "-c", script, home / "keras.npz"], env=environment, check=True)
    dataset = load_toy(**REUTERS, validation="test")
    with np.load(home / "keras.npz") as expected:
        assert (len(expected["x"]), len(expected["x_test"])) == (8982, 2246)
        np.testing.assert_array_equal(dataset.train.x, expected["x"])
        np.testing.assert_array_equal(dataset.train.y, expected["y"])
        np.testing.assert_array_equal(dataset.test.x, expected["x_test"])
        np.testing.assert_array_equal(dataset.test.y, expected["y_test"])
