"""A classifier as MLflow serves it: word ids (n, maxlen) -> class probabilities (n, num_classes).

MLflow keeps this file beside the model and runs it where that is loaded, so it imports nothing of this project. Nothing
is pickled: Keras's own format, opened in its safe mode, holds the network.
"""

from typing import Any

import keras
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from numpy.typing import NDArray

BATCH = 500


class Classifier(PythonModel):
    # Or MLflow 3.17 warns, wherever this is loaded, that the input has no type by which it would check and convert it.
    # The signature says that better.
    _skip_type_hint_validation = True

    def load_context(self, context: PythonModelContext) -> None:
        self._network = keras.saving.load_model(context.artifacts["network"])

    def predict(self, context: PythonModelContext, model_input, params: Any = None) -> NDArray[Any]:  # type: ignore[no-untyped-def]
        probabilities: NDArray[Any] = self._network.predict(model_input, batch_size=BATCH, verbose=0)
        return probabilities


set_model(Classifier())
