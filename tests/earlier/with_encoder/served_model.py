"""A classifier as MLflow serves it: the label of each text, its probability, and how much of the text was understood.

MLflow keeps this file beside the model and runs it wherever that is loaded, so it imports nothing of this project. The
encoder that turned texts into ids in training lies beside it, as the file that it was. Nothing is pickled: Keras's own
format, opened in its safe mode, holds the network, and JSON the vocabulary.
"""

from collections.abc import Mapping
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from numpy.typing import NDArray

BATCH = 500


class Classifier(PythonModel):
    # Otherwise MLflow 3.17 warns, wherever this is loaded, that no type hint says how to check the input. `texts_of`
    # does: with a hint or a signature, MLflow would take the first column of a table, whatever its name.
    _skip_type_hint_validation = True

    def load_context(self, context: PythonModelContext) -> None:
        self._network = keras.saving.load_model(context.artifacts["network"], safe_mode=True)
        self._labels = context.model_config["labels"]
        encoder = _module(context.artifacts["encoder"])
        vocabulary = Path(context.artifacts["vocabulary"]).read_bytes()
        self._encoder = encoder.TextEncoder(context.model_config["encoder"], vocabulary)

    def predict(self, context: PythonModelContext, model_input, params: Any = None) -> list[dict[str, Any]]:  # type: ignore[no-untyped-def]
        texts = texts_of(model_input)
        if not texts:
            return []
        probabilities = self._network.predict(self._encoder.encode(texts), batch_size=BATCH, verbose=0)
        return [self._answer(*pair) for pair in zip(self._encoder.read(texts), probabilities, strict=True)]

    def _answer(self, reading: Any, probabilities: NDArray[np.float32]) -> dict[str, Any]:
        best = int(probabilities.argmax())
        return {
            "label": self._labels[best],
            "probability": float(probabilities[best]),
            "words": reading.tokens,
            "unknown": reading.unknown,
            "unread": reading.unread,
            "probabilities": dict(zip(self._labels, map(float, probabilities), strict=True)),
        }


def _module(path: str) -> ModuleType:
    """Load a file as a module of its own, whatever other modules have its name."""
    spec = spec_from_file_location("served_encoder", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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


set_model(Classifier())
