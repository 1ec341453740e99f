"""What the chosen model says of a text: its label and how probable that is.

    python -m pipelines.predict "a film to remember"            the newest champion, else the newest candidate
    python -m pipelines.predict model=lstm-reuters file=x.txt   one text a line; or from standard input
    python -m pipelines.predict model=models:/lstm-imdb/3 …     that version; models:/lstm-imdb@candidate
    … format=json                                               a line of JSON for each text
    … tracking.uri=http://…                                     the store that has the model

A text is cut into words as the training data were. Beside each answer stands what could mislead: words that the model
does not know, words that it does not read because the text is too long, a text without words. Exit status: 0 when
every text has an answer.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.command import show_help
from conf.schema import ConfigError, did_you_mean
from sweeps.tracking import store
from sweeps.trials.native_logs import without_native_logs
from sweeps.errors import SweepError

if TYPE_CHECKING:
    from sweeps.tracking.predictor import Answer, Chosen

OPTIONS = ("model", "file", "format", "tracking.uri")
FORMATS = ("table", "json")
MODEL = re.compile(r"(models:/)?[^/@=\s]+(/\d+|@[\w.-]+)?")
SHOWN = 60  # characters of a text in the table


class Arguments(NamedTuple):
    texts: tuple[str, ...]
    uri: str
    model: str | None = None
    format: str = "table"


def main() -> None:
    console = Console()
    try:
        predict(read_arguments(sys.argv[1:]), console)
    except (ConfigError, SweepError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def read_arguments(arguments: Sequence[str]) -> Arguments:
    """Options, and texts, which are read to their end; raises `ConfigError`."""
    show_help(arguments, __doc__)
    given: dict[str, str] = {}
    texts: list[str] = []
    for argument in arguments:
        key, is_option, value = argument.partition("=")
        if is_option and key in OPTIONS:
            given[key] = value
        elif is_option and did_you_mean(key, OPTIONS):  # else it is a text that has a = in it
            raise ConfigError(f"{argument}: allowed: {'=…, '.join(OPTIONS)}=…{did_you_mean(key, OPTIONS)}")
        else:
            texts.append(_utf8(argument))
    if given.get("format", "table") not in FORMATS:
        raise ConfigError(f"format={given['format']}: allowed: {', '.join(FORMATS)}")
    if "model" in given and not MODEL.fullmatch(given["model"]):
        raise ConfigError(
            f"model={given['model']}: must be <model>-<dataset>, models:/<model>-<dataset>/<version> or …@<alias>"
        )
    uri = store.uri(given.get("tracking.uri"))
    return Arguments(tuple(_texts(texts, given.get("file"))), uri, given.get("model"), given.get("format", "table"))


def _utf8(argument: str) -> str:
    """As it is; Python stands in for the bytes of an argument that is not UTF-8 with what cannot be written again."""
    try:
        argument.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"{argument!a}: the text is not UTF-8") from error
    return argument


def _texts(given: list[str], file: str | None) -> list[str]:
    if given and file is not None:
        raise ConfigError(f"file={file}: beside a text on the command line; give one of them")
    if given:
        return given
    if file is None:
        if sys.stdin.isatty():
            raise ConfigError(
                'no text: give one, e.g. "a film to remember", or file=…, or one text a line on standard input'
            )
        return _lines("standard input", sys.stdin.buffer.read())
    try:
        return _lines(f"file={file}", Path(file).expanduser().read_bytes())
    except OSError as error:
        raise ConfigError(f"file={file}: cannot be read ({error.strerror})") from error


def _lines(name: str, content: bytes) -> list[str]:
    """One text a line, empty ones too: the answers are in the same places."""
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if not lines[-1]:
        lines.pop()
    if not lines:
        raise ConfigError(f"{name}: holds no text")
    texts = []
    for number, line in enumerate(lines, start=1):
        try:
            texts.append(line.removesuffix(b"\r").decode())
        except UnicodeDecodeError as error:
            raise ConfigError(f"{name}: line {number} is not UTF-8; nothing was classified") from error
    return texts


def predict(arguments: Arguments, console: Console) -> None:
    """Print what the model says of each text."""
    from sweeps.tracking import predictor

    chosen = predictor.choose(arguments.uri, arguments.model)
    with without_native_logs():
        answers = predictor.classify(arguments.uri, chosen, arguments.texts)
    if arguments.format == "json":
        for text, answer in zip(arguments.texts, answers, strict=True):
            print(_as_json(text, answer, chosen))
        return
    console.print(_table(arguments.texts, answers, chosen))


def note(answer: Answer) -> str:
    """What could mislead of an answer, or nothing."""
    if not answer.words:
        return "no words: this is what the model says of nothing"
    said = []
    if answer.unknown == answer.words:
        said.append("none of its words is known")
    elif answer.unknown:
        said.append(f"{answer.unknown} of {answer.words} words unknown")
    if answer.unread:
        said.append(f"only its end is read, not the first {answer.unread} words")
    return "; ".join(said)


def _as_json(text: str, answer: Answer, chosen: Chosen) -> str:
    said = {"text": text, **answer._asdict(), "note": note(answer), "model": chosen.name, "version": chosen.version}
    return json.dumps(said, ensure_ascii=False)


def _table(texts: Sequence[str], answers: Sequence[Answer], chosen: Chosen) -> Table:
    table = Table(title=str(chosen), title_justify="left", title_style="bold", box=None, header_style="bold")
    table.add_column("label", no_wrap=True)
    table.add_column("probability", justify="right")
    table.add_column("text")
    table.add_column("note")
    for text, answer in zip(texts, answers, strict=True):
        shown = text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
        table.add_row(answer.label, f"{answer.probability:.4f}", Text(shown), note(answer))
    return table


if __name__ == "__main__":
    main()
