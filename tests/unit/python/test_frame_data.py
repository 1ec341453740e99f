"""Keywords as arguments, and data frames as data."""

import stat
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from conf import arguments as grammar
from conf.schema import ConfigError
from tests.conftest import composed_job
from text_sweeps import frame_data

FRAME = pd.DataFrame({"review": ["good", "bad", "fine"], "stars": [1, 0, 1], "author": ["a", "b", "c"]})


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (12, "12"),
        (1e-05, "1e-05"),
        (np.float64(0.25), "0.25"),
        (np.int64(3), "3"),
        (True, "true"),
        (None, "null"),
        ("reviews of films.csv", "reviews of films.csv"),
        (Path("a") / "b.csv", "a/b.csv"),
        (["bag", "cnn"], "[bag,cnn]"),
        (("a b", 1.5, None, False), '["a b",1.5,null,false]'),
        ({"kind": "Float", "min_value": 0.0}, "{kind: Float, min_value: 0.0}"),
    ],
)
def test_a_value_is_written_as_on_a_command_line(value: object, written: str) -> None:
    assert grammar.assigned("key", value) == f"key={written}"


def test_keywords_configure_as_a_command_line_does() -> None:
    values: dict[str, Any] = {
        "trials": 3, "model": ["bag", "cnn"], "data": "imdb", "minutes": None, "references": "none",
        "networks.cnn.space.dropout": [0.0, 0.5], "networks.bag.space.dropout": {"kind": "Float", "max_value": 0.25},
        "tracking.experiment": "a = b",
    }  # fmt: skip
    config = composed_job(*frame_data.arguments(values)).config
    assert (config.trials, list(config.networks), list(config.datasets)) == (3, ["bag", "cnn"], ["imdb"])
    assert config.networks["cnn"].space["dropout"]["values"] == [0.0, 0.5]
    assert config.networks["bag"].space["dropout"]["max_value"] == 0.25
    assert config.tracking.experiment == "a = b"


def arguments(**values: Any) -> list[str]:
    return frame_data.arguments({"data": FRAME, "text": "review", "label": "stars", **values})


def test_a_frame_is_a_dataset_whose_file_holds_only_the_named_columns() -> None:
    config = composed_job(*arguments(name="reviews", model="lstm")).config
    (name, data), (file,) = next(iter(config.datasets.items())), config.datasets["reviews"].files
    assert name == "reviews"
    assert (data.text.columns, data.label) == (["review"], "stars")
    pd.testing.assert_frame_equal(pd.read_parquet(file), FRAME[["review", "stars"]])
    assert stat.S_IMODE(Path(file).parent.stat().st_mode) == 0o700


def test_columns_that_are_guessed_are_all_written() -> None:
    config = composed_job(*frame_data.arguments({"data": FRAME})).config
    assert list(pd.read_parquet(config.datasets["frame"].files[0]).columns) == ["review", "stars", "author"]


def test_a_file_is_named_by_its_content() -> None:
    assert arguments() == arguments(data=FRAME.copy())
    assert arguments()[0] != arguments(data=FRAME[::-1])[0]
    assert arguments()[0] != arguments(group="author")[0]


def test_several_columns_can_be_the_text() -> None:
    data = composed_job(*arguments(text=["review", "author"])).config.datasets["frame"]
    assert data.text.columns == ["review", "author"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"text": "reviews"}, "the data frame has no column reviews; did you mean 'review'"),
        ({"name": "../x"}, r"name=\.\./x: must be Latin letters"),
        ({"data": pd.DataFrame({"review": ["a", 1], "stars": [0, 1]})}, "data: the data frame cannot be written"),
        ({"data": "reviews.csv"}, "text=review: only for data= a data frame"),
    ],
)
def test_a_mistake_is_one_line(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        arguments(**values)
