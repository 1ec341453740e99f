"""The model as MLflow serves it: raw text in, labels out."""

import json
import os
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from sweeps.tracking import model_files, served_model

RANKS = {f"w{rank}": rank for rank in range(1, 30)}


class Recorder:
    """A network that finds the second class in everything."""

    def predict(self, ids: np.ndarray, **_: object) -> np.ndarray:
        self.shape = ids.shape
        return np.tile(np.array([0.25, 0.75], np.float32), (len(ids), 1))


@pytest.fixture(autouse=True)
def not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_FORCE_GPU_ALLOW_GROWTH", "")  # so that the test's end undoes what the model sets
    monkeypatch.delenv("TF_FORCE_GPU_ALLOW_GROWTH")


@pytest.fixture
def classifier(tmp_path, monkeypatch: pytest.MonkeyPatch) -> served_model.Classifier:
    (tmp_path / "vocabulary.json").write_text(json.dumps(RANKS))
    monkeypatch.setattr(served_model.keras.saving, "load_model", lambda _, safe_mode: Recorder())
    model = served_model.Classifier()
    encoder = {"tokens": "words", "num_words": 20, "maxlen": 5, "keep": "last", "unlisted": "skip"}
    artifacts = {"network": "", "vocabulary": tmp_path / "vocabulary.json", "encoder": model_files.ENCODER}
    settings = {"labels": ["bad", "good"], "encoder": encoder}
    model.load_context(SimpleNamespace(artifacts=artifacts, model_config=settings))
    return model


def test_it_takes_no_more_of_a_gpu_than_it_needs(classifier: served_model.Classifier) -> None:
    assert os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"  # which TensorFlow reads when it first takes one


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


TEXTS = {
    "one text": "w1",
    "a list": ["w1", "w2 w3"],
    "a tuple": ("w1", "w2 w3"),
    "an array": np.array(["w1", "w2 w3"]),
    "an array of one text": np.array("w1"),
    "an array of rows": np.array([["w1"], ["w2 w3"]]),
    "a series": pd.Series(["w1", "w2 w3"], index=[7, 3]),
    "a column without a name": pd.DataFrame(["w1", "w2 w3"]),
    "the only column": pd.DataFrame({"review": ["w1", "w2 w3"]}),
    "the column text": pd.DataFrame({"author": ["Kim Lee Park", ""], "text": ["w1", "w2 w3"], "year": [1, 2]}),
    "a column of categories": pd.DataFrame({"text": pd.Categorical(["w1", "w2 w3"])}),
    "a dictionary": {"text": ["w1", "w2 w3"]},
    "a dictionary of one text": {"text": "w1"},
    "a dictionary of columns": {"author": ["Kim Lee Park", ""], "text": np.array(["w1", "w2 w3"])},
    "records": [{"author": "Kim Lee Park", "text": "w1"}, {"author": "", "text": "w2 w3"}],
    "rows": [["w1"], ["w2 w3"]],
    "no text": [],
    "no row": pd.DataFrame({"text": []}),
    "no value": {"text": []},
}


@pytest.mark.parametrize("form", TEXTS)
def test_texts_come_in_many_forms(form: str, classifier: served_model.Classifier) -> None:
    answers = classifier.predict(None, TEXTS[form])
    expected = [] if form.startswith("no ") else [1] if "one text" in form else [1, 2]
    assert [answer["words"] for answer in answers] == expected


NO_TEXTS = {
    "nothing": (None, "number 1 is NoneType"),
    "null": (["w1", None], "number 2 is NoneType"),
    "NaN": (pd.DataFrame({"text": ["w1", float("nan")]}), "number 2 is float"),
    "NA": (pd.Series(["w1", pd.NA], dtype="string"), "number 2 is NAType"),
    "a number": (3, "number 1 is int"),
    "numbers": (np.array([1.5, 2]), "number 1 is float"),
    "bytes": (b"w1", "number 1 is bytes"),
    "a list of bytes": ([b"w1"], "number 1 is bytes"),
    "other columns": (pd.DataFrame({"author": ["a"], "title": ["b"]}), "there are: author, title"),
    "columns of one name": (pd.DataFrame([["a", "b"]], columns=["text", "text"]), "there are: text, text"),
    "columns without names": (pd.DataFrame([["a", "b"]]), "there are: 0, 1"),
    "no column": (pd.DataFrame(), "there are: none"),
    "an empty dictionary": ({}, "there are: none"),
    "a record without text": ([{"text": "w1"}, {"title": "b"}], "there are|number 2 is float"),
    "an array of several columns": (np.array([["a", "b"]]), "number 1 is list"),
    "a nested dictionary": ({"text": {"a": "b"}}, "number 1 is dict"),
}


@pytest.mark.parametrize("form", NO_TEXTS)
def test_anything_but_text_is_refused(form: str, classifier: served_model.Classifier) -> None:
    given, message = NO_TEXTS[form]
    with pytest.raises(MlflowException, match=message) as error:
        classifier.predict(None, given)
    assert error.value.error_code == "INVALID_PARAMETER_VALUE"
