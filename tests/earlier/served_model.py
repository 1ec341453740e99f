"""A classifier as MLflow serves it: the label of each text, its probability, and how much of the text was understood.

MLflow keeps this file beside the model and runs it wherever that is loaded, so it imports nothing of this project.
Nothing is pickled: Keras's own format, opened in its safe mode, holds the network, and JSON the word index.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from numpy.typing import NDArray

BATCH = 500
START, UNKNOWN, OFFSET = 1, 2, 3  # as in `pipelines.data.dataset`
# The words of Keras's archives were separated so: `keras.preprocessing.text.Tokenizer` with its defaults.
SEPARATORS = str.maketrans(dict.fromkeys('!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n', " "))


class Classifier(PythonModel):
    # Otherwise MLflow 3.17 warns, wherever this is loaded, that no type hint says how to check the input. The signature
    # does.
    _skip_type_hint_validation = True

    def load_context(self, context: PythonModelContext) -> None:
        self._network = keras.saving.load_model(context.artifacts["network"])
        self._ranks = json.loads(Path(context.artifacts["words"]).read_bytes())
        self._labels = context.model_config["labels"]
        self._num_words, self._maxlen = context.model_config["num_words"], context.model_config["maxlen"]

    def predict(self, context: PythonModelContext, model_input, params: Any = None) -> list[dict[str, Any]]:  # type: ignore[no-untyped-def]
        texts = model_input.iloc[:, 0].tolist()
        if not all(isinstance(text, str) for text in texts):  # the signature lets null pass
            raise MlflowException.invalid_parameter_value("every text must be a string")
        documents = [split(text) for text in texts]
        ids = [encode(words, self._ranks, self._num_words, self._maxlen) for words in documents]
        probabilities = self._network.predict(np.array(ids, dtype=np.int32), batch_size=BATCH, verbose=0)
        return [self._answer(*pair) for pair in zip(documents, probabilities, strict=True)]

    def _answer(self, words: Sequence[str], probabilities: NDArray[np.float32]) -> dict[str, Any]:
        best = int(probabilities.argmax())
        return {
            "label": self._labels[best],
            "probability": float(probabilities[best]),
            "words": len(words),
            "unknown": sum(not self._ranks.get(word, self._num_words) < self._num_words - OFFSET for word in words),
            "unread": max(0, sum(word in self._ranks for word in words) - self._maxlen),
            "probabilities": dict(zip(self._labels, map(float, probabilities), strict=True)),
        }


def split(text: str) -> list[str]:
    """Return the words between spaces; Keras took other white space for part of a word."""
    return [word for word in text.lower().translate(SEPARATORS).split(" ") if word]


def encode(words: Sequence[str], ranks: Mapping[str, int], num_words: int, maxlen: int) -> list[int]:
    """Return the `maxlen` ids that the same words have in the archives.

    A rare word is id 2. A word that the index does not have is left out, as it was from the test documents.
    """
    ids = [START, *_ids(words, ranks, num_words)][-maxlen:]
    return [0] * (maxlen - len(ids)) + ids


def _ids(words: Sequence[str], ranks: Mapping[str, int], num_words: int) -> Iterator[int]:
    for word in words:
        if word in ranks:
            yield ranks[word] + OFFSET if ranks[word] < num_words - OFFSET else UNKNOWN


set_model(Classifier())
