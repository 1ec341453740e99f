import io
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import mlflow.pyfunc
import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from rich.console import Console

from conf import stored
from conf.compose import Job, compose
from conf.schema import ConfigError, Text
from pipelines import sync
from sweeps import finalists, driver, journal
from sweeps.tracking import registration, store
from sweeps.trials import training
from sweeps.driver import Search
from sweeps.journal import SweepRecord
from sweeps.search.oracle import Oracle
from sweeps.plan import Plan
from sweeps.tracking.registration import NotRegisteredError
from sweeps.tracking.served_model import OFFSET, START, UNKNOWN
from sweeps.trials.spec import Dataset, EpochReport, Predictions, Report, Split, TrialResult, TrialSpec
from sweeps.tracking.tracker import Tracker
from tests.fakes import FakeEngine, Trial, plan
from tests.unit.trials.test_training import CLASSES, WORDS, tiny

pytestmark = pytest.mark.usefixtures("fresh_store")

TINY = (
    "model=lstm",
    "data=imdb",
    "datasets.imdb.num_classes=3",
    "datasets.imdb.text.labels=[first,second,third]",
    "trials=2",
    "epochs=2",
    "model.space.embedding_dim=4",
    "model.space.lstm_units={kind: Choice, values: [3, 5], default: 3}",
    "model.space.dropout=0.0",
)


INDEX = {f"word{rank}": rank for rank in range(1, 2 * WORDS)}


def words() -> bytes:
    return json.dumps(INDEX).encode()


def worded(**_: Any) -> Dataset:
    """`tiny`, of documents that some text has."""
    data = tiny()

    def again(split: Split) -> Split:
        x = np.where(split.x == START, UNKNOWN, np.where(split.x == OFFSET, OFFSET + 1, split.x)).astype(np.int32)
        x[::3, :3] = [0, 0, START]
        return Split(x, split.y)

    return data._replace(train=again(data.train), validation=again(data.validation), test=again(data.test))


def planned(job: Job, directory: Path, source: str = "archive") -> Plan:
    data = {"validation": 0.2, "source": source}
    return plan(job, directory)._replace(load="tests.system.test_registration.worded", data=data, digest="tiny")


