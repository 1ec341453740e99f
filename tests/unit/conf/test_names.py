from dataclasses import replace

import pytest

from conf.schema import Config, ConfigError
from tests.conftest import composed_job


def named(key: str, name: str) -> Config:
    """The configuration of a job in which one name is another."""
    config = composed_job("data=imdb").config
    if key == "datasets":
        return replace(config, datasets={name: config.datasets["imdb"]})
    if key == "tracking.experiment":
        return replace(config, tracking=replace(config.tracking, experiment=name))
    if key == "tuner.name":
        return replace(config, tuner={**config.tuner, "name": name})
    part = key.partition(".")[0]
    return replace(config, **{part: replace(getattr(config, part), name=name)})


KEYS = ["model.name", "optimizer.name", "tuner.name", "datasets"]
REFUSED = [
    "bi/lstm",
    "a:b",
    "a.b",
    "a%b",
    'a"b',
    "o'neil",
    "",
    " a",
    "a ",
    "a b",
    "-a",
    "a" * 51,
    "a\nb",
    "a\x1b[31m",
    "..",
]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("name", REFUSED)
def test_a_name_that_mlflow_would_not_take_is_refused(key: str, name: str) -> None:
    with pytest.raises(ConfigError) as error:
        named(key, name)
    shown = f"datasets.{name}" if key == "datasets" else f"{key}={name}"
    assert str(error.value).startswith(" ".join(f"{shown}: must be a name of at most 50 characters; allowed: ".split()))


@pytest.mark.parametrize("key", [*KEYS, "tracking.experiment"])
@pytest.mark.parametrize("name", ["lstm", "bi-lstm_2", "실험", "हिन्दी", "e\u0301tude", "2layers", "a" * 50])
def test_letters_of_every_script_are_taken(key: str, name: str) -> None:
    assert isinstance(named(key, name), Config)


@pytest.mark.parametrize("name", ["", " a", "a ", "a\nb", "a\x1b[31m", ".", "..", "a" * 241, "실" * 27, "\u202eabc"])
def test_an_experiment_that_could_not_have_a_folder_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"^tracking\.experiment=.*: must be a name without blanks at its ends"):
        named("tracking.experiment", name)


@pytest.mark.parametrize("name", ["/Shared/team/x", "o'neil: 100 %", "[draft]", "실" * 26])
def test_an_experiment_may_have_other_characters(name: str) -> None:
    assert named("tracking.experiment", name).tracking.experiment == name
