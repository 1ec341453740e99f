"""`python -m pipelines.predict`, and the same model behind `mlflow models serve`."""

import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import keras
import mlflow.pyfunc
import pytest
from mlflow import MlflowClient
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, Schema

from conf.schema import ConfigError
from pipelines import predict
from sweeps.errors import SweepError
from sweeps.plan import Plan
from sweeps.terminal.console import Console
from sweeps.tracking import model_files, predictor, registration
from sweeps.tracking.predictor import ModelVersion, Prediction
from sweeps.tracking.registration import register
from sweeps.trials.spec import Serving
from tests.conftest import ROOT
from tests.registered import candidate, logged
from tests.servers import free_port, processes, wait_until_it_answers

TEXTS = ["word3 word4 word5", "", "어제 주가가 word1", "word1 " * 20]


@pytest.fixture(scope="module")
def uri(trained: Plan, empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with a candidate."""
    folder = tmp_path_factory.mktemp("registry")
    shutil.copy(empty_store, folder / "mlflow.db")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    record = logged(trained, uri)
    assert register(uri, record, candidate(trained, record))
    return uri


def test_texts_are_classified_as_lines_of_json(uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    predict.predict(predict.Arguments(tuple(TEXTS), uri, format="json"), Console())
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["text"] for answer in answers] == TEXTS
    for answer in answers:
        assert answer["label"] == max(answer["probabilities"], key=answer["probabilities"].get)
        assert answer["probability"] == max(answer["probabilities"].values())
        assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-6)
        assert set(answer["probabilities"]) == {"first", "second", "third"}
        assert (answer["model"], answer["version"]) == ("lstm-imdb", "1")
    assert [answer["note"] for answer in answers] == [
        "",
        "no words: this is the model's answer to an empty text",
        "2 of 3 words unknown",
        "too long: 8 of its words are not read",
    ]


@pytest.mark.parametrize(("encoding", "shown"), [("utf-8", "어제"), ("latin-1", "\\uc5b4\\uc81c")])
def test_hostile_texts_and_labels_are_shown_in_any_encoding(
    encoding: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = Prediction("[/x]\x1b[2J:smile:", 0.5, 1, 0, 0, {"[/x]\x1b[2J:smile:": 0.5})
    monkeypatch.setattr(predictor, "choose", lambda *_: ModelVersion("lstm-[draft]", "1", "candidate"))
    monkeypatch.setattr(predictor, "classify", lambda *_: [answer])
    for form in predict.FORMATS:
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="backslashreplace")
        monkeypatch.setattr("sys.stdout", stream)
        predict.predict(predict.Arguments(("어제\x9b\n[b]",), "", format=form), Console(width=160))
        stream.seek(0)
        output = stream.read()
        assert not {"\x1b", "\x9b"} & set(output)
        if form == "json":
            assert json.loads(output)["text"] == "어제\x9b\n[b]"
        else:
            assert rf"{shown}\u009b\n[b]" in output
        assert r"[/x]\u001b[2J:smile:" in output
        assert "lstm-[draft]" in output


def test_the_table_has_a_line_for_each_text_and_names_the_model(uri: str) -> None:
    console = Console(file=io.StringIO(), width=160)
    predict.predict(predict.Arguments(("word3 [bold]word4[/bold]", "unheard of"), uri), console)
    assert isinstance(console.file, io.StringIO)
    title, _, first, second = console.file.getvalue().rstrip().splitlines()
    assert title.strip() == "lstm-imdb version 1, the candidate"
    assert "word3 [bold]word4[/bold]" in first
    assert "none of its words is known" in second


class FakeRegistry:
    def __init__(self, *models: tuple[str, dict[str, str]]) -> None:
        self._models = [SimpleNamespace(name=name, aliases=aliases) for name, aliases in models]

    def search_registered_models(self) -> list[SimpleNamespace]:
        return self._models

    def get_model_version(self, name: str, version: str) -> SimpleNamespace:
        tags = {} if name == "foreign" else dict.fromkeys(model_files.TAGS, "")
        return SimpleNamespace(name=name, version=version, creation_timestamp=int(version), tags=tags)


@pytest.mark.parametrize(
    ("wanted", "version"),
    [
        (None, ModelVersion("lstm-reuters", "6", "champion", others=("conv_lstm-imdb", "lstm-imdb"))),
        ("lstm-imdb", ModelVersion("lstm-imdb", "9", "candidate")),
        ("lstm-reuters", ModelVersion("lstm-reuters", "6", "champion")),
        ("models:/lstm-reuters@candidate", ModelVersion("lstm-reuters", "7", "candidate")),
        ("models:/lstm-reuters/2", ModelVersion("lstm-reuters", "2", "")),
    ],
)
def test_the_newest_champion_comes_before_every_candidate(
    wanted: str | None, version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = [
        ("lstm-imdb", {"candidate": "9"}),
        ("lstm-reuters", {"candidate": "7", "champion": "6"}),
        ("conv_lstm-imdb", {"champion": "4"}),
        ("foreign", {"champion": "8"}),
    ]
    monkeypatch.setattr(predictor, "connect", lambda uri: FakeRegistry(*models))
    assert predictor.choose("sqlite:///x.db", wanted) == version


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("lstm-imbd", r"^model=lstm-imbd: .* has no such model; did you mean 'lstm-imdb'\?$"),
        ("bert", r"^model=bert: .* has no such model; allowed: lstm-imdb$"),
        ("lstm-imdb@champion", r"^model=lstm-imdb@champion: lstm-imdb has no champion; it has candidate$"),
        ("models:/lstm-imdb/7", r"^model=models:/lstm-imdb/7: lstm-imdb has no version 7$"),
    ],
)
def test_a_model_that_is_not_there_is_named(wanted: str, message: str, uri: str) -> None:
    with pytest.raises(ConfigError, match=message):
        predictor.choose(uri, wanted)


@pytest.mark.usefixtures("fresh_store")
def test_a_store_without_a_model_is_named() -> None:
    with pytest.raises(ConfigError, match="no champion and no candidate; a sweep on real data registers one"):
        predictor.choose(predict.read_arguments(["a text"]).uri, None)
    with pytest.raises(ConfigError, match="there is no such store"):
        predictor.choose("sqlite:////nowhere/mlflow.db", None)
    assert not Path("/nowhere").exists()


def logged_before(trained: Plan, uri: str, monkeypatch: pytest.MonkeyPatch, code: Path) -> ModelVersion:
    """Register the baseline with other code, as another version of this project or somebody else would."""
    monkeypatch.setattr(model_files, "SERVED", code)
    record = logged(trained, uri)
    trial = next(trial.trial for trial in record.completed if record.best and trial.trial != record.best.trial)
    version = register(uri, record, candidate(trained, record, trial))
    monkeypatch.undo()
    return ModelVersion(version.name, version.number, "")


@pytest.fixture
def other_store(uri: str, tmp_path: Path) -> str:
    """A copy of the store, whose artifacts stay where they are."""
    with (
        closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as store,
        closing(sqlite3.connect("other.db")) as copy,
    ):
        store.backup(copy)
    return f"sqlite:///{tmp_path / 'other.db'}"


def test_a_model_of_an_earlier_version_still_answers(
    trained: Plan, other_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = ROOT / "tests" / "earlier" / "served_model.py"

    def save(network: keras.Model, serving: Serving, model: Model, path: Path) -> None:
        network.save("network.keras")
        Path("words.json").write_bytes(serving.vocabulary)
        settings = {key: serving.encoder[key] for key in ("num_words", "maxlen")}
        mlflow.pyfunc.save_model(
            path,
            python_model=str(code),
            artifacts={"network": "network.keras", "words": "words.json"},
            model_config={"labels": list(serving.labels), **settings},
            signature=ModelSignature(Schema([ColSpec(DataType.string)])),
            input_example=[registration.EXAMPLE],
            pip_requirements=["keras==3.15.1"],
            mlflow_model=model,
        )

    monkeypatch.setattr(registration, "_save", save)
    earlier = logged_before(trained, other_store, monkeypatch, code)
    (answer,) = predictor.classify(other_store, earlier, ["word3 word4"])
    assert answer.words == 2


def test_code_of_others_is_not_run(trained: Plan, other_store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    code, ran = Path("code/served_model.py"), Path("ran").resolve()
    code.parent.mkdir()
    code.write_text(f"from pathlib import Path\nPath({str(ran)!r}).touch()\n{model_files.SERVED.read_text()}")
    foreign = logged_before(trained, other_store, monkeypatch, code)
    ran.unlink()
    for _ in ("by its number", "by its alias"):
        message = rf"^lstm-imdb version {foreign.version}.* is not loaded; .*: served_model\.py is other code$"
        with pytest.raises(SweepError, match=message):
            predictor.classify(other_store, foreign, ["a text"])
        MlflowClient(other_store).set_registered_model_alias("lstm-imdb", "champion", foreign.version)
        foreign = predictor.choose(other_store, "lstm-imdb")
    assert foreign.alias == "champion"
    assert not ran.exists()


def test_a_model_of_others_is_neither_loaded_nor_taken_for_the_newest(uri: str, other_store: str) -> None:
    class Foreign(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
        _skip_type_hint_validation = True

        def predict(self, context: object, model_input, params: object = None) -> list[str]:  # type: ignore[no-untyped-def]
            return ["owned"]

    mlflow.pyfunc.save_model("foreign", python_model=Foreign(), pip_requirements=[])
    client = MlflowClient(other_store)
    client.create_registered_model("lstm-foreign")
    client.create_model_version("lstm-foreign", str(Path("foreign").resolve()))
    client.set_registered_model_alias("lstm-foreign", "champion", "1")
    assert predictor.choose(other_store, None) == predictor.choose(uri, None)
    named = predictor.choose(other_store, "lstm-foreign")
    reason = "it has no tag data.digest, epochs, sweep, trial"
    with pytest.raises(SweepError, match=f"^lstm-foreign version 1, the champion, is not loaded; .* models: {reason}$"):
        predictor.classify(other_store, named, ["a text"])
    for tag in model_files.TAGS:
        client.set_model_version_tag("lstm-foreign", "1", tag, "1")
    assert predictor.choose(other_store, None) == named._replace(others=("lstm-imdb",))
    with pytest.raises(SweepError, match=r"python_model\.pkl is none of its files$"):
        predictor.classify(other_store, named, ["a text"])


def test_every_line_of_a_file_is_a_text_and_empty_ones_keep_their_place() -> None:
    Path("texts.txt").write_bytes(b"\xef\xbb\xbffirst\r\n\n" + "세 번째\u2028the same\x85line\n".encode())
    assert predict.read_arguments(["file=texts.txt"]).texts == ("first", "", "세 번째\u2028the same\x85line")


def test_the_other_models_are_named_where_the_newest_answers(
    capsys: pytest.CaptureFixture[str], uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = tuple(f"lstm-{number}" for number in range(7))
    chosen = predictor.choose(uri, None)
    assert chosen.others == ()
    monkeypatch.setattr(predictor, "choose", lambda *_: chosen._replace(others=others))
    monkeypatch.setattr(predictor, "classify", lambda *_: [])
    predict.predict(predict.Arguments((), uri), Console(file=io.StringIO()))
    assert capsys.readouterr().err.splitlines()[-1] == (
        "lstm-imdb is the newest of 8 models; model=… names another: lstm-0, lstm-1, lstm-2, lstm-3, lstm-4 and 2 more"
    )


def test_dashes_do_not_make_a_text_an_option() -> None:
    assert predict.read_arguments(["-- a dash and a film"]).texts == ("-- a dash and a film",)


def test_an_equals_sign_does_not_make_a_text_an_option() -> None:
    assert predict.read_arguments(["E=mc2 is a film", "second"]).texts == ("E=mc2 is a film", "second")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["modle=lstm-imdb", "a"], r"modle=lstm-imdb: allowed: model=…, .*did you mean 'model'\?"),
        (["--model", "lstm-imdb", "a"], r"--model: an option has no dashes: model=…, file=…, "),
        (["--modle=lstm-imdb", "a"], r"--modle=lstm-imdb: an option has no dashes: .*did you mean 'model'\?"),
        (["format=xml", "a"], "format=xml: allowed: table, json"),
        (["model=models:/a/b/c", "a"], "model=models:/a/b/c: must be"),
        (["file=nowhere.txt"], r"file=nowhere\.txt: cannot be read \(No such file"),
        (["file=latin1.txt"], r"file=latin1\.txt: line 2 is not UTF-8; nothing was classified"),
        (["file=empty.txt"], r"file=empty\.txt: holds no text"),
        (["file=latin1.txt", "a"], r"file=latin1\.txt: there is a text on the command line too"),
        (["caf\udce9"], "the text is not UTF-8"),
        (["tracking.uri=folder", "a"], "tracking.uri=folder: must be"),
    ],
)
def test_a_mistake_is_answered_in_one_line(arguments: list[str], message: str) -> None:
    Path("latin1.txt").write_bytes("good\ncafé\n".encode("latin-1"))
    Path("empty.txt").write_bytes(b"")
    with pytest.raises(ConfigError, match=message) as error:
        predict.read_arguments(arguments)
    assert "\n" not in str(error.value)


def test_without_a_text_standard_input_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("word1 어제\n".encode())))
    assert predict.read_arguments([]).texts == ("word1 어제",)


def run_command(uri: str, content: bytes) -> subprocess.CompletedProcess[bytes]:
    """Run the command with texts on standard input; a last line says whether TensorFlow was loaded."""
    program = (
        "import sys; from pipelines import predict\ntry: predict.main()\nfinally: print('tensorflow' in sys.modules)"
    )
    command = [sys.executable, "-c", program, f"tracking.uri={uri}", "format=json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, input=content, capture_output=True, check=False, env=environment)


def test_the_command_reads_standard_input_and_refuses_before_tensorflow(uri: str) -> None:
    refused = run_command(uri, b"caf\xe9\n")
    assert (refused.returncode, refused.stdout) == (1, b"False\n")
    assert refused.stderr == b"error: standard input: line 1 is not UTF-8; nothing was classified\n"


@pytest.mark.long
def test_the_command_classifies_standard_input(uri: str) -> None:
    done = run_command(uri, "word1 어제\n".encode())
    assert (done.returncode, done.stderr.decode()) == (0, "loading the model …\n")
    assert json.loads(done.stdout.splitlines()[0])["text"] == "word1 어제"


@pytest.mark.parametrize(
    ("prediction", "note"),
    [
        (Prediction("a", 1.0, 0, 0, 0, {}), "no words: this is the model's answer to an empty text"),
        (Prediction("a", 1.0, 3, 3, 0, {}), "none of its words is known"),
        (
            Prediction("a", 1.0, 300, 2, 198, {}),
            "2 of 300 words unknown; too long: 198 of its words are not read",
        ),
        (Prediction("a", 1.0, 3, 0, 0, {}), ""),
    ],
)
def test_a_note_says_what_could_mislead(prediction: Prediction, note: str) -> None:
    assert prediction.note == note


@pytest.fixture(scope="module")
def served(uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of `mlflow models serve`."""
    folder, port = tmp_path_factory.mktemp("served"), free_port()
    model, address = "models:/lstm-imdb@candidate", f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", model, "--env-manager", "local"]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": uri, "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    with (folder / "log").open("w+") as log, processes() as start:
        server = start([*command, "--host", "127.0.0.1", "--port", str(port)], cwd=folder, env=environment, stdout=log)
        wait_until_it_answers(f"{address}/ping", server, folder / "log")
        yield address


def ask(address: str, body: bytes) -> list[dict[str, Any]]:
    request = Request(f"{address}/invocations", body, {"Content-Type": "application/json"})
    with urlopen(request, timeout=240) as answer:
        return list(json.load(answer)["predictions"])


@pytest.mark.long
def test_mlflows_own_server_answers_raw_text_by_name(served: str, uri: str) -> None:
    answers = ask(served, json.dumps({"inputs": TEXTS}).encode())
    direct = predictor.classify(uri, predictor.choose(uri, None), TEXTS)
    for key in ("label", "words", "unknown", "unread"):
        assert [answer[key] for answer in answers] == [getattr(answer, key) for answer in direct]
    assert [answer["probability"] for answer in answers] == pytest.approx([answer.probability for answer in direct])
    authors = ["", "Kim", "", ""]
    split = {"columns": ["author", "text"], "data": [list(row) for row in zip(authors, TEXTS, strict=True)]}
    records = [{"author": author, "text": text} for author, text in zip(authors, TEXTS, strict=True)]
    for request in (
        {"instances": TEXTS},
        {"instances": records},
        {"inputs": {"text": TEXTS}},
        {"inputs": {"author": authors, "text": TEXTS}},
        {"dataframe_split": split},
        {"dataframe_records": records},
    ):
        assert ask(served, json.dumps(request).encode()) == answers, request
    split = {"dataframe_split": {"columns": ["text"], "data": [[TEXTS[0]]]}}
    assert ask(served, json.dumps(split).encode()) == answers[:1]
    assert ask(served, b'{"inputs": []}') == []
    for wrong in (
        b'{"inputs": ["caf\xe9"]}',
        b'{"inputs": [1, 2]}',
        b'{"instances": [{"author": "a", "title": "b"}]}',
        b'{"dataframe_split": {"data": [["a"], [null]]}}',
        b'{"dataframe_records": [{"author": "a", "title": "b"}]}',
    ):
        with pytest.raises(HTTPError) as refused:
            ask(served, wrong)
        assert refused.value.code == 400, wrong
        refused.value.close()
    assert MlflowClient(uri).get_registered_model("lstm-imdb").aliases == {"candidate": 1}