def swept(one: Plan, past: Sequence[journal.Event] = (), run: Trial = training.run) -> SweepRecord:
    """A sweep that really trains."""
    began = past[0].trials if past and isinstance(past[0], journal.SweepStarted) else one.config.trials
    search = Search(one, Oracle(replace(one.config, trials=began), one.space), [], past)
    driver.run([search], FakeEngine(run))
    return search.record


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """A sweep that has ended."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("sys.argv", ["sweep", *TINY])
        (job,) = compose()
    plan = planned(job, tmp_path_factory.mktemp("outputs") / "sweep" / "imdb")
    swept(plan)
    return plan


def tracked(one: Plan) -> SweepRecord:
    """It in the store too."""
    past = journal.read(one.directory)
    tracker = Tracker(store.uri(None))
    tracker.recall(one.directory, past)
    assert tracker.close()
    return SweepRecord(one.directory, past)


def client() -> MlflowClient:
    return MlflowClient(store.uri(None))


def versions() -> list[ModelVersion]:
    return list(client().search_model_versions("name = 'lstm-imdb'"))


def logged() -> int:
    experiments = [experiment.experiment_id for experiment in client().search_experiments()]
    return len(client().search_logged_models(experiments))


def test_the_chosen_model_is_a_candidate_that_does_what_was_logged(
    one: Plan, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    record = tracked(one)
    best = record.best
    assert best is not None
    version = registration.register(store.uri(None), one, record, words)
    assert version == ("lstm-imdb", "1", "candidate", best.trial, True)
    assert [warning for warning in recwarn if "type hints" in str(warning.message)] == []
    found = client().get_model_version_by_alias("lstm-imdb", "candidate")
    assert found.version == 1
    assert found.tags["trial"] == str(best.trial)
    assert float(found.tags["test/accuracy"]) == pytest.approx(best.test["test/accuracy"], abs=1e-6)
    assert float(found.tags["val/accuracy"]) == pytest.approx(best.objective, abs=1e-6)
    run = client().get_run(found.run_id)
    assert (run.data.tags["kind"], run.data.tags["trial"]) == ("trial", str(best.trial))
    assert run.info.status == "FINISHED"  # as it was
    folder = Path(
        download_artifacts("models:/lstm-imdb@candidate", dst_path=str(tmp_path), tracking_uri=store.uri(None))
    )
    loaded = mlflow.pyfunc.load_model(str(folder))
    data = worded()
    by_id = {UNKNOWN: f"word{WORDS}", **{rank + OFFSET: word for word, rank in INDEX.items()}}
    answers = loaded.predict([" ".join(by_id.get(id_, "") for id_ in ids) for ids in data.test.x.tolist()])
    probabilities = np.array([list(answer["probabilities"].values()) for answer in answers])
    assert training.scores(probabilities, data.test.y) == pytest.approx(best.test, rel=1e-6)
    assert {answer["label"] for answer in answers} <= {"first", "second", "third"}
    names = {path.name for path in folder.rglob("*") if path.is_file()}
    assert {"network.keras", "served.py", "requirements.txt", "input_example.json", "words.json"} <= names
    assert [name for name in names if name.endswith((".pkl", ".pickle", ".cloudpickle"))] == []
    assert {line.partition("==")[0] for line in (folder / "requirements.txt").read_text().split()} == {
        *registration.REQUIREMENTS
    }
    network = folder / "artifacts" / "network.keras"
    assert not keras.saving.load_model(network).compiled  # it has no optimizer, and no state of one


def test_it_is_logged_and_registered_once(one: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    record = tracked(one)
    assert registration.register(store.uri(None), one, record, words)
    monkeypatch.setattr(training, "rebuild", None)  # and nothing is built again for that
    again = registration.register(store.uri(None), one, SweepRecord(one.directory, journal.read(one.directory)), words)
    assert again == ("lstm-imdb", "1", "candidate", record.best.trial if record.best else None, False)
    assert (len(versions()), logged()) == (1, 1)


STEPS = (
    "create_logged_model",
    "log_model_artifacts",
    "finalize_logged_model",
    "log_outputs",
    "create_registered_model",
    "create_model_version",
    "set_registered_model_alias",
)


@pytest.mark.parametrize("carried_out", [False, True])
def test_a_store_that_goes_away_at_every_step_has_it_once_at_last(
    carried_out: bool, one: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = tracked(one)

    def away_once(name: str) -> Callable[..., object]:
        real, left = getattr(MlflowClient, name), [1]

        def call(*arguments: object, **more: object) -> object:
            if not left:
                return real(*arguments, **more)
            left.pop()
            if carried_out:
                real(*arguments, **more)
            raise MlflowException("away")

        return call

    for name in STEPS:
        monkeypatch.setattr(MlflowClient, name, away_once(name))
    # What was carried out is found by the next attempt, and not asked for again.
    for _ in STEPS:
        with pytest.raises(NotRegisteredError, match=r"does not take lstm-imdb: away$"):
            registration.register(store.uri(None), one, record, words)
    assert registration.register(store.uri(None), one, record, words)
    assert (len(versions()), logged()) == (1, 1)
    (version,) = versions()
    (output,) = client().get_run(version.run_id).outputs.model_outputs
    assert version.source == f"models:/{output.model_id}"
    assert client().get_model_version_by_alias("lstm-imdb", "candidate").version == 1


def test_one_that_does_not_do_what_was_logged_is_not_registered(one: Plan) -> None:
    record = tracked(one)
    best = record.best
    assert best is not None
    best.test = {**best.test, "test/loss": best.test["test/loss"] * 1.0002}
    with pytest.raises(NotRegisteredError, match=r"^trial \d, loaded back, has test/loss \d\.\d{6}, not \d\.\d{6}$"):
        registration.register(store.uri(None), one, record, words)
    assert versions() == []


def test_rounding_that_tips_the_scale_for_a_document_is_no_reason_to_refuse(one: Plan) -> None:
    record = tracked(one)
    best = record.best
    assert best is not None
    tipped = best.test["test/accuracy"] - 1 / len(worded().test.y)
    best.test = {**best.test, "test/loss": best.test["test/loss"] * 1.00001, "test/accuracy": tipped}
    assert registration.register(store.uri(None), one, record, words)


def test_a_stand_ins_model_is_never_logged(one: Plan) -> None:
    standin = one._replace(data={**one.data, "source": "standin"})
    assert registration.register(store.uri(None), standin, tracked(one), words) is None
    assert (versions(), logged()) == ([], 0)


def test_a_sweep_without_an_end_has_no_chosen_model(one: Plan) -> None:
    record = tracked(one)
    record.ended = None
    assert registration.register(store.uri(None), one, record, words) is None


def test_a_sweep_that_went_on_and_chose_another_trial_has_a_second_version(composed: Callable[..., Job]) -> None:
    def better(spec: TrialSpec, report: Report) -> TrialResult:
        return training.run(spec, report)._replace(objective=2.0)

    fewer = planned(composed(*TINY, "trials=1", "epochs=1"), Path("outputs/sweep/imdb"))
    swept(fewer)
    assert registration.register(store.uri(None), fewer, tracked(fewer), words) == (
        "lstm-imdb",
        "1",
        "candidate",
        0,
        True,
    )
    more = fewer._replace(config=replace(fewer.config, trials=2))
    swept(more, journal.read(more.directory), better)
    assert registration.register(store.uri(None), more, tracked(more), words) == (
        "lstm-imdb",
        "2",
        "candidate",
        1,
        True,
    )
    assert client().get_model_version_by_alias("lstm-imdb", "candidate").version == 2


def test_sync_registers_what_a_sweep_could_not_and_once(composed: Callable[..., Job]) -> None:
    Path("words.json").write_bytes(words())
    index = ("datasets.imdb.text.words=words.json", "datasets.imdb.text.sha256=null")
    job = composed(*TINY, *index, "trials=1", "epochs=1", "datasets.imdb.load=tests.system.test_registration.worded")
    directory, said = Path("outputs/sweep"), io.StringIO()
    console = Console(file=said, width=200)
    one = planned(job, directory / "imdb")
    swept(one)
    journal.write_whole(directory / stored.FILE, job.yaml)
    weights = one.directory / "checkpoints"
    weights.rename("away")
    assert not sync.sync(directory, None, console)
    assert said.getvalue().startswith(
        "not registered, python -m pipelines.sync tries again: outputs/sweep/imdb: the wei"
    )
    Path("away").rename(weights)
    for _ in range(2):
        assert sync.sync(directory, None, console)
    assert said.getvalue().count("registered trial 0 as lstm-imdb, version 1, the candidate") == 1
    assert (len(versions()), logged()) == (1, 1)


def test_what_cannot_be_had_again_is_told(one: Plan, tmp_path: Path) -> None:
    elsewhere = one._replace(directory=tmp_path / "elsewhere")
    with pytest.raises(NotRegisteredError, match=r"elsewhere: the weights of trial \d are gone$"):
        registration.register(store.uri(None), elsewhere, tracked(one), words)
    other = one._replace(digest="other")
    with pytest.raises(NotRegisteredError, match=r"^lstm-imdb cannot be had again: the worker's data differ"):
        registration.register(store.uri(None), other, tracked(one), words)
    renamed = one._replace(load="tests.nowhere.load")
    with pytest.raises(NotRegisteredError, match=r"^lstm-imdb cannot be had again: No module named 'tests\.nowhere'$"):
        registration.register(store.uri(None), renamed, tracked(one), words)
    assert (versions(), logged()) == ([], 0)


def test_what_is_served_imports_nothing_of_ours_and_needs_no_pickle(one: Plan) -> None:
    registration.register(store.uri(None), one, tracked(one), words)
    program = """
