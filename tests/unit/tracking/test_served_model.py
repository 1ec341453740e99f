"""The model as MLflow serves it: raw text in, labels out."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras.src.legacy.preprocessing.text import text_to_word_sequence
from mlflow.exceptions import MlflowException

from pipelines.data import dataset
from sweeps.tracking import served_model

RANKS = {f"w{rank}": rank for rank in range(1, 30)}
NUM_WORDS = 20


@given(st.lists(st.integers(1, 29), max_size=15), st.integers(1, 12))
def test_words_are_encoded_as_the_archives_documents_are(ranks: list[int], maxlen: int) -> None:
    (expected,) = dataset.encode([ranks], num_words=NUM_WORDS, maxlen=maxlen)
    words = [f"w{rank}" for rank in ranks]
    assert served_model.encode(words, RANKS, NUM_WORDS, maxlen) == expected.tolist()
    # A word that the index does not have is left out, as Keras's tokenizer did.
    assert served_model.encode(["new", *words, "newer"], RANKS, NUM_WORDS, maxlen) == expected.tolist()


@given(st.text(st.characters(codec="utf-8")) | st.text("aB'.!?-\t\n\r \xa0\x85é"))
def test_text_is_cut_into_words_as_keras_cut_it(text: str) -> None:
    assert served_model.split(text) == text_to_word_sequence(text)


class Recorder:
    """A network that finds the second class in everything."""

    def predict(self, ids: np.ndarray, **_: object) -> np.ndarray:
        self.shape = ids.shape
        return np.tile(np.array([0.25, 0.75], np.float32), (len(ids), 1))


@pytest.fixture
def classifier(tmp_path, monkeypatch: pytest.MonkeyPatch) -> served_model.Classifier:
    (tmp_path / "words.json").write_text(json.dumps(RANKS))
    monkeypatch.setattr(served_model.keras.saving, "load_model", lambda _: Recorder())
    model = served_model.Classifier()
    settings = {"labels": ["bad", "good"], "num_words": NUM_WORDS, "maxlen": 5}
    model.load_context(
        SimpleNamespace(artifacts={"network": "", "words": tmp_path / "words.json"}, model_config=settings)
    )
    return model


@pytest.mark.parametrize(
    ("text", "words", "unknown", "unread"),
    [
        ("", 0, 0, 0),
        ("?!", 0, 0, 0),
        ("W1, w2!", 2, 0, 0),
        ("w1 w25 new", 3, 2, 0),  # a rare word, and one that was never seen
        ("w1 " * 5, 5, 0, 0),
        ("w1 " * 8, 8, 0, 3),
        ("new " * 8, 8, 8, 0),
        ("어제 w3", 2, 1, 0),
    ],
)
def test_an_answer_says_how_much_was_understood(
    text: str, words: int, unknown: int, unread: int, classifier: served_model.Classifier
) -> None:
    (answer,) = classifier.predict(None, pd.DataFrame([text]))
    assert answer == {
        "label": "good",
        "probability": 0.75,
        "words": words,
        "unknown": unknown,
        "unread": unread,
        "probabilities": {"bad": 0.25, "good": 0.75},
    }


def test_anything_but_text_is_refused(classifier: served_model.Classifier) -> None:
    with pytest.raises(MlflowException, match="every text must be a string"):
        classifier.predict(None, pd.DataFrame(["a text", None]))
