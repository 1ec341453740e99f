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
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from numpy.typing import NDArray

BATCH = 500
START, UNKNOWN, OFFSET = 1, 2, 3  # as in `pipelines.data.dataset`
# The words of Keras's archives were separated so: `keras.preprocessing.text.Tokenizer` with its defaults.
SEPARATORS = str.maketrans(dict.fromkeys('!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n', " "))


class Classifier(PythonModel):
    # Otherwise MLflow 3.17 warns, wherever this is loaded, that no type hint says how to check the input. `texts_of`
    # does: with a hint or a signature, MLflow would take the first column of a table, whatever its name.
    _skip_type_hint_validation = True

    def load_context(self, context: PythonModelContext) -> None:
        self._network = keras.saving.load_model(context.artifacts["network"], safe_mode=True)
        self._ranks = json.loads(Path(context.artifacts["words"]).read_bytes())
        self._labels = context.model_config["labels"]
        self._num_words, self._maxlen = context.model_config["num_words"], context.model_config["maxlen"]

    def predict(self, context: PythonModelContext, model_input, params: Any = None) -> list[dict[str, Any]]:  # type: ignore[no-untyped-def]
        documents = [split(text) for text in texts_of(model_input)]
        if not documents:
            return []
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


def texts_of(given: Any) -> list[str]:
    """Return the texts of a request: one, or a list, an array, a series or a column `text` of them.

    Raises `MlflowException` for anything else.
    """
    if isinstance(given, list | tuple) and any(isinstance(each, list | tuple | Mapping) for each in given):
        given = pd.DataFrame(list(given))  # rows
    if isinstance(given, pd.DataFrame | Mapping):
        given = _column(given)
    if isinstance(given, np.ndarray) and given.ndim == 2 and given.shape[1] == 1:
        given = given[:, 0]
    if isinstance(given, np.ndarray | pd.Series):
        given = given.tolist()  # of an array without dimensions: its only value
    texts = list(given) if isinstance(given, list | tuple) else [given]
    for place, text in enumerate(texts, start=1):
        if not isinstance(text, str):
            reason = f"every text must be a string, number {place} is {type(text).__name__}"
            raise MlflowException.invalid_parameter_value(reason)
    return texts


def _column(table: pd.DataFrame | Mapping[Any, Any]) -> Any:
    """Return the column `text`, or the only one."""
    names = list(table.keys())
    wanted = names if len(names) == 1 else [name for name in names if isinstance(name, str) and name == "text"]
    if len(wanted) != 1:
        shown = ", ".join(map(str, names)) or "none"
        raise MlflowException.invalid_parameter_value(f"one column must be named text; there are: {shown}")
    return table[wanted[0]]


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
