"""The help of a sweep's command line: the keys that matter first, or every key in the words beside its field.

The options of a group are described by the comment on top of their files. Nothing slow is imported.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

import yaml

from conf.schema import TUNER_KEYS, Config

FOLDER = Path(__file__).parent
WIDTH, NARROW = 80, 13  # columns of a line, and of the names of options
LARGE = 10**6  # a bound from which on nobody asks
EVERYTHING = "all"

# The groups of options, each in a folder of its own, and what an option of each decides.
CHOICES = {
    "data": "the datasets, a sweep for each; or your own tables",
    "model": "the network; several in one search: model=[bag,cnn]",
    "optimizer": "what trains the network",
    "tuner": "how configurations are chosen",
    "stopping": "when a trial ends before its last epoch",
    "engine": "where trials run",
    "experiment": "settings that belong together",
}
# The keys that matter first: example -> text, or the key whose own text it is.
FIRST = {
    "data=reviews.csv": "your own table of texts and labels; or [reuters,imdb]",
    "model=lstm": "the network; several in one search: [bag,cnn]",
    "trials=30": "trials",
    "minutes=60": "minutes",
    "epochs=5": "epochs",
    "tuner=bayesian": "how configurations are chosen",
    "objective=val/macro_f1": "objective",
    "model.space.dropout=0.3": "fixes a hyperparameter; [0.1,0.3] or a range searches it",
    "engine.workers=2": "engine.workers",
    "tracking.uri=http://…": "tracking.uri",
    "dry_run=true": "dry_run",
    "resume=outputs/<sweep>": "resume",
}
DESCRIBED_FIRST = ("model", "tuner")  # the other groups are but named there
FLAGS = {
    "-m model=lstm,cnn": "a sweep for each of several values, one after the other",
    "--cfg job": "print the whole configuration as YAML, and run nothing",
    "--config-dir FOLDER": "a folder of your own with files as those of conf/, e.g. FOLDER/experiment/mine.yaml",
    "--help all": "every key; --help WORD: those whose name has the word",
}


class Key(NamedTuple):
    """A key of the configuration, as it is shown."""

    name: str  # datasets.<name>.maxlen
    default: str
    text: str
    values: str

    @property
    def description(self) -> str:
        return f"{self.text}; {self.values}" if self.values else self.text

    @property
    def assignment(self) -> str:
        return f"{self.name}={self.default}"


def text(asked: Sequence[str], command: str) -> str:
    """Return the help for the words beside `--help`; `command` starts the command line."""
    words = [word for word in asked if "=" not in word and not word.startswith("-")]
    if not words:
        return _first(command)
    if words == [EVERYTHING]:
        return _everything(command)
    found = [key for key in all_keys() if any(word in key.name for word in words)]
    lines = [_line(key.assignment, key.description) for key in found]
    return "\n".join(lines) or f"no key has {' or '.join(words)} in its name; all of them: {command} --help all"


def keys(node: Any = Config, prefix: str = "") -> Iterator[Key]:
    """Yield every key of the schema with its default."""
    hints = get_type_hints(node)
    for spec in fields(node):
        name, kind = prefix + spec.name, hints[spec.name]
        content = get_args(kind)[1] if get_origin(kind) is dict else kind
        if is_dataclass(content):
            yield from keys(content, f"{name}." if content is kind else f"{name}.<name>.")
        elif "help" in spec.metadata:
            yield Key(name, _default(spec), spec.metadata["help"], _values(spec, kind))


def options(group: str) -> dict[str, str]:
    """Return the options of a group, each with its description."""
    return {path.stem: _description(path) for path in sorted((FOLDER / group).glob("*.yaml"))}


def hyperparameters(group: str) -> dict[str, list[str]]:
    """Return the names in the space of each option of a group."""
    return {name: list(_content(group, name).get("space", {})) for name in options(group)}


def tuner_options(name: str) -> Iterator[Key]:
    """Yield the options of a tuner; the comment behind each is its description."""
    for line in (FOLDER / "tuner" / f"{name}.yaml").read_text(encoding="utf-8").splitlines():
        option = re.fullmatch(r"(\w+): (.*?)(?: +# (.*))?", line)
        if option and option[1] not in TUNER_KEYS:
            yield Key(f"tuner.{option[1]}", option[2], f"of tuner={name}: {option[3]}", "")


def all_keys() -> list[Key]:
    """Return every key of the schema, and the options of the tuners."""
    return [*keys(), *(option for tuner in options("tuner") for option in tuner_options(tuner))]


def _first(command: str) -> str:
    texts = {key.name: key.text for key in keys()}
    lines = [f"usage: {command} [KEY=VALUE …]", ""]
    lines += [_line(example, texts.get(words, words)) for example, words in FIRST.items()]
    for group in DESCRIBED_FIRST:
        lines += ["", *_described(group)]
    others = {group: options(group) for group in CHOICES if group not in DESCRIBED_FIRST}
    lines += ["", *(f"{group}: {', '.join(names)}" for group, names in others.items())]
    return "\n".join([*lines, "", f"every key: {command} --help all"])


def _everything(command: str) -> str:
    choices = ["\n".join(_described(group, with_space=group in ("model", "optimizer"))) for group in CHOICES]
    sections: dict[str, list[str]] = {}
    for key in sorted(all_keys(), key=lambda key: "." in key.name):  # those without a section first
        section, _, name = key.name.rpartition(".")
        sections.setdefault(section, []).append(_line(f"{name}={key.default}", key.description))
    titles: dict[str, list[str]] = {}  # of sections with the same keys, together
    for section, lines in sections.items():
        titles.setdefault("\n".join(lines), []).append(f"{section}." if section else "keys of a sweep:")
    flags = "\n".join(["flags:", *(_line(flag, words) for flag, words in FLAGS.items())])
    described = [f"{', '.join(names)}\n{lines}" for lines, names in titles.items()]
    usage = f"usage: {command} [KEY=VALUE …], every key with its default"
    return "\n\n".join([usage, *choices, *described, flags])


def _described(group: str, *, with_space: bool = False) -> list[str]:
    default = _written(next(each[group] for each in _defaults() if group in each))
    lines = [f"{group}={default}: {CHOICES[group]}"]
    for name, description in options(group).items():
        space = f"; space: {', '.join(hyperparameters(group)[name])}" if with_space else ""
        lines.append(_line(name, description + space, NARROW))
    return lines


def _defaults() -> list[dict[str, Any]]:
    content = yaml.safe_load((FOLDER / "sweep.yaml").read_text(encoding="utf-8"))
    return [each for each in content["defaults"] if isinstance(each, dict)]


def _content(group: str, name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((FOLDER / group / f"{name}.yaml").read_text(encoding="utf-8"))
    return content


def _description(path: Path) -> str:
    """Return the first sentence, or its main clause, of the comment on top of a file."""
    comments = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @package"):
            comments.append(line.removeprefix("# ").removeprefix("Goal: "))
    return re.split(r"[.;:](?: |$)", " ".join(comments))[0]


def _default(spec: Field[Any]) -> str:
    if spec.default_factory is not MISSING:
        return _written(spec.default_factory())
    return "…" if spec.default == "???" else _written(spec.default)  # OmegaConf's mark: each option has its own


def _written(value: Any) -> str:
    """Return a value as a command line has it."""
    if isinstance(value, list):
        return f"[{','.join(map(_written, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return "{}" if value == {} else str(value)


def _values(spec: Field[Any], kind: Any) -> str:
    """Return the words for the values that a key takes, where its text does not say it all."""
    if "allowed" in spec.metadata:
        return " | ".join(dict.fromkeys(spec.metadata["allowed"]))
    if kind is bool:
        return "true | false"
    if "low" not in spec.metadata:
        return ""
    low, high = spec.metadata["low"], spec.metadata["high"]
    if high is not None and high < LARGE:
        return f"{low} to {high}"
    return f"more than {low}" if spec.metadata["open_low"] else f"at least {low}"


def _line(start: str, words: str, column: int = 29) -> str:
    """Return a line with two columns, the second wrapped; a long first one has a line of its own."""
    indent = " " * column
    lines = textwrap.wrap(words, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
    head = f"  {start}"
    if len(head) < column - 1:
        return "\n".join([head.ljust(column) + lines[0].lstrip(), *lines[1:]])
    return "\n".join([head, *lines])