import json, sys, mlflow
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/lstm-imdb@candidate")
print(json.dumps([sum(model.predict("a text")[0]["probabilities"].values()), sorted(sys.modules)]))
"""
    environment = {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false", "PATH": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    said = subprocess.run(
        [sys.executable, "-P", "-c", program, store.uri(None)],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert said.returncode == 0, said.stderr
    total, modules = json.loads(said.stdout.splitlines()[-1])
    assert total == pytest.approx(1, abs=1e-6)
    assert {name.partition(".")[0] for name in modules} & {"sweeps", "models", "pipelines", "conf"} == set()
    assert np.isfinite(total)


def confirmed_sweep(one: Plan, directory: Path, *, better: bool = True) -> tuple[Plan, SweepRecord]:
    """A confirmation of the trial after the baseline; the baseline is wrong about everything, or as good."""
    searched = SweepRecord(one.directory, journal.read(one.directory))
    searched.trials[0].objective = 0.0
    again = finalists.confirmed(searched, 1, 3)
    done: dict[int | None, TrialResult] = {}

    def retrained(spec: TrialSpec, report: Report) -> TrialResult:
        """Really, the first time."""
        if spec.origin not in done:
            done[spec.origin] = training.run(spec, report)
        else:
            for epoch in range(1, spec.epochs + 1):
                report(EpochReport(spec.sweep, spec.trial, 1, epoch, {"train/loss": 1.0, "train/accuracy": 0.5}))
        result = done[spec.origin]
        if not better:
            return done[0]
        if spec.origin or result.predictions is None:
            return result
        labels = result.predictions.labels
        wrong = Predictions((labels + 1) % CLASSES, labels)
        return result._replace(test={**result.test, "test/accuracy": 0.0}, predictions=wrong)

    config = replace(one.config, trials=len(again.trials))
    plan = one._replace(sweep="again/imdb", directory=directory, confirmed=again, config=config)
    driver.run([Search(plan, finalists.FixedList(again), [], [])], FakeEngine(retrained))
    return plan._replace(confirmed=None), tracked(plan)  # as `sync` has it


def test_a_confirmed_winner_is_the_champion_beside_the_candidate(one: Plan, tmp_path: Path) -> None:
    registration.register(store.uri(None), one, tracked(one), words)
    plan, record = confirmed_sweep(one, tmp_path / "again" / "imdb")
    assert registration.register(store.uri(None), plan, record, words) == ("lstm-imdb", "2", "champion", 1, True)
    assert registration.register(store.uri(None), plan, record, words) == ("lstm-imdb", "2", "champion", 1, False)
    assert registration.register(store.uri(None), one, tracked(one), words)  # nor is the candidate lost, or new
    assert client().get_registered_model("lstm-imdb").aliases == {"candidate": 1, "champion": 2}
    champion = client().get_model_version_by_alias("lstm-imdb", "champion")
    assert (champion.tags["confirms"], champion.tags["origin"]) == (one.sweep, "1")
    assert float(champion.tags["test/accuracy"]) == pytest.approx(record.trials[1].test["test/accuracy"], abs=1e-6)
    assert float(champion.tags["confirm/gain"]) > float(champion.tags["confirm/half_width"])
    run = client().get_run(champion.run_id)
    assert (run.data.tags["sweep"], run.data.tags["trial"], run.data.tags["origin"]) == ("again/imdb", "1", "1")


def test_what_was_not_confirmed_is_no_champion(one: Plan, tmp_path: Path) -> None:
    plan, record = confirmed_sweep(one, tmp_path / "again" / "imdb", better=False)
    assert registration.register(store.uri(None), plan, record, words) is None
    assert (versions(), logged()) == ([], 0)


def test_without_its_word_index_nothing_is_registered_until_it_is_there(one: Plan) -> None:
    def nowhere() -> bytes:
        raise ConfigError("datasets.imdb.text.words=null: it is nowhere")

    record = tracked(one)
    with pytest.raises(ConfigError, match="it is nowhere"):
        registration.register(store.uri(None), one, record, nowhere)
    assert (versions(), logged()) == ([], 0)
    assert registration.register(store.uri(None), one, record, words)
    assert registration.register(store.uri(None), one, record, nowhere)  # it is not asked for again


def test_a_dataset_without_a_word_index_is_told_and_leaves_sync_nothing_to_do(one: Plan) -> None:
    said = io.StringIO()
    data = replace(one.config.datasets["imdb"], text=Text())
    without = one._replace(config=replace(one.config, datasets={"imdb": data}))
    assert sync.register(store.uri(None), without, tracked(one), Console(file=said, width=200))
    assert said.getvalue() == "not registered: datasets.imdb.text names no word index\n"
    assert (versions(), logged()) == ([], 0)
