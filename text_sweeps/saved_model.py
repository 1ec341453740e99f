"""The network that a sweep chose, in Keras's own format, and what turns raw texts into its inputs."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import keras

from conf.schema import ConfigError
from sweeps import runtime
from sweeps.errors import SweepError, reason_of
from sweeps.journal import SweepRecord
from sweeps.text_encoder import TextEncoder
from sweeps.tracking.prediction import Prediction
from sweeps.trials.native_logs import without_native_logs
from text_sweeps import process

NETWORK, VOCABULARY, SERVING = "network.keras", "vocabulary", "serving.json"
BATCH = 500


class SavedModel(NamedTuple):
    """A network and, where its data have texts, their encoder and a name for each class."""

    network: keras.Model
    encoder: TextEncoder | None
    labels: Sequence[str]
    without_texts: str  # why there is no encoder

    def answers(self, texts: Sequence[str]) -> Iterator[tuple[str, Prediction]]:
        """Yield each text and the answer to it; raises `ConfigError` where there is no encoder or a text is none."""
        if self.encoder is None:
            raise ConfigError(self.without_texts)
        for number, text in enumerate(texts, start=1):
            if not isinstance(text, str):
                raise ConfigError(f"every text must be a string, number {number} is {type(text).__name__}")
        if not texts:
            return
        with without_native_logs():
            given = self.network.predict(self.encoder.encode(texts), batch_size=BATCH, verbose=0)
        for text, reading, shares in zip(texts, self.encoder.read(texts), given, strict=True):
            of_label = dict(zip(self.labels, map(float, shares), strict=True))
            label = self.labels[int(shares.argmax())]
            yield text, Prediction(label, of_label[label], reading.tokens, reading.unknown, reading.unread, of_label)


@contextmanager
def _sharing_gpu() -> Iterator[None]:
    """Let TensorFlow take no more memory of a GPU than it needs, if it has none yet. The environment stays."""
    new = {name: value for name, value in runtime.GPU_SETTINGS.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            del os.environ[name]


def of(record: SweepRecord) -> SavedModel:
    """Load what the process of `text_sweeps.child.save_model` saves of a sweep; raises `SweepError` where it cannot."""
    name = record.started.sweep
    with tempfile.TemporaryDirectory() as scratch:
        reason = process.call("save_model", [str(record.directory), scratch])["without_texts"]
        folder = Path(scratch)
        with without_native_logs(), _sharing_gpu():
            try:
                network = keras.saving.load_model(folder / NETWORK, safe_mode=True)
            except Exception as error:  # layers of the user's own that Keras does not know can raise anything
                raise SweepError(f"{name}: Keras cannot load its network: {reason_of(error)}") from error
        if reason:
            return SavedModel(network, None, (), reason)
        serving = json.loads((folder / SERVING).read_text(encoding="utf-8"))
        encoder = TextEncoder(serving["encoder"], (folder / VOCABULARY).read_bytes())
    return SavedModel(network, encoder, serving["labels"], "")
