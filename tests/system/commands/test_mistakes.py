"""Mistakes as their maker sees them: one line, a status that is not 0, nothing slow loaded, nothing left behind."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from conf.schema import Config
from tests.conftest import ROOT
from tests.servers import processes
from tests.typed import typed

# Command line -> parts of the one line with which it ends.
WRONG = {
    # Unknown options and keys: what there is, and the nearest.
    "model=lsmt": ("model=lsmt: no such option", "allowed: ", "conv_lstm", "did you mean 'lstm'?"),
    "data=imbd": ("data=imbd: no such option", "allowed: imdb", "did you mean 'imdb'?"),
    "experiment=x": ("experiment=x: no such option", "allowed: article_imdb"),
    "trails=3": ("trails: no such key", "did you mean 'trials'?"),
    "modle=lstm": ("modle", "did you mean 'model'?"),
    "engine.wrokers=2": ("engine.wrokers: no such key", "did you mean 'workers'?"),
    "datasets.imdb.maxlne=3": ("datasets.imdb.maxlne: no such key", "did you mean 'maxlen'?"),
    "data=imdb datasets.reuters.maxlen=3": ("datasets.reuters: no such key", "allowed: imdb"),
    "+foo=1": ("foo=1: no such key",),
    "+trails=1": ("trails=1: no such key", "did you mean 'trials'?"),
    "+engine.foo=1": ("engine.foo=1: no such key",),
    "+datasets.imdb.maxlne=1": ("datasets.imdb.maxlne=1: no such key", "did you mean 'maxlen'?"),
    # Groups and hyperparameters that are no such thing.
    "data=null": ("data=null: allowed: imdb, reuters",),
    "model=": ("model=: allowed: attention, bag, bi_lstm, cnn, conv_lstm, gru, lstm",),
    "data=[imdb,imbd]": ("data=imbd: no such option", "allowed: imdb", "did you mean 'imdb'?"),
    "experiment=smoke data=reuters": (
        "datasets.imdb.",
        "has no value; if an experiment has settings of imdb, give data=imdb too",
    ),
    "model.space.lstm_units=[1,2]": ("model.space.lstm_units=[1,2]: ",),
    "trials=${foo}": ("trials",),
    "tracking.uri=${oc.env:NOPE}": ("tracking.uri",),
    "engine=cluster engine.scheduler=tcp://x engine.workers=3": ("engine.workers=3: engine=cluster does not take it",),
    "engine=cluster engine.scheduler=tcp://x engine.workers_per_gpu=2": (
        "engine.workers_per_gpu=2: engine=cluster does not take it",
    ),
    "engine.workers_per_gpu=0": ("engine.workers_per_gpu=0: must be at least 1",),
    "engine.memory=lots": ("engine.memory=lots: must be a size",),
    # Wrong types.
    "trials=abc": ("trials=abc", "is not a whole number"),
    "trials=1.5": ("trials=1.5", "is not a whole number"),
    "trials=null": ("trials=null", "must have a value, not null"),
    "dry_run=maybe": ("dry_run=maybe", "is neither true nor false"),
    "engine.workers=x": ("engine.workers=x", "is not a whole number"),
    "datasets.imdb=3": ("datasets.imdb=3",),
    "model.space=3": ("model.space=3", "must be a mapping"),
    # Out of range.
    "trials=0": ("trials=0: must be at least 1",),
    "epochs=-1": ("epochs=-1: must be at least 1",),
    "batch_size=0": ("batch_size=0: must be at least 1",),
    "patience=0": ("patience=0: must be at least 1",),
    "retries=-1": ("retries=-1: must be at least 0",),
    "seed=0": ("seed=0: must be at least 1 and at most 2147483647",),
    "seed=2147483648": ("seed=2147483648: must be at least 1 and at most 2147483647",),
    "engine.threads=0": ("engine.threads=0: must be at least 1",),
    "datasets.imdb.num_words=3": ("datasets.imdb.num_words=3: must be at least 4",),
    "datasets.reuters.source=web": ("datasets.reuters.source=web: allowed: auto, archive, standin",),
    "datasets.imdb.validation=2": ("datasets.imdb.validation=2: must be a fraction", "or 'test'"),
    "datasets.imdb.validation=0": ("datasets.imdb.validation=0: must be a fraction",),
    "datasets.imdb.validation=true": ("datasets.imdb.validation=True: must be a fraction",),
    "datasets.imdb.validation=dev": ("datasets.imdb.validation=dev: must be a fraction",),
    "objective=val/f1": ("objective=val/f1: allowed: val/loss, val/accuracy, val/macro_f1",),
    "objective=train/loss": ("objective=train/loss: allowed: val/loss, val/accuracy, val/macro_f1",),
    "objective=test/accuracy": ("objective=test/accuracy: the test set must never choose", "val/loss, val/accuracy"),
    # What does not go together.
    "tuner.factor=3": ("tuner.factor=3: tuner=random takes no options",),
    "tuner=hyperband tuner.beta=1": ("tuner.beta=1: tuner=hyperband takes factor",),
    "tuner=hyperband tuner.factor=null": ("tuner.factor=null: tuner=hyperband needs a number",),
    "stopping.grace=2": ("stopping.grace=2: stopping=patience takes no options",),
    "stopping=median stopping.grace=0": ("stopping.grace=0: must be at least 1",),
    "stopping=median stopping.min_trials=null": ("stopping.min_trials=null: stopping=median needs a number",),
    "stopping=median tuner=hyperband": ("stopping=median: tuner=hyperband ends", "allowed: patience, none"),
    "tuner=bayesian tuner.alpha=0": ("tuner.alpha=0: must be a number greater than 0",),
    "tuner=bayesian tuner.initial_points=12 trials=12": ("tuner.initial_points=12: must be less than trials=12",),
    "tuner.oracle=nothing": ("tuner.oracle=nothing: must be the dotted name of a function",),
    "tuner.oracle=sweeps.search.grid_search.oracel": ("has no function 'oracel'", "did you mean 'oracle'?"),
    "tuner.name=grid": ("tuner.name=grid: would only rename the tuner; to choose one: tuner=grid",),
    "tuner=bayesian trials=1": ("trials=1: tuner=bayesian needs at least 2",),
    "engine=cluster": ("engine.scheduler=null: engine=cluster needs",),
    "engine.scheduler=tcp://x": ("engine.scheduler=tcp://x: engine=local does not take it",),
    # One where several are, several where one is.
    "optimizer=[adam,sgd]": ("optimizer=", "one option only; for several sweeps: -m optimizer=adam,sgd"),
    "trials=1,2": ("trials=1,2", "--multirun"),
    "data=[]": ("data: at least one dataset is needed, e.g. data=imdb",),
    # Not overrides at all.
    "foo": ("foo: not of the form key=value",),
    "trials=[1": ("trials=[1: not of the form key=value",),
    "trials==1": ("trials==1: not of the form key=value",),
    # Arguments that are none.
    "trials": ("trials: not of the form key=value",),
    "=3": ("=3: not of the form key=value",),
    "trials=3=4": ("trials=3=4: not of the form key=value",),
    "-x": ("unrecognized arguments: -x; see --help",),
    "--nope": ("unrecognized arguments: --nope",),
    "--cfg nonsense": ("argument --cfg/-c: invalid choice: 'nonsense'", "'job', 'hydra', 'all'"),
    "--config-name=nothing": ("Cannot find primary config 'nothing'",),
    "--config-dir=nowhere": ("Additional config directory ", "/nowhere' not found"),
    "--config-path=nowhere": ("Primary config module 'conf.nowhere' not found",),
    "hydra/launcher=joblib": ("hydra/launcher=joblib: has no effect here; ", "engine.workers="),
    "hydra.nope=1": ("hydra.nope=1: has no effect here; ",),
    # In all of several jobs.
    "-m model=lstm,lsmt": ("model=lsmt: no such option", "did you mean 'lstm'?"),
    "-m trials=1,0": ("trials=0: must be at least 1",),
    "-m resume=a,b": ("resume=a: no such directory",),
    # One of each kind that `MORE_WRONG` repeats.
    "minutes=0": ("minutes=0.0: must be greater than 0",),
    "target=1.5": ("target=1.5: must be greater than 0 and at most 1",),
    "tracking.uri=mlruns": ("tracking.uri=mlruns: must be sqlite:///path/to/mlflow.db, http(s)://host:port, ",),
    "model.space.lstm_unitz=3": ("model.space.lstm_unitz: models.conv_lstm.build takes", "did you mean 'lstm_units'?"),
    "model.space.lstm_units=-4": ("model.space.lstm_units=-4: must be an integer of at least 1",),
    "model.space.lstm_units={kind:Choice,values:[4,8],default:9}": ("lstm_units.default=9: must be one of [4, 8]",),
    "optimizer.space.learning_rate=0": ("optimizer.space.learning_rate=0: must be a number greater than 0",),
    "model.build=models.lstm.biuld": ("models.lstm has no function 'biuld'", "did you mean 'build'?"),
    "datasets.imdb.read=pipelines.data.word_index.find": (
        "it takes text, which no dataset has; allowed: name, source",
    ),
    # What is to go on.
    "reproduce=": ("reproduce=: must be a run's id, 32 digits",),
    "reproduce=outputs/lstm-1": ("reproduce=outputs/lstm-1: must be a run's id, 32 digits",),
    "resume=nowhere": ("resume=nowhere: no such directory",),
    "resume=outputs": ("resume=outputs: no sweep was started there, config.yaml is missing",),
    "resume=outputs/lstm-1/imdb": ("config.yaml is missing; did you mean outputs/lstm-1?",),
    "resume=outputs/lstm-1 seed=2": ("seed=2: outputs/lstm-1 was started with seed=1; on resume only trials, ",),
    "resume=outputs/lstm-1 model=conv_lstm": ("model.name=conv_lstm: outputs/lstm-1 was started with model.name=lstm",),
    "resume=outputs/lstm-1 data=reuters": ("data=reuters: outputs/lstm-1 was started with data=imdb",),
    "resume=outputs/lstm-1 tuner=grid": ("tuner.name=grid: outputs/lstm-1 was started with tuner.name=random",),
    "resume=outputs/lstm-1 retries=3": ("retries=3: outputs/lstm-1 was started with retries=1",),
    "resume=outputs/lstm-1 experiment=smoke": ("experiment=smoke: outputs/lstm-1 has a configuration of its own",),
    "resume=outputs/lstm-1 trials=0": ("trials=0: must be at least 1",),
    "resume=outputs/lstm-1 trails=9": ("trails: no such key", "did you mean 'trials'?"),
    "resume=outputs/lstm-1 model.space.lstm_units=3": ("model.space.lstm_units=3: outputs/lstm-1 was started with",),
    "-m resume=outputs/lstm-1 minutes=1,2": ("resume=outputs/lstm-1: goes on with one job, -m asks for 2",),
}

# The same checks with other keys and values, for the long run.
MORE_WRONG = {
    # Groups.
    "model=3": ("model=3: allowed: attention, bag, bi_lstm, cnn, conv_lstm, gru, lstm",),
    "data={imdb:1}": ("data={imdb:1}: allowed: imdb, reuters",),
    "engine=[local]": ("engine=[local]: one option only",),
    "stopping=never": ("stopping=never: no such option; allowed: median, none, patience",),
    "tuner=optuna": ("tuner=optuna: no such option; allowed: bayesian, grid, hyperband, mobster, random",),
    "~model": ("model.name: has no value",),
    # Budgets.
    "minutes=-3": ("minutes=-3.0: must be greater than 0",),
    "minutes=nan": ("minutes=nan: must be greater than 0",),
    "minutes=soon": ("minutes=soon", "is not a number"),
    "trial_minutes=0": ("trial_minutes=0.0: must be greater than 0",),
    "trial_minutes=never": ("trial_minutes=never", "is not a number"),
    "target=0": ("target=0.0: must be greater than 0 and at most 1 for objective=val/accuracy",),
    "target=nan": ("target=nan: must be greater than 0",),
    "target=inf objective=val/loss": ("target=inf: must be greater than 0 and finite for objective=val/loss",),
    "max_failures=0": ("max_failures=0: must be at least 1",),
    "retries=many": ("retries=many", "is not a whole number"),
    "epochs=${nope:1}": ("epochs: Unsupported interpolation type nope",),
    "batch_size=1e10": ("batch_size=1e10", "is not a whole number"),
    # Engine and store.
    "engine.memory=0GB": ("engine.memory=0GB: must be a size",),
    "engine.memory=-4GiB": ("engine.memory=-4GiB: must be a size",),
    "tracking.uri=http:/x": ("tracking.uri=http:/x: must be ",),
    "tracking.uri=file:///x": ("tracking.uri=file:///x: must be ",),
    "tracking.url=x": ("tracking.url: no such key", "did you mean 'uri'?"),
    "tracking=3": ("tracking=3: must be a mapping",),
    # Hyperparameters.
    "model.space.lstm_units=abc": ("model.space.lstm_units=abc: must be an integer of at least 1",),
    "model.space.lstm_units=1.5": ("model.space.lstm_units=1.5: must be an integer of at least 1",),
    "model.space.lstm_units=true": ("model.space.lstm_units=True: must be an integer of at least 1",),
    "model.space.lstm_units=null": ("model.space.lstm_units=None: must be a number or a name",),
    "model.space.lstm_units.min_value=0": ("model.space.lstm_units.min_value=0: must be an integer of at least 1",),
    "model.space.lstm_units.max_value=5": ("model.space.lstm_units.max_value=5: must be greater than min_value=20",),
    "model.space.lstm_units.step=0": ("model.space.lstm_units.step=0: must be greater than 0",),
    "model.space.lstm_units.stepp=1": ("model.space.lstm_units.stepp: Int takes", "did you mean 'step'?"),
    "model.space.lstm_units.kind=Ints": ("model.space.lstm_units.kind=Ints: allowed: Choice, Int", "mean 'Int'?"),
    "model.space.lstm_units={kind:Choice}": ("model.space.lstm_units.values: missing",),
    "model.space.embedding_dim.values=[50,-1]": ("model.space.embedding_dim.",),
    "model.space.dropout=1.0": ("model.space.dropout=1.0: must be a number of at least 0 and less than 1",),
    "model.space.dropout=nan": ("model.space.dropout=nan: must be finite",),
    "model.space.dropout.max_value=2.0": ("model.space.dropout.max_value=2.0: must be a number of at least 0 and",),
    "optimizer.space.learning_rate=fast": ("optimizer.space.learning_rate=fast: must be a number greater than 0",),
    "optimizer.space.momentum=0.5": ("optimizer.space.momentum: models.optimizers.adam takes learning_rate",),
    # Functions that are not there.
    "model.build=nothing": ("model.build=nothing: must be the dotted name of a function",),
    "model.build=models.nothing.build": ("model.build=models.nothing.build: there is no module 'models.nothing'",),
    "model.build=os.system": ("model.build=os.system: there is no module 'os' with a source",),
    "datasets.imdb.read=pipelines.data.archives.raed": ("archives has no function 'raed'", "did you mean 'read'?"),
    "datasets.imdb.load=x": ("datasets.imdb.load: no such key",),
    # Data.
    "datasets.imdb.maxlen=0": ("datasets.imdb.maxlen=0: must be at least 1",),
    "datasets.imdb.maxlen=99999999999999999999": ("datasets.imdb.maxlen=99999999999999999999: must be at least 1 and",),
    "datasets.imdb.class_weight=even": ("datasets.imdb.class_weight=even: allowed: none, balanced",),
    "datasets.imdb.num_classes=1": ("datasets.imdb.num_classes=1: must be at least 2",),
    "datasets.imdb.split_seed=-1": ("datasets.imdb.split_seed=-1: must be at least 0",),
    "datasets.imdb.validation=nan": ("datasets.imdb.validation=nan: must be a fraction",),
    "datasets.imdb.validation=test": ("datasets.imdb.validation=test: the test set must never choose, but ",),
}


class Outcome(NamedTuple):
    """The outcome of a command line; see `tests.forking`."""

    status: int
    out: str
    err: str
    loaded: list[str]


Command = Callable[[Path, Sequence[str]], Outcome]


@pytest.fixture(scope="module")
def command() -> Iterator[Command]:
    """`python -m pipelines.sweep` with these arguments in this folder."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    with processes() as start:
        server = start(
            [sys.executable, "-m", "tests.forking"], cwd=ROOT, env=environment, stdin=subprocess.PIPE, stderr=None
        )

        def run(folder: Path, arguments: Sequence[str]) -> Outcome:
            assert server.stdin is not None
            assert server.stdout is not None
            server.stdin.write(json.dumps({"folder": str(folder), "arguments": arguments}) + "\n")
            server.stdin.flush()
            return Outcome(**json.loads(server.stdout.readline()))

        yield run
        server.communicate()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, command: Command) -> Path:
    """A user's folder in which a sweep was started."""
    folder = tmp_path_factory.mktemp("mistakes")
    started = folder / "outputs" / "lstm-1"
    (started / "imdb").mkdir(parents=True)
    shown = command(folder, ["model=lstm", "data=imdb", "--cfg", "job"])
    (started / "config.yaml").write_text(shown.out)
    return folder


