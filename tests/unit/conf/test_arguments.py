import shlex
from collections.abc import Callable
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from conf import arguments
from conf.schema import ConfigError, Job


def value_of(argument: str, *others: str) -> Any:
    """The value that Hydra reads in an argument, with its sweeps as the list of their choices."""
    prepared = arguments.prepared([argument, *others])[0]
    override = OverridesParser.create().parse_override(prepared)
    return (
        [value.strip('"') for value in override.sweep_string_iterator()]
        if override.is_sweep_override()
        else override.value()
    )


@pytest.mark.parametrize(
    "text",
    [
        "실험",
        "/데이터/imdb.npz",
        "postgresql://h/db?sslmode=require",
        "a;b#c&d!e~f^g'h",
        "1e3",
        "1_000",
        "010",
        "yes",
        "true",
        "nan",
        "3",
        "[draft]",
        "{a: 1}",
        "a,b",
        "(a)",
        '"a',
        'a"b\\',
        "~/imdb.npz",
        " 실 ",
        "postgresql://u:${oc.env:PW}@h/db?x=1",
    ],
)
@pytest.mark.parametrize(
    "key", ["tracking.experiment", "datasets.any.archive", "datasets.any.text.url", "++model.name"]
)
def test_what_is_typed_for_a_text_is_its_value(key: str, text: str) -> None:
    assert value_of(f"{key}={text}") == text


@given(st.text(st.characters(blacklist_characters="\n\r\\\0", blacklist_categories=["Cs"]), min_size=1))
def test_any_text_between_other_characters_arrives(text: str) -> None:
    assert value_of(f"tracking.experiment=é{text}é") == f"é{text}é"


def test_a_command_line_needs_no_quotes(composed: Callable[..., Job]) -> None:
    line = (
        "data=imdb",
        "tracking.experiment=실험",
        "datasets.imdb.archive=/데이터/imdb.npz",
        "tracking.uri=postgresql://h/d?a=b",
    )
    config = composed(*line).config
    assert (config.tracking.experiment, config.datasets["imdb"].archive) == ("실험", "/데이터/imdb.npz")
    assert config.tracking.uri == "postgresql://h/d?a=b"


@given(st.text('ab\\"', min_size=1))
def test_a_quoted_text_is_read_as_it_was(text: str) -> None:
    override = OverridesParser.create().parse_override(f"key={arguments.quoted(text)}")
    assert override.value() == text


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("tracking.experiment=null", None),
        ('tracking.experiment="null"', "null"),
        ("tracking.experiment='1e3'", "1e3"),
        ("tracking.experiment=a\\,b", "a,b"),
        ("tracking.experiment=", ""),
        ("target=1e-1", 0.1),
        ("trials=1_000", 1000),
        ("model.space.lstm_units=[32,64]", [32, 64]),
        ("tuner.alpha=1e-3", 0.001),
        ('datasets.any.text.labels=["부정",b]', ["부정", "b"]),
        ("model=실험", "실험"),
        ("experiment=실험-2", "실험-2"),
    ],
)
def test_everything_else_is_hydras(argument: str, value: Any) -> None:
    assert value_of(argument) == value


@pytest.mark.parametrize(
    ("argument", "values"),
    [
        ("tracking.experiment=a,b", ["a", "b"]),
        ("tracking.experiment=choice(a,b)", ["a", "b"]),
        ('tracking.experiment="가","나"', ["가", "나"]),
        ("tracking.experiment=가", "가"),
        ("tracking.experiment=1e3", "1e3"),
    ],
)
def test_a_multirun_keeps_its_choices(argument: str, values: Any) -> None:
    assert value_of(argument, "-m") == values


@pytest.mark.parametrize(
    "argument",
    [
        "datasets.imdb.text.labels=[부정,긍정]",
        "data=[리뷰,imdb]",
        "tuner.option=실험",
        "model.space.lstm_units={kind: Choice, values: [가,나], default: 가}",
        "tuner.option=a=b",
    ],
)
def test_a_value_that_cannot_be_read_is_shown_as_it_must_be_written(
    argument: str, composed: Callable[..., Job]
) -> None:
    with pytest.raises(ConfigError) as error:
        composed(argument)
    message, _, written = str(error.value).partition("; with quotes inside the argument: ")
    assert message == f"{argument}: not of the form key=value"
    (shown,) = shlex.split(written)
    assert shown.replace('"', "") == argument
    OverridesParser.create().parse_override(shown)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (
            "datasets.리뷰.archive=/x",
            "datasets.리뷰.archive=/x: not of the form key=value; a key is written in ASCII; ",
        ),
        ("trials==1", "trials==1: not of the form key=value; "),
        ("trials=[1", "trials=[1: not of the form key=value; no viable alternative at input '[1'"),
    ],
)
def test_an_argument_that_no_quotes_mend_is_named(argument: str, message: str, composed: Callable[..., Job]) -> None:
    with pytest.raises(ConfigError) as error:
        composed(argument)
    assert str(error.value).startswith(message)
    assert "quotes" not in str(error.value)
