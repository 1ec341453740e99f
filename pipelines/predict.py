"""The label that a registered model gives a text, and how probable it is.

    python -m pipelines.predict "a film to remember"            the newest champion, or else the newest candidate
    python -m pipelines.predict model=lstm-reuters file=x.txt   one text a line; without file=, from standard input
    python -m pipelines.predict model=models:/lstm-imdb/3 …     that version; or models:/lstm-imdb@candidate
    … format=json                                               a line of JSON for each text
    … tracking.uri=http://…                                     the store that has the model

A text is cut into words as the training data were. A note stands beside an answer that could mislead: words that the
model does not know, words that it does not read because the text is too long, a text without words. The exit status is
0 when every text has an answer.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from rich.table import Table

from conf.schema import ConfigError, did_you_mean
from pipelines.command import execute, show_help
from pipelines.data.texts import read_texts
from sweeps import runtime, software
from sweeps.terminal.console import Console, escaped
from sweeps.terminal.waiting import Waiting
from sweeps.tracking import store
from sweeps.trials.native_logs import without_native_logs

if TYPE_CHECKING:
    from sweeps.tracking.prediction import Prediction
    from sweeps.tracking.predictor import ModelVersion

OPTIONS = ("model", "file", "format", "tracking.uri")
FORMATS = ("table", "json")
MODEL = re.compile(r"(models:/)?[^/@=\s]+(/\d+|@[\w.-]+)?")
SHOWN = 60  # characters of a text in the table
NAMED = 5  # other models


class Arguments(NamedTuple):
    texts: tuple[str, ...]
    uri: str
    model: str | None = None
    format: str = "table"


def main() -> NoReturn:
    execute(lambda console: predict(read_arguments(sys.argv[1:]), console))


def read_arguments(arguments: Sequence[str]) -> Arguments:
    """Return the options and the texts, read to their end; raises `ConfigError`."""
    show_help(arguments, __doc__)
    options: dict[str, str] = {}
    on_command_line: list[str] = []
    for argument in arguments:
        key, equals, value = argument.partition("=")
        bare = key.lstrip("-")
        if bare != key and (bare in OPTIONS or did_you_mean(bare, OPTIONS)):
            hint = did_you_mean(bare, OPTIONS)
            raise ConfigError(f"{argument}: an option has no dashes: {'=…, '.join(OPTIONS)}=…{hint}")
        if equals and key in OPTIONS:
            options[key] = value
        elif equals and did_you_mean(key, OPTIONS):  # any other argument with a = in it is a text
            raise ConfigError(f"{argument}: allowed: {'=…, '.join(OPTIONS)}=…{did_you_mean(key, OPTIONS)}")
        else:
            on_command_line.append(argument)
    model, form = options.get("model"), options.get("format", "table")
    if form not in FORMATS:
        raise ConfigError(f"format={form}: allowed: {', '.join(FORMATS)}")
    if model is not None and not MODEL.fullmatch(model):
        raise ConfigError(f"model={model}: must be <model>-<dataset>, models:/<model>-<dataset>/<version> or …@<alias>")
    uri = store.uri(options.get("tracking.uri"))
    return Arguments(tuple(read_texts(on_command_line, options.get("file"))), uri, model, form)


def predict(arguments: Arguments, console: Console) -> bool:
    """Print a prediction for each text, and return True."""
    software.require("tensorflow")
    with _loading("loading the model"), without_native_logs():
        from sweeps.tracking import predictor

        version = predictor.choose(arguments.uri, arguments.model)
        with runtime.without(*runtime.UNUSED_BY_KERAS):
            predictions = predictor.classify(arguments.uri, version, arguments.texts)
    if version.others:
        Console(sys.stderr).print(escaped(_choice(version)), soft_wrap=True)
    if arguments.format == "json":
        for text, prediction in zip(arguments.texts, predictions, strict=True):
            print(_as_json(text, prediction, version, ascii_only="utf" not in (sys.stdout.encoding or "utf-8").lower()))
    else:
        console.print(_table(arguments.texts, predictions, version))
    return True


def _choice(version: ModelVersion) -> str:
    """Say which other models there are: an answer may be expected of one of them."""
    models, more = len(version.others) + 1, len(version.others) - NAMED
    named = ", ".join(version.others[:NAMED]) + (f" and {more} more" if more > 0 else "")
    return f"{version.name} is the newest of {models} models; model=… names another: {named}"


@contextmanager
def _loading(what: str) -> Iterator[None]:
    """Say on standard error what is waited for: the answers on standard output may be another program's to read.

    It is a descriptor of its own, because native logs are kept off the usual one meanwhile.
    """
    with open(os.dup(2), "w", errors="backslashreplace") as stream, Waiting(Console(stream), what):
        yield


def _as_json(text: str, prediction: Prediction, version: ModelVersion, *, ascii_only: bool) -> str:
    model = {"model": version.name, "version": version.version}
    answer = {"text": text, **prediction._asdict(), "note": prediction.note, **model}
    return escaped(json.dumps(answer, ensure_ascii=ascii_only))  # which is JSON still


def _table(texts: Sequence[str], predictions: Sequence[Prediction], version: ModelVersion) -> Table:
    table = Table(title=str(version), title_justify="left", title_style="bold", box=None, header_style="bold")
    table.add_column("label", no_wrap=True)
    table.add_column("probability", justify="right")
    has_others = any(len(each.probabilities) > 2 for each in predictions)  # of two labels the other has the rest
    if has_others:
        table.add_column("or else")
    table.add_column("text")
    table.add_column("note")
    for text, prediction in zip(texts, predictions, strict=True):
        shown = text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
        second = [f"{prediction.second} {prediction.probabilities[prediction.second]:.4f}"] if has_others else []
        table.add_row(prediction.label, f"{prediction.probability:.4f}", *second, shown, prediction.note)
    return table


if __name__ == "__main__":
    main()