def assert_one_line(outcome: Outcome) -> str:
    """Check that one line is all that was printed, and return it."""
    assert outcome.status not in (0, 70), outcome.err
    assert outcome.out == ""
    assert outcome.loaded == []
    (line,) = outcome.err.split("\n")[:-1]
    assert line.startswith("error: ")
    return line


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("line", [*WRONG, *(pytest.param(line, marks=pytest.mark.long) for line in MORE_WRONG)])
def test_a_mistake_is_told_in_one_line_that_names_the_key(line: str, folder: Path, command: Command) -> None:
    before = files_in(folder)
    message = assert_one_line(command(folder, line.split()))
    assert [part for part in (WRONG | MORE_WRONG)[line] if part not in message] == []
    assert files_in(folder) == before


def test_what_is_not_wrong_is_not_refused(folder: Path, command: Command) -> None:
    changes = ("trials=20", "minutes=5", "target=0.9", "engine.workers=3", "tracking.uri=http://127.0.0.1:9")
    for line in ([], ["model=lstm"], ["resume=outputs/lstm-1"], ["resume=outputs/lstm-1", *changes, "seed=1"]):
        outcome = command(folder, line)
        assert outcome.out.startswith(("searching conv_lstm on ", "searching lstm on ", "resuming outputs/lstm-1, "))
        assert outcome._replace(out="") == Outcome(0, "", "", [])


