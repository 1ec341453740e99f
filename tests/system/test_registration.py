"""The chosen model in MLflow's registry: once, whatever happens on the way, and only if it does what was logged."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

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
from conf.schema import ConfigError, Engine, Job, Text
from pipelines import sync
from pipelines.data import dataset
from sweeps import driver, files, finalists, journal
from sweeps.driver import Search
from sweeps.journal import SweepRecord
from sweeps.plan import LOAD, Plan
from sweeps.session.session import Session
from sweeps.tracking import model_files, registration, store
from sweeps.tracking.registration import NotRegisteredError, Version, register
from sweeps.trials import building, evaluation, training
from sweeps.trials.dask_engine.opening import open_engine
from sweeps.trials.spec import EpochReport, OnEpoch, Predictions, TrialResult, TrialSpec
from tests import tiny
from tests.fakes import FakeEngine
from tests.registered import TINY, candidate, load, logged, planned, serving, swept, texts, word_index
from tests.tracked import client, runs

pytestmark = pytest.mark.usefixtures("fresh_store")


def versions() -> list[ModelVersion]:
    return list(client().search_model_versions("name = 'lstm-imdb'"))


def logged_models() -> int:
    experiments = [experiment.experiment_id for experiment in client().search_experiments()]
    return len(client().search_logged_models(experiments))


def registered_by_session(plan: Plan, record: SweepRecord) -> tuple[bool, str]:
    """Whether a session had nothing left to do, and what it printed."""
    console = Console(file=io.StringIO(), width=200)
    done = Session(console, serving).register(store.uri(None), plan, record)
    assert isinstance(console.file, io.StringIO)
    return done, console.file.getvalue()


def test_the_chosen_model_is_a_candidate_that_does_what_was_logged(
    trained: Plan, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    record = logged(trained)
    best = record.best
    assert best is not None
    version = register(store.uri(None), record, candidate(trained, record))
    assert version == Version("lstm-imdb", "1", "candidate", best.trial, True)
    assert [warning for warning in recwarn if "type hints" in str(warning.message)] == []
    stored_version = client().get_model_version_by_alias("lstm-imdb", "candidate")
    assert stored_version.version == 1
    assert stored_version.tags["trial"] == str(best.trial)
    assert float(stored_version.tags["test/accuracy"]) == pytest.approx(best.test["test/accuracy"], abs=1e-6)
    assert float(stored_version.tags["val/accuracy"]) == pytest.approx(best.objective, abs=1e-6)
    run = client().get_run(stored_version.run_id)
    assert (run.data.tags["kind"], run.data.tags["trial"]) == ("trial", str(best.trial))
    assert run.info.status == "FINISHED"  # as it was
    folder = Path(
        download_artifacts("models:/lstm-imdb@candidate", dst_path=str(tmp_path), tracking_uri=store.uri(None))
    )
    answers = mlflow.pyfunc.load_model(str(folder)).predict(texts())
    probabilities = np.array([list(answer["probabilities"].values()) for answer in answers])
    labels, temperature = load().test.y, best.test["calibrated/temperature"]
    scores = evaluation.scores(probabilities, labels) | evaluation.calibrated_scores(probabilities, labels, temperature)
    assert scores == pytest.approx(best.test, rel=1e-6)
    assert {answer["label"] for answer in answers} <= {"first", "second", "third"}
    names = {path.name for path in folder.rglob("*") if path.is_file()}
    assert {"network.keras", "served_model.py", "requirements.txt", "input_example.json", "vocabulary.json"} <= names
    assert [name for name in names if name.endswith((".pkl", ".pickle", ".cloudpickle"))] == []
    assert {line.partition("==")[0] for line in (folder / "requirements.txt").read_text().split()} == {
        *model_files.REQUIREMENTS
    }
    network = folder / "artifacts" / "network.keras"
    assert not keras.saving.load_model(network).compiled  # it has no optimizer, and no state of one


def test_it_is_logged_and_registered_once(trained: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    record = logged(trained)
    version = register(store.uri(None), record, candidate(trained, record))
    monkeypatch.setattr(building, "rebuild", None)  # and nothing is built again for that
    again = SweepRecord.of(trained.directory, journal.read(trained.directory))
    assert register(store.uri(None), again, candidate(trained, again)) == version._replace(new=False)
    assert (len(versions()), logged_models()) == (1, 1)


def test_what_a_gpu_writes_while_the_stored_model_answers_is_not_shown(
    trained: Plan, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    predict = keras.Model.predict
    monkeypatch.setattr(keras.Model, "predict", lambda *a, **k: os.write(2, b"cuDNN 9") and predict(*a, **k))
    assert registered_by_session(trained, logged(trained))[0]
    assert "cuDNN" not in capfd.readouterr().err
    assert len(versions()) == 1


def test_a_model_that_somebody_else_is_logging_to_the_run_stays(trained: Plan) -> None:
    record = logged(trained)
    (run,) = (run for run in runs("trial") if run.data.tags["trial"] == str(record.best and record.best.trial))
    other = client().create_logged_model(run.info.experiment_id, "mine", run.info.run_id)
    register(store.uri(None), record, candidate(trained, record))
    assert client().get_logged_model(other.model_id).status == "PENDING"
    assert logged_models() == 2


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
def test_a_store_that_fails_at_every_step_has_the_model_once_at_last(
    carried_out: bool, trained: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = logged(trained)

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
    # The next attempt finds what was carried out, and does not ask for it again.
    for _ in STEPS:
        with pytest.raises(NotRegisteredError, match=r"does not take lstm-imdb: away$"):
            register(store.uri(None), record, candidate(trained, record))
    assert register(store.uri(None), record, candidate(trained, record))
    assert (len(versions()), logged_models()) == (1, 1)
    (version,) = versions()
    (output,) = client().get_run(version.run_id).outputs.model_outputs
    assert version.source == f"models:/{output.model_id}"
    assert client().get_model_version_by_alias("lstm-imdb", "candidate").version == 1


def test_a_model_that_does_not_do_what_was_logged_is_not_registered(trained: Plan) -> None:
    record = logged(trained)
    best = record.best
    assert best is not None
    loss = best.test["test/loss"]
    best.test = {**best.test, "test/loss": loss * 1.0002}
    with pytest.raises(NotRegisteredError, match=r"^trial \d, loaded back, has test/loss \d\.\d{6}, not \d\.\d{6}$"):
        register(store.uri(None), record, candidate(trained, record))
    assert versions() == []
    # Rounding that changes the answer to one document is no reason to refuse it.
    other_accuracy = best.test["test/accuracy"] - 1 / len(load().test.y)
    best.test = {**best.test, "test/loss": loss * 1.00001, "test/accuracy": other_accuracy}
    assert register(store.uri(None), record, candidate(trained, record))


def test_a_session_registers_only_the_model_of_a_completed_sweep_on_real_data(trained: Plan) -> None:
    record = logged(trained)
    assert registered_by_session(trained._replace(source="standin"), record) == (True, "")
    without_index = replace(trained.config.datasets["imdb"], text=Text())
    config = replace(trained.config, datasets={"imdb": without_index})
    done, output = registered_by_session(trained._replace(config=config), record)
    assert done
    assert output.startswith("not registered: datasets.imdb.text.words names no word index; to do so later: ")
    ended, record.ended = record.ended, None
    assert registered_by_session(trained, record) == (True, "")
    assert (versions(), logged_models()) == ([], 0)
    record.ended = ended
    best = record.best.trial if record.best else None
    output = f"registered trial {best} as lstm-imdb, version 1, the candidate\n"
    assert registered_by_session(trained, record) == (True, output)
    assert registered_by_session(trained, record) == (True, "")


def test_a_sweep_that_went_on_and_chose_another_trial_has_a_second_version(composed: Callable[..., Job]) -> None:
    def very_good(spec: TrialSpec, on_epoch: OnEpoch) -> TrialResult:
        return training.run(spec, on_epoch)._replace(objective=2.0)

    fewer = planned(Path("outputs/sweep/imdb"), composed(*TINY, "trials=1", "epochs=1"))
    swept(fewer)
    record = logged(fewer)
    assert register(store.uri(None), record, candidate(fewer, record)) == Version(
        "lstm-imdb", "1", "candidate", 0, True
    )
    more = fewer._replace(config=replace(fewer.config, trials=2))
    swept(more, journal.read(more.directory), very_good)
    record = logged(more)
    assert register(store.uri(None), record, candidate(more, record)) == Version("lstm-imdb", "2", "candidate", 1, True)
    assert client().get_model_version_by_alias("lstm-imdb", "candidate").version == 2
    # A worse one of another sweep on the same data is registered, and is not the candidate.
    worse = planned(Path("outputs/worse/imdb"), composed(*TINY, "trials=1", "epochs=1"))._replace(sweep="worse/imdb")
    swept(worse)
    record = logged(worse)
    done, output = registered_by_session(worse, record)
    value = record.trials[0].objective
    assert done
    assert output == (
        "registered trial 0 as lstm-imdb, version 3, but not the candidate: "
        f"version 2 has val/accuracy 2.0000, this one {value:.4f}\n"
    )
    assert client().get_model_version_by_alias("lstm-imdb", "candidate").version == 2


def test_a_worker_registers_the_model(trained: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    record = logged(trained)
    monkeypatch.setattr(registration, "register", None)  # of this process
    console = Console(file=io.StringIO(), width=200)
    with open_engine(Engine("local", workers=1)) as engine:
        assert Session(console, serving).register(store.uri(None), trained, record, engine)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().startswith("registered trial ")
    assert [str(version.version) for version in versions()] == ["1"]


def test_sync_registers_what_a_sweep_could_not_and_once(composed: Callable[..., Job]) -> None:
    Path("words.json").write_bytes(word_index())
    text = ("text.words=words.json", "text.sha256=null")
    data = (*text, "read=tests.registered.read", f"num_words={tiny.WORDS}", f"maxlen={tiny.MAXLEN}")
    job = composed(*TINY, *(f"datasets.imdb.{setting}" for setting in data), "trials=1", "epochs=1")
    directory, output = Path("outputs/sweep"), io.StringIO()
    console = Console(file=output, width=200)
    digest = dataset.load(name="imdb", settings=job.config.datasets["imdb"]).digest
    plan = planned(directory / "imdb", job)._replace(load=LOAD, digest=digest)
    swept(plan)
    files.write_text(directory / stored.FILE, job.yaml)
    weights = plan.directory / "checkpoints"
    weights.rename("away")
    assert not sync.sync(directory, None, console)
    reason = "outputs/sweep/imdb: the weights of trial 0 are gone"
    assert output.getvalue().startswith(f"not registered: {reason}\n")
    Path("away").rename(weights)
    for _ in range(2):
        assert sync.sync(directory, None, console)
    assert output.getvalue().count("registered trial 0 as lstm-imdb, version 1, the candidate") == 1
    assert (len(versions()), logged_models()) == (1, 1)


def test_a_model_that_cannot_be_built_again_is_not_registered(trained: Plan, tmp_path: Path) -> None:
    record = logged(trained)
    elsewhere = SweepRecord.of(tmp_path / "elsewhere", journal.read(trained.directory))
    with pytest.raises(NotRegisteredError, match=r"elsewhere: the weights of trial \d are gone$"):
        register(store.uri(None), elsewhere, candidate(trained, record))
    for change, reason in (
        ({"digest": "other"}, "the worker's data differ"),
        ({"load": "tests.nowhere.load"}, r"No module named 'tests\.nowhere'$"),
    ):
        with pytest.raises(NotRegisteredError, match=rf"^lstm-imdb cannot be built again: {reason}"):
            register(store.uri(None), record, candidate(trained._replace(**change), record))
    assert (versions(), logged_models()) == ([], 0)


def test_the_served_model_imports_nothing_of_this_project_and_needs_no_pickle(trained: Plan) -> None:
    record = logged(trained)
    register(store.uri(None), record, candidate(trained, record))
    program = """
