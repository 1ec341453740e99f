"""Settings with which Keras cannot be imported are refused before it is."""

from collections.abc import Callable
from pathlib import Path

import pytest

from conf.schema import ConfigError, Job
from sweeps.session import checks


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"floatx": "bfloat16"}', "keras.json: floatx=bfloat16: allowed by Keras: float16, float32, float64"),
        ('{"image_data_format": "x"}', "keras.json: image_data_format=x: allowed by Keras: channels_last"),
        ('{"epsilon": 1}', "keras.json: epsilon=1: must be a number"),
        ("[]", "keras.json: must be a JSON object"),
        ("[" * 100_000, "keras.json: nested too deeply"),
    ],
)
def test_they_are_named(text: str, message: str, composed: Callable[..., Job], tmp_path: Path) -> None:
    (tmp_path / "keras").mkdir()
    (tmp_path / "keras" / "keras.json").write_text(text)
    with pytest.raises(ConfigError) as error:
        checks.check(composed().config)
    assert message in str(error.value)


@pytest.mark.parametrize("text", ["{", '{"floatx": "float64", "backend": "jax", "epsilon": 0.5}', ""])
def test_what_keras_can_read_is_not_refused(text: str, composed: Callable[..., Job], tmp_path: Path) -> None:
    (tmp_path / "keras").mkdir()
    (tmp_path / "keras" / "keras.json").write_text(text)
    checks.check(composed().config)
