"""Every key of the configuration, its type and its range.

Hydra refuses unknown keys and wrong types while it composes; `OmegaConf.to_object` then runs `Config.__post_init__`,
which checks the ranges written beside the fields. `sweeps.session.checks` checks the rest against the code: the
objective against the table of metrics, and every space and option against the function that takes it. After that nobody
checks again.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, NamedTuple
from urllib.parse import quote

from omegaconf import MISSING

from conf import secrets

NETWORK = "model"  # the hyperparameter that chooses one of several networks
Value = int | float | str | bool  # of a hyperparameter
Values = Mapping[str, Value]  # hyperparameter -> value

# Keys that may change when a sweep is resumed: none of them decides the outcome of a trial.
RESUMABLE = ("trials", "minutes", "target", "references", "order", "engine", "tracking", "ui")
# Keywords that a dataset's `read` function may have; it is called with those that it names.
READ_KEYWORDS = ("name", "source", "archive", "url", "sha256", "num_words", "maxlen", "num_classes")
# Keys of `Data` that only tables have, and those that only documents have which a function reads.
TABLE_KEYS = ("label", "group", "time", "split", "test", "duplicates", "rare", "tokens")
DOCUMENT_KEYS = ("read", "source", "archive", "url", "sha256", "num_classes")
# Keys of `Data` that decide how a text becomes ids, and those that `Data.space` can search.
ENCODING = ("tokens", "num_words", "maxlen", "keep")
SEARCHABLE = (*ENCODING, "class_weight", "label_smoothing")
FEWEST_WORDS = 5  # of a table's vocabulary: padding, start, unknown, an unused id, and one token
# Keys of every tuner; all others are options of its oracle.
TUNER_KEYS = ("name", "oracle", "ends_trials")
LONGEST_NAME = 50  # characters; a directory's name has others beside them, and at most 255 bytes
STOPPING_OPTIONS = {"patience": [], "median": ["grace", "min_trials"], "none": []}
# The keys that each engine takes. The last two get their workers as trials need them, and give them back.
ENGINE_KEYS = {
    "local": ("workers", "threads", "memory", "workers_per_gpu"),
    "cluster": ("scheduler",),
    "slurm": ("min", "max", "threads", "memory", "gpus", "partition", "account", "walltime"),
    "kubernetes": ("min", "max", "threads", "memory", "gpus", "image", "namespace"),
}
ELASTIC = ("slurm", "kubernetes")


class ConfigError(ValueError):
    """A user's mistake, in one line without passwords: the dotted key, its value, what is allowed."""

    def __init__(self, message: str) -> None:
        super().__init__(secrets.hidden(" ".join(message.split())))

    def _render_traceback_(self) -> list[str]:
        """Return what a notebook shows instead of a traceback, whose frames are this project's."""
        return [f"{type(self).__name__}: {self}"]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` if a known word is similar, otherwise an empty string."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean '{near[0]}'?" if near else ""


def _key(default: Any, text: str, **bounds: Any) -> Any:
    """A field with the line that `--help` shows of it."""
    return field(default=default, metadata={"help": text, **bounds})


def _number(default: Any, text: str, *, low: float, high: float | None = None, open_low: bool = False) -> Any:
    """A field between `low` and `high`, both included; with `open_low`, `low` is excluded."""
    return _key(default, text, low=low, high=high, open_low=open_low)


def _one_of(default: Any, text: str, *allowed: str) -> Any:
    return _key(default, text, allowed=allowed)


def _address(text: str) -> Any:
    """A field that may hold a password, which neither a log nor a traceback shows."""
    return field(default=None, repr=False, metadata={"help": text})


@dataclass
class Text:
    """The raw texts: the columns of a table that hold them or, for documents of word ranks, what leads back to texts.

    A registered model takes raw text and answers by name.
    """

    columns: list[str] = field(
        default_factory=list,
        metadata={"help": "columns of a table that hold the texts; several are joined, [] is guessed"},
    )
    words: str | None = _key(None, "a word index: a JSON file that maps each word to its rank; null: Keras's, or url")
    url: str | None = _address("where the word index is downloaded, if it is neither named nor in Keras's cache")
    sha256: str | None = _key(None, "the hash that the word index must have; null: any")
    labels: list[str] = field(
        default_factory=list, metadata={"help": "a name for each class; []: the classes are numbers"}
    )


@dataclass
class Data:
    """A labelled text corpus: where its documents are, how they are divided, and how they are encoded.

    `files` names a table of texts. Without it the function `read` returns documents of word ranks.
    """

    files: list[str] = field(
        default_factory=list,
        metadata={"help": "tables, folders and globs, all of one dataset; data=reviews.csv is shorter"},
    )
    label: str | None = _key(None, "the table's column of labels; null is guessed")
    group: str | None = _key(None, "a column: rows of one group are all in train, in validation or in test")
    time: str | None = _key(None, "a column: the latest rows are tested")
    split: str | None = _key(None, "a column that says train, validation or test; none: no column is guessed")
    test: Any = field(default=0.2, metadata={"help": "a fraction of the rows to test on, or files of their own"})
    duplicates: str = _one_of("apart", "apart: equal texts are in one part", "apart", "keep")
    rare: str = _one_of("keep", "what is done with labels of too few texts for three parts", "keep", "merge", "drop")
    read: str = _key(
        "pipelines.data.archives.read", "the function that returns the documents of a dataset without files"
    )
    source: str = _one_of(
        "auto", "auto: the archive, or else the generated stand-in, which says so", "auto", "archive", "standin"
    )
    archive: str | None = _key(None, "a file in Keras's format; null: the one in Keras's cache, or url")
    url: str | None = _address("where the archive is downloaded, if it is neither named nor in Keras's cache")
    sha256: str | None = _key(None, "the hash that the archive must have; null: any")
    num_classes: int | None = _number(None, "how many labels documents have; a table's are counted", low=2)
    validation: Any = field(
        default=0.2,
        metadata={"help": "a fraction of train; test: nothing is searched or stopped, and test is looked at"},
    )
    split_seed: int = _number(113, "draws the parts", low=0, high=2**32 - 1)
    tokens: str = _one_of(
        "words", "what a table's text is cut into", "words", "characters", "wordpiece", "bpe", "unigram"
    )
    num_words: int = _number(MISSING, "the most frequent tokens, which have an id each", low=4, high=10**9)
    maxlen: int = _number(MISSING, "tokens of a text that a network reads", low=1, high=10**6)
    keep: str = _one_of("last", "the end of a longer text that is read", "last", "first", "both")
    class_weight: str = _one_of(
        "none", "balanced: each label counts the same in the loss, however many texts it has", "none", "balanced"
    )
    label_smoothing: float = _number(
        0.0, "e.g. 0.1: the share of each label in the minimised loss that all classes divide", low=0, high=0.9
    )
    text: Text = field(default_factory=Text)
    # Of the keys in `SEARCHABLE`; each has the key's own value as its default.
    space: dict[str, Any] = field(
        default_factory=dict,
        metadata={"help": "those of these settings that are searched, e.g. space.maxlen=[100,400]"},
    )

    @property
    def encoding(self) -> tuple[Value, ...]:
        """The values that decide how a text becomes ids."""
        return tuple(getattr(self, key) for key in ENCODING)


@dataclass
class Buildable:
    """A builder (the dotted name of a function of plain numbers) and the space of its keywords."""

    name: str = _key(MISSING, "its name in directories, runs and registered models")
    build: str = _key(MISSING, "the dotted name of the function that builds it")
    space: dict[str, Any] = field(
        default_factory=dict,
        metadata={"help": "its hyperparameters: 128 fixes one, [50,100] or a mapping of kind= searches it"},
    )


# What a sweep searches, by the section of the configuration: `model`, or a `networks.<name>` for each of several
# networks; `optimizer`; and `datasets.<name>`.
Parts = Mapping[str, Buildable | Data]


@dataclass
class Stopping:
    name: str = _one_of(MISSING, "the rule; stopping= chooses it", *STOPPING_OPTIONS)
    grace: int | None = _number(None, "of median: epochs that every trial gets", low=1)
    min_trials: int | None = _number(None, "of median: finished trials before one is compared with them", low=1)


@dataclass
class Engine:
    name: str = _one_of(MISSING, "where trials run; engine= chooses it", *ENGINE_KEYS)
    workers: int | None = _number(None, "trials at once; null: workers_per_gpu for each GPU, else one per core", low=1)
    threads: int = _number(1, "TensorFlow threads per worker; more workers are faster than more threads", low=1)
    memory: str | None = _key(None, "per worker, e.g. 4GiB; null: no limit")
    scheduler: str | None = _address("of engine=cluster: the address of a Dask cluster, tcp://host:port")
    workers_per_gpu: int = _number(4, "they share its memory, each taking what it needs", low=1)
    min: int = _number(1, "of slurm and kubernetes: workers that stay while a sweep runs", low=1)
    max: int = _number(8, "of slurm and kubernetes: workers at most, where as many trials are left", low=1)
    gpus: int = _number(0, "of slurm and kubernetes: GPUs of each worker, whose trial uses one", low=0, high=1)
    partition: str | None = _key(None, "of engine=slurm: the partition; null: the cluster's default")
    account: str | None = _key(None, "of engine=slurm: the account that pays; null: the user's default")
    walltime: str = _key("04:00:00", "of engine=slurm: the time of a job, which is one worker; another follows it")
    image: str | None = _key(None, "of engine=kubernetes: the container image, with this project as it is here")
    namespace: str | None = _key(None, "of engine=kubernetes: the namespace; null: the current one")


@dataclass
class Tracking:
    uri: str | None = _address("MLflow's store; null: MLFLOW_TRACKING_URI, else ./mlflow.db")
    experiment: str | None = _key(None, "where in MLflow the runs are; null: the name of the dataset")


@dataclass
class Config:
    """One job: a sweep of one model, or of several networks, on each of `datasets`."""

    datasets: dict[str, Data] = field(default_factory=dict)
    model: Buildable = field(default_factory=Buildable)  # of several networks it has but the name of all together
    networks: dict[str, Buildable] = field(default_factory=dict)  # empty where the model is one
    optimizer: Buildable = field(default_factory=Buildable)
    # `name`, `oracle` (the dotted name of a function) and the options that this function takes.
    tuner: dict[str, Any] = field(default_factory=dict)
    stopping: Stopping = field(default_factory=Stopping)
    engine: Engine = field(default_factory=Engine)
    tracking: Tracking = field(default_factory=Tracking)
    trials: int = _number(12, "configurations per dataset, the baseline included", low=1)
    first: list[dict[str, Any]] = field(
        default_factory=list,
        metadata={"help": "configurations to try after the baseline, e.g. [{lstm_units: 60}]; the rest by default"},
    )
    epochs: int = _number(10, "at most, per trial", low=1)
    batch_size: int = _number(100, "texts in a step of training", low=1, high=10**9)
    patience: int = _number(2, "of stopping=patience: epochs without a better objective that end a trial", low=1)
    minutes: float | None = _number(
        None, "for all datasets; then running trials end with their epoch", low=0, open_low=True
    )
    target: float | None = _key(None, "the sweep ends when the objective reaches it, e.g. 0.88")
    retries: int = _number(1, "more attempts at a trial whose worker died", low=0)
    max_failures: int = _number(5, "failed trials in a row that end the sweep", low=1)
    trial_minutes: float | None = _number(None, "a trial that takes longer fails", low=0, open_low=True)
    # Keras Tuner reads 0 as "no seed" and would draw one.
    seed: int = _number(1, "of everything that is drawn, but for the parts of the data", low=1, high=2**31 - 1)
    objective: str = _key("val/accuracy", "what is improved: val/accuracy, val/loss, val/macro_f1")
    references: str = _one_of(
        "linear", "linear models on counts of words, trained beside the networks", "linear", "none"
    )
    order: bool = _key(False, "then confirm each choice, also with the words of each text shuffled: docs/trust.md")
    ui: bool = _key(False, "a page on this machine shows the sweeps while they run; its address is printed")
    dry_run: bool = _key(False, "only show what would run, and how long")
    resume: str | None = _key(None, "a directory whose sweeps go on where they stopped")
    reproduce: str | None = _key(None, "a trial's run id in MLflow: train it once more, and compare every epoch")

    def __post_init__(self) -> None:
        _check_fields(self)
        if not self.datasets:
            raise ConfigError("data: at least one dataset is needed, e.g. data=imdb")
        for name, data in self.datasets.items():
            _check_kind(f"datasets.{name}", data)
            _check_validation(f"datasets.{name}.validation", data.validation)
            _check_labels(f"datasets.{name}", data)
            if self.order and data.validation == "test":
                raise ConfigError(
                    f"order=true: datasets.{name}.validation=test lets nothing choose the epochs of a confirmation"
                )
        if self.reproduce is not None and not re.fullmatch("[0-9a-f]{32}", self.reproduce):
            raise ConfigError(f"reproduce={self.reproduce}: must be a run's id, 32 digits of 0-9 and a-f")
        _check_networks(self)
        _check_stopping(self.stopping)
        _check_tuner(self.tuner, self.trials)
        for key, name in self._names():
            _check_name(key, name)
        _check_experiment(self.tracking.experiment)
        if self.stopping.name == "median" and self.tuner.get("ends_trials"):
            raise ConfigError(
                f"stopping=median: tuner={self.tuner['name']} ends the worse trials itself; allowed: patience, none"
            )
        _check_engine(self.engine)
        _check_addresses(self)

    def parts(self, dataset: str) -> Parts:
        """Return the parts of the sweep on a dataset."""
        return {**self.models, "optimizer": self.optimizer, f"datasets.{dataset}": self.datasets[dataset]}

    @property
    def models(self) -> dict[str, Buildable]:
        """The one network, or each of several, by its section."""
        return {f"networks.{key}": each for key, each in self.networks.items()} or {"model": self.model}

    def network(self, values: Values) -> Buildable:
        """Return the network that a trial's values choose."""
        networks = {each.name: each for each in self.networks.values()}
        return networks[str(values[NETWORK])] if networks else self.model

    def _names(self) -> Iterator[tuple[str, str]]:
        """Yield the names that directories, runs, registered models and MLflow's searches have in them."""
        for section, network in self.models.items():
            yield f"{section}.name", network.name
        yield "model.name", self.model.name
        yield "optimizer.name", self.optimizer.name
        yield "tuner.name", self.tuner["name"]
        for name in self.datasets:
            yield f"datasets.{name}", name

    def addresses(self) -> Iterator[tuple[str, str | None]]:
        """Yield the key and the value of every place that may hold an address, and with it a password."""
        yield "tracking.uri", self.tracking.uri
        yield "engine.scheduler", self.engine.scheduler
        for name, data in self.datasets.items():
            yield f"datasets.{name}.url", data.url
            yield f"datasets.{name}.text.url", data.text.url


def _check_fields(node: Any, prefix: str = "") -> None:
    """Check every number and name of the tree against the bounds written beside its field."""
    for spec in fields(node):
        value, key = getattr(node, spec.name), prefix + spec.name
        if is_dataclass(value):
            _check_fields(value, f"{key}.")
        elif isinstance(value, dict):
            for name, child in value.items():
                if is_dataclass(child):
                    _check_fields(child, f"{key}.{name}.")
        elif value is not None:
            _check_value(key, value, spec.metadata)


def _check_value(key: str, value: Any, bounds: Any) -> None:
    if "allowed" in bounds and value not in bounds["allowed"]:
        raise ConfigError(f"{key}={value}: allowed: {', '.join(bounds['allowed'])}")
    if "low" not in bounds:
        return
    low, high, above = bounds["low"], bounds["high"], bounds["open_low"]
    if not (value > low if above else value >= low) or (high is not None and value > high):
        lower = f"greater than {low}" if above else f"at least {low}"
        raise ConfigError(f"{key}={value}: must be {lower}" + (f" and at most {high}" if high is not None else ""))


def check_setting(data: Data, name: str, key: str, value: Any) -> None:
    """Raise `ConfigError` for a value, given by `key`, that the setting `name` of a dataset does not take."""
    (setting,) = (setting for setting in fields(Data) if setting.name == name)
    kinds = {"int": ("an integer", (int,)), "float": ("a number", (int, float))}
    if setting.type in kinds and type(value) not in kinds[setting.type][1]:
        raise ConfigError(f"{key}={value}: must be {kinds[setting.type][0]}")
    _check_value(key, value, setting.metadata)
    if name == "num_words" and data.files and value < FEWEST_WORDS:
        raise ConfigError(f"{key}={value}: must be at least {FEWEST_WORDS}, or no token of a table gets an id")


def _check_kind(section: str, data: Data) -> None:
    """Refuse the keys of tables for documents, and those of documents for tables."""
    kind, others = ("a table (files)", DOCUMENT_KEYS) if data.files else ("a dataset without files", TABLE_KEYS)
    for key in others:
        value = getattr(data, key)
        if value != getattr(Data(), key):
            raise ConfigError(f"{section}.{key}={value}: {kind} does not take it")
    for key in ("words", "url", "sha256", "labels") if data.files else ("columns",):
        if value := getattr(data.text, key):
            raise ConfigError(f"{section}.text.{key}={value}: {kind} does not take it")
    if data.files:
        check_setting(data, "num_words", f"{section}.num_words", data.num_words)
        _check_test(f"{section}.test", data.test)
    elif data.num_classes is None:
        raise ConfigError(f"{section}.num_classes: has no value")


def _check_test(key: str, value: Any) -> None:
    if isinstance(value, str) or (isinstance(value, list) and value and all(isinstance(each, str) for each in value)):
        return
    if not isinstance(value, float) or not 0 < value < 1:
        raise ConfigError(f"{key}={value}: must be a fraction of the rows between 0 and 1 (both excluded), or files")


def _check_name(key: str, name: str) -> None:
    """Raise `ConfigError` for a name that MLflow, a search in it, an address or a folder would not take as it is."""
    is_short = name[:1].isalnum() and len(name) <= LONGEST_NAME
    if not is_short or not all(letter in "-_" or unicodedata.category(letter)[0] in "LMN" for letter in name):
        shown = key if key.startswith("datasets.") else f"{key}={name}"
        raise ConfigError(
            f"{shown}: must be a name of at most {LONGEST_NAME} characters; allowed: letters, digits, - and _, "
            "a letter or a digit first"
        )


def _check_experiment(name: str | None) -> None:
    if name is None:
        return
    if not name or name != name.strip() or not name.isprintable() or name in (".", "..") or len(quote(name, "")) > 240:
        raise ConfigError(
            f"tracking.experiment={name}: must be a name without blanks at its ends, without control characters and of "
            "at most 240 bytes, written as in an address; null is the name of the dataset"
        )


def _check_validation(key: str, value: Any) -> None:
    if value == "test":
        return
    if not isinstance(value, float) or not 0 < value < 1:
        raise ConfigError(f"{key}={value}: must be a fraction of train between 0 and 1 (both excluded), or 'test'")


def _check_labels(key: str, data: Data) -> None:
    labels = data.text.labels
    if labels and not len(set(labels)) == len(labels) == data.num_classes:
        raise ConfigError(
            f"{key}.text.labels={','.join(labels)}: {len(set(labels))} different names for "
            f"{key}.num_classes={data.num_classes}; must be one for each class, or []"
        )


def _check_networks(config: Config) -> None:
    if config.networks and config.model.build:
        raise ConfigError(
            f"model.build={config.model.build}: several networks have a builder each: "
            + ", ".join(f"networks.{key}.build" for key in config.networks)
        )
    names = [network.name for network in config.networks.values()]
    for key, network in config.networks.items():
        if names.count(network.name) > 1:
            raise ConfigError(f"networks.{key}.name={network.name}: another network has that name")


def _check_stopping(stopping: Stopping) -> None:
    options = STOPPING_OPTIONS[stopping.name]
    for option in (spec.name for spec in fields(stopping) if spec.name != "name"):
        value = getattr(stopping, option)
        if value is not None and option not in options:
            allowed = ", ".join(options) or "no options"
            raise ConfigError(f"stopping.{option}={value}: stopping={stopping.name} takes {allowed}")
        if value is None and option in options:
            raise ConfigError(f"stopping.{option}=null: stopping={stopping.name} needs a number")


def _check_tuner(tuner: dict[str, Any], trials: int) -> None:
    """Check the keys that every tuner has, and the one that counts trials."""
    for key in ("name", "oracle"):
        if not isinstance(tuner.get(key), str):
            raise ConfigError(f"tuner.{key}={tuner.get(key)}: must be a name")
    if not isinstance(tuner.get("ends_trials", False), bool):
        raise ConfigError(f"tuner.ends_trials={tuner['ends_trials']}: must be true or false")
    if "initial_points" not in tuner:
        return
    if trials < 2:
        raise ConfigError(f"trials={trials}: tuner={tuner['name']} needs at least 2, one of them an initial point")
    points = tuner["initial_points"]
    if isinstance(points, int) and points >= trials:
        raise ConfigError(
            f"tuner.initial_points={points}: must be less than trials={trials}, "
            f"otherwise nothing is left for the {tuner['name']} search"
        )


def _check_engine(engine: Engine) -> None:
    if engine.name == "cluster" and engine.scheduler is None:
        raise ConfigError("engine.scheduler=null: engine=cluster needs the scheduler's address, e.g. tcp://host:8786")
    if engine.memory is not None and not re.fullmatch(r"(?=.*[1-9])\d+(\.\d+)? ?[kKMGT]i?B", engine.memory):
        raise ConfigError(f"engine.memory={engine.memory}: must be a size, e.g. 4GiB or 500MB")
    for spec in fields(engine):
        key, value = spec.name, getattr(engine, spec.name)
        if key not in ("name", *ENGINE_KEYS[engine.name]) and value != spec.default:
            raise ConfigError(f"engine.{key}={value}: engine={engine.name} does not take it")
    if engine.name in ELASTIC:
        _check_elastic(engine)


def _check_elastic(engine: Engine) -> None:
    if engine.min > engine.max:
        raise ConfigError(f"engine.min={engine.min}: must be at most engine.max={engine.max}")
    if engine.memory is None:
        raise ConfigError(f"engine.memory=null: engine={engine.name} asks for memory for each worker, e.g. 4GiB")
    if engine.name == "slurm" and not re.fullmatch(r"(\d+-)?\d+(:\d\d){0,2}", engine.walltime):
        raise ConfigError(f"engine.walltime={engine.walltime}: must be a time of SLURM's, e.g. 04:00:00 or 1-12:00:00")
    for key in ("partition", "account", "namespace"):
        name = getattr(engine, key)
        if name is not None and not re.fullmatch(r"[\w.,-]+", name):
            raise ConfigError(f"engine.{key}={name}: must be a name of letters, digits, '.', '_' and '-'")
    if engine.name == "kubernetes" and not re.fullmatch(r"[\w./:@-]+", engine.image or ""):
        shown = "null" if engine.image is None else engine.image
        raise ConfigError(f"engine.image={shown}: must be the image that workers run, e.g. example.org/text-sweeps:1")


def _check_addresses(config: Config) -> None:
    for key, address in config.addresses():
        check_address(key, address or "")
    scheduler = config.engine.scheduler or ""
    if secrets.public(scheduler) != scheduler:
        raise ConfigError(f"engine.scheduler={scheduler}: Dask takes no password in an address; tls:// is for its keys")
    for name, data in config.datasets.items():
        for key, path in ((f"datasets.{name}.archive", data.archive), (f"datasets.{name}.text.words", data.text.words)):
            if path is not None and "://" in path:
                url = key.replace("archive", "url").replace("words", "url")
                raise ConfigError(f"{key}={path}: must be a file; for a download: {url}=…")


def check_address(key: str, address: str) -> None:
    """Raise `ConfigError` for an address of which it is uncertain where its password ends."""
    if not secrets.is_clear(address):
        raise ConfigError(
            f"{key}={address}: in a user name, a password and a path, @ is written as %40, / as %2F, ? as %3F "
            "and # as %23"
        )


class Job(NamedTuple):
    """One composed job: its configuration as objects, and as the YAML that reproduces it without its passwords."""

    config: Config
    yaml: str