KEYS = [key for key in Config.__dataclass_fields__ if key not in ("datasets", "resume")]
KEYS += ["datasets.imdb.maxlen", "datasets.imdb.validation", "model.space.lstm_units", "model.space.dropout.kind"]
KEYS += ["engine.workers", "engine.memory", "tracking.uri", "tuner.factor", "optimizer.space.learning_rate"]


def check_keys(command: Command, folder: Path, given: list[tuple[str, str]]) -> None:
    outcome = command(folder, [f"{key}={value}" for key, value in given])
    if outcome.status != 0:
        assert_one_line(outcome)


overrides = st.lists(st.tuples(st.sampled_from(KEYS), typed | st.floats().map(str)), min_size=1, max_size=2)


@settings(max_examples=8)
@given(overrides)
def test_any_value_of_any_key_is_taken_or_refused_in_one_line(
    command: Command, folder: Path, given: list[tuple[str, str]]
) -> None:
    check_keys(command, folder, given)


@pytest.mark.long
@settings(max_examples=500)
@given(overrides)
def test_any_value_of_any_key_is_taken_or_refused_in_one_line_many_times(
    command: Command, folder: Path, given: list[tuple[str, str]]
) -> None:
    check_keys(command, folder, given)


CONFIG = "outputs/lstm-1/config.yaml"


