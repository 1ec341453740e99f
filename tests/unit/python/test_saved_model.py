"""The network of a sweep in its user's process, which stays as it was."""

import os
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from sweeps.errors import SweepError
from tests import records
from text_sweeps import process, saved_model

GROWTH = "TF_FORCE_GPU_ALLOW_GROWTH"


@pytest.mark.parametrize("before", [None, "false"])
@pytest.mark.parametrize("damaged", [False, True])
def test_it_takes_no_more_of_a_gpu_than_it_needs_and_leaves_the_environment(
    before: str | None, damaged: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(GROWTH, str(before))
    if before is None:
        monkeypatch.delenv(GROWTH)
    seen: list[str | None] = []

    def load_model(*_: object, **__: object) -> str:
        seen.append(os.environ.get(GROWTH))
        os.write(2, b"Created device /job:localhost/replica:0/task:0/device:GPU:0")
        if damaged:
            raise ValueError("no layer")
        return "network"

    monkeypatch.setattr(process, "call", lambda *_: {"without_texts": "no texts"})
    monkeypatch.setattr(keras.saving, "load_model", load_model)
    if damaged:
        with pytest.raises(SweepError, match="no layer"):
            saved_model.of(records.record())
    else:
        assert saved_model.of(records.record()).network == "network"
    assert seen == [before or "true"]
    assert os.environ.get(GROWTH) == before
    assert capfd.readouterr() == ("", "")


def test_what_a_gpu_writes_with_the_first_answer_is_not_shown(capfd: pytest.CaptureFixture[str]) -> None:
    class Network:
        def predict(self, ids: object, **_: object) -> np.ndarray:
            os.write(2, b"Loaded cuDNN version 91002")
            return np.ones((1, 1))

    class Encoder:
        def encode(self, texts: object) -> None: ...

        def read(self, texts: object) -> list[object]:
            return [SimpleNamespace(tokens=2, unknown=0, unread=0)]

    ((_, answer),) = saved_model.SavedModel(Network(), Encoder(), ["good"], "").answers(["a text"])
    assert answer.label == "good"
    assert capfd.readouterr() == ("", "")