import json, sys, mlflow
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/lstm-imdb@candidate")
print(json.dumps([sum(model.predict("a text")[0]["probabilities"].values()), sorted(sys.modules)]))
"""
    environment = {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false", "PATH": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    process = subprocess.run(
        [sys.executable, "-P", "-c", program, store.uri(None)],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    total, modules = json.loads(process.stdout.splitlines()[-1])
    assert total == pytest.approx(1, abs=1e-6)
    assert {name.partition(".")[0] for name in modules} & {"sweeps", "models", "pipelines", "conf"} == set()


Retrained = dict[int | None, TrialResult]


@pytest.fixture(scope="module")
def retrained() -> Retrained:
    """The results of the configurations that a confirmation has trained, by the number of their first trial."""
    return {}


def confirmed(trained: Plan, directory: Path, results: Retrained, *, better: bool = True) -> tuple[Plan, SweepRecord]:
    """Confirm the trial after the baseline; the baseline is wrong about everything, or as good."""
    searched = SweepRecord.of(trained.directory, journal.read(trained.directory))
    searched.trials[0].objective = 0.0
    confirmation = finalists.confirmation_of(searched, 1, 3)

    def run(spec: TrialSpec, on_epoch: OnEpoch) -> TrialResult:
        """Train the first time, and repeat the result for the other seeds."""
        if spec.origin not in results:
            results[spec.origin] = training.run(spec, on_epoch)
        else:
            curves = dict.fromkeys(results[spec.origin].curves, 0.5)
            for epoch in range(1, spec.epochs + 1):
                on_epoch(EpochReport(spec.sweep, spec.trial, 1, epoch, curves))
        result = results[spec.origin]
        if not better:
            return results[0]
        if spec.origin or result.predictions is None:
            return result
        labels = result.predictions.labels
        wrong = Predictions((labels + 1) % tiny.CLASSES, labels)
        return result._replace(test={**result.test, "test/accuracy": 0.0}, predictions=wrong)

    config = replace(trained.config, trials=len(confirmation.trials))
    plan = trained._replace(sweep="again/imdb", directory=directory, confirmation=confirmation, config=config)
    driver.run([Search(plan, finalists.FixedList(confirmation))], FakeEngine(run))
    return plan._replace(confirmation=None), logged(plan)  # as `python -m pipelines.sync` has it


def test_a_confirmed_winner_is_the_champion_beside_the_candidate(
    trained: Plan, tmp_path: Path, retrained: Retrained
) -> None:
    record = logged(trained)
    register(store.uri(None), record, candidate(trained, record))
    plan, again = confirmed(trained, tmp_path / "again" / "imdb", retrained)
    output = "registered trial 1 as lstm-imdb, version 2, the champion\n"
    assert registered_by_session(plan, again) == (True, output)
    assert registered_by_session(plan, again) == (True, "")
    assert not register(store.uri(None), record, candidate(trained, record)).new  # nor is the candidate lost
    assert client().get_registered_model("lstm-imdb").aliases == {"candidate": 1, "champion": 2}
    champion = client().get_model_version_by_alias("lstm-imdb", "champion")
    assert (champion.tags["confirms"], champion.tags["origin"]) == (trained.sweep, "1")
    assert float(champion.tags["test/accuracy"]) == pytest.approx(again.trials[1].test["test/accuracy"], abs=1e-6)
    assert float(champion.tags["confirm/gain"]) > float(champion.tags["confirm/half_width"])
    run = client().get_run(champion.run_id)
    assert (run.data.tags["sweep"], run.data.tags["trial"], run.data.tags["origin"]) == ("again/imdb", "1", "1")


def test_a_confirmation_without_a_winner_has_no_champion(trained: Plan, tmp_path: Path, retrained: Retrained) -> None:
    plan, record = confirmed(trained, tmp_path / "again" / "imdb", retrained, better=False)
    assert registered_by_session(plan, record) == (True, "")
    assert (versions(), logged_models()) == ([], 0)


def test_without_its_word_index_nothing_is_registered_until_it_is_there(trained: Plan) -> None:
    def nowhere() -> bytes:
        raise ConfigError("datasets.imdb.text.words=null: it is nowhere")

    record = logged(trained)
    with pytest.raises(ConfigError, match="it is nowhere"):
        register(store.uri(None), record, candidate(trained, record)._replace(serving=nowhere))
    assert (versions(), logged_models()) == ([], 0)
    assert register(store.uri(None), record, candidate(trained, record)).new
    # It is not asked for again.
    assert not register(store.uri(None), record, candidate(trained, record)._replace(serving=nowhere)).new