@st.composite
def damaged(draw: st.DrawFn, whole: str) -> str:
    """A stored configuration in which one line is cut, lost, garbled or has another value."""
    lines = whole.splitlines()
    at = draw(st.integers(0, len(lines) - 1))
    damage = draw(st.sampled_from(["cut", "lost", "garbled", "other value"]))
    if damage == "cut":
        lines = [*lines[:at], lines[at][: len(lines[at]) // 2]]
    elif damage == "lost":
        del lines[at]
    elif damage == "garbled":
        lines[at] = draw(typed)
    else:
        key, colon, _ = lines[at].partition(": ")
        assume(colon)
        lines[at] = f"{key}: {draw(typed)}"
    return "\n".join(lines)


def check_damaged(command: Command, folder: Path, data: st.DataObject) -> None:
    whole = (folder / CONFIG).read_text()
    try:
        (folder / CONFIG).write_text(data.draw(damaged(whole)))
        outcome = command(folder, ["resume=outputs/lstm-1"])
    finally:
        (folder / CONFIG).write_text(whole)
    if outcome.status != 0:
        assert_one_line(outcome)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_stored_configuration_is_taken_or_refused_in_one_line(
    command: Command, folder: Path, data: st.DataObject
) -> None:
    check_damaged(command, folder, data)


@pytest.mark.long
@settings(max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_stored_configuration_is_taken_or_refused_in_one_line_many_times(
    command: Command, folder: Path, data: st.DataObject
) -> None:
    check_damaged(command, folder, data)


FILES = {
    "": ("experiment/mine", "Key 'experiment' not in 'Config'"),
    "- a list": ("experiment/mine",),
    "trials: [": ("experiment/mine.yaml", "line 1, column 10"),
    "\x00": ("experiment/mine.yaml", "unacceptable character"),
    "# @package _global_\ntrials: none": ("experiment/mine", "trials", "is not a whole number"),
    "# @package _global_\ntrails: 3": ("experiment/mine", "trails"),
    "# @package _global_\nengine: {wrokers: 2}": ("experiment/mine", "engine.wrokers"),
    "# @package _global_\nepochs: 0": ("epochs=0: must be at least 1",),
    "# @package _global_\nminutes: -1": ("minutes=-1.0: must be greater than 0",),
    "# @package _global_\ndefaults:\n  - override /model: lsmt": ("model=lsmt: no such option", "mean 'lstm'?"),
    "# @package _global_\nmodel: {space: {lstm_units: {min_value: 900}}}": ("lstm_units.max_value=200: must be",),
}


@pytest.mark.parametrize("text", FILES)
def test_a_mistake_in_a_users_own_file_is_told_in_one_line(
    text: str, tmp_path: Path, folder: Path, command: Command
) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(text)
    message = assert_one_line(command(folder, [f"--config-dir={tmp_path}", "experiment=mine"]))
    assert [part for part in FILES[text] if part not in message] == []
