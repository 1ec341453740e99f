"""The encodings of a sweep whose dataset's settings are searched, from the plan to the registered model."""

import csv
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from conf.schema import ConfigError, Data, Job
from pipelines.data import dataset, table_dataset
from pipelines.data.corpus import Corpus, Documents
from sweeps import driver, journal
from sweeps.driver import Search
from sweeps.errors import SweepError
from sweeps.journal import SweepRecord
from sweeps.plan import Plan
from sweeps.search.oracle import Oracle
from sweeps.session import checks, reproduce
from sweeps.session.plans import Encodings, plans_of, recorded_plan
from sweeps.session.session import Session
from sweeps.tracking import registration
from tests import corpora
from tests.fakes import FakeEngine

ROWS = [
    (f"Of common words: word{n % 20}, and then text{n} ends.", ("good", "bad")[n % 2], str(n // 4)) for n in range(200)
]
SEARCHED = (
    "model=lstm",
    "trials=6",
    "epochs=2",
    "datasets.reviews.num_words=40",
    "datasets.reviews.maxlen=6",
    "datasets.reviews.space.maxlen=[3,6]",
    "datasets.reviews.space.tokens=[words,characters]",
)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "reviews.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label", "author"), *ROWS])
    return path


@pytest.fixture
def job(table: Path, composed: Callable[..., Job]) -> Job:
    return composed(f"data={table}", *SEARCHED)


def planned(job: Job) -> Plan:
    (plan,) = plans_of(job, checks.check(job.config), Path("outputs/sweep"), Console(file=io.StringIO()))
    return plan


def swept(job: Job, plan: Plan) -> SweepRecord:
    search = Search(plan, Oracle(job.config, plan.space))
    try:
        driver.run([search], FakeEngine())
    finally:
        search.close()
    return search.record


def settings_of(table: Path, **changes: Any) -> Data:
    settings = {"files": [str(table)], "num_words": 40, "maxlen": 6, "group": "author"}
    return Data(**{**settings, **changes})


def test_each_trial_has_the_data_that_its_values_encode_and_the_baseline_those_configured(job: Job) -> None:
    plan = planned(job)
    values = plan.space.defaults()
    assert plan.spec(0, values, 0, 1).digest == plan.digest
    spec = plan.spec(1, {**values, "maxlen": 3, "tokens": "characters"}, 0, 1)
    data = dataset.load(**spec.data)
    assert data.digest == spec.digest != plan.digest
    assert (data.maxlen, data.train.x.shape[1], data.audit.tokens) == (3, 3, "characters")  # type: ignore[union-attr]


def test_a_setting_is_encoded_once(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, asked = planned(job), []
    source = table_dataset.source
    monkeypatch.setattr(table_dataset, "source", lambda *given: asked.append(given[1].encoding) or source(*given))
    values = plan.space.defaults()
    for number, maxlen in enumerate((6, 3, 3, 6, 3)):
        plan.spec(number, {**values, "maxlen": maxlen, "lstm_units": 20 + number}, 0, 1)
    assert asked == [("words", 40, 3, "last")]


@pytest.mark.parametrize(
    "change", [{"maxlen": 3}, {"num_words": 20}, {"tokens": "characters"}, {"tokens": "bpe"}, {"keep": "both"}], ids=str
)
def test_every_setting_divides_the_same_texts_in_the_same_way(table: Path, change: dict[str, Any]) -> None:
    parts = [table_dataset.read("reviews", settings_of(table, **each))[1].parts for each in ({}, {**change})]
    np.testing.assert_array_equal(*parts)
    one, other = (dataset.load(name="reviews", settings=settings_of(table, **each)) for each in ({}, {**change}))
    assert one.digest != other.digest
    for before, after in zip(one[:3], other[:3], strict=True):
        np.testing.assert_array_equal(before.y, after.y)


@pytest.mark.parametrize("change", [{"maxlen": 5}, {"num_words": 10}, {"keep": "first"}], ids=str)
def test_every_setting_divides_the_same_documents_in_the_same_way(tmp_path: Path, change: dict[str, Any]) -> None:
    archive = corpora.npz(**corpora.toy(200))
    one, other = (corpora.load_bytes(tmp_path, archive, **each) for each in ({}, change))
    assert one.digest != other.digest
    for before, after in zip(one[:3], other[:3], strict=True):
        np.testing.assert_array_equal(before.y, after.y)
        if "maxlen" in change:
            np.testing.assert_array_equal(before.x[:, -5:], after.x)


def shrinking(*, maxlen: int) -> Corpus:
    """Return other documents for another `maxlen`."""
    documents = [[1, 2, 3]] * maxlen
    labels = np.arange(maxlen) % 2
    return Corpus(f"shrinking {maxlen}", "archive", lambda: Documents(documents, labels, documents, labels))


def test_documents_that_depend_on_a_searched_setting_are_refused() -> None:
    settings = Data(read=f"{__name__}.shrinking", num_words=40, maxlen=20, num_classes=2)
    encodings = Encodings("own")
    encodings.load(settings)
    with pytest.raises(ConfigError, match=r"^datasets\.own\.space: with .* maxlen=30, .* there are other documents"):
        encodings.digest(replace(settings, maxlen=30))


def test_a_sweep_records_the_data_of_each_trial(job: Job) -> None:
    plan = planned(job)
    record = swept(job, plan)
    digests = {(trial.values["maxlen"], trial.values["tokens"]): trial.digest for trial in record.trials.values()}
    assert len(set(digests.values())) == len(digests) > 2
    assert digests[6, "words"] == record.started.digest == plan.digest
    assert recorded_plan(job.config, record).spec(9, record.trials[1].values, 0, 1).digest == record.trials[1].digest


def test_a_trial_that_goes_on_must_have_the_data_that_it_began_with(job: Job, table: Path) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    plan = planned(job)
    search = Search(plan, Oracle(job.config, plan.space))
    with pytest.raises(KeyboardInterrupt):
        driver.run([search], FakeEngine(interrupted))  # type: ignore[arg-type]
    search.close()
    past = journal.read(plan.directory)
    with pytest.raises(SweepError, match="the data of trial 1 have the digest other, it was started with"):
        Search(plan._replace(digest_of=lambda settings: "other"), Oracle(job.config, plan.space), [], past)


def test_data_that_cannot_be_encoded_end_the_sweep_with_what_it_has(job: Job) -> None:
    def full(settings: Data) -> str:
        raise ConfigError("XDG_CACHE_HOME=/cache: cannot be written (disk full)")

    plan = planned(job)._replace(digest_of=full)
    with pytest.raises(SweepError, match=r"^the data of trial \d cannot be encoded: XDG_CACHE_HOME=/cache: cannot be"):
        swept(job, plan)


def test_the_space_of_the_data_is_part_of_a_sweeps_fingerprint(job: Job) -> None:
    plan = planned(job)
    data = replace(job.config.datasets["reviews"], space={})
    other = plan._replace(config=replace(job.config, datasets={"reviews": data}))
    assert plan.fingerprint() != other.fingerprint()


def test_the_encoder_that_is_registered_is_that_of_the_chosen_trial(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = planned(job)
    record = swept(job, plan)
    best = record.best
    assert best is not None
    best.values = {**best.values, "maxlen": 3, "tokens": "characters"}
    asked = []

    def register(uri: str, record: SweepRecord, candidate: registration.Candidate) -> registration.Version:
        candidate.serving()
        asked.append(candidate.spec.data["settings"])
        return registration.Version("lstm-reviews", "1", "candidate", best.trial, new=False)

    monkeypatch.setattr(registration, "register", register)
    serving = Session(Console(), lambda name, settings: asked.append(settings))  # type: ignore[arg-type, func-returns-value, return-value]
    assert serving.register("sqlite:///mlflow.db", plan, record)
    assert [settings.encoding for settings in asked] == [("characters", 40, 3, "last")] * 2


def test_a_trial_on_a_table_can_be_repeated(job: Job) -> None:
    record = swept(job, planned(job))
    config = reproduce._config(job.config, record, job.config)
    assert config.datasets == job.config.datasets


def test_weights_of_the_labels_are_searched_on_the_same_arrays(table: Path, composed: Callable[..., Job]) -> None:
    plan = planned(composed(f"data={table}", *SEARCHED, "datasets.reviews.space.class_weight=[none,balanced]"))
    values = plan.space.defaults()
    specs = [plan.spec(n, {**values, "class_weight": weight}, 0, 1) for n, weight in enumerate(("none", "balanced"))]
    assert [spec.class_weight for spec in specs] == ["none", "balanced"]
    assert [spec.digest for spec in specs] == [plan.digest] * 2


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("overrides", "is_read"),
    [((), True), (("references=none",), False), (("dry_run=true",), False), (("datasets.imdb.maxlen=100",), False)],
)
def test_whole_texts_are_read_only_where_a_reference_wants_them_and_something_is_cut(
    overrides: tuple[str, ...], is_read: bool, composed: Callable[..., Job]
) -> None:
    job = composed("data=imdb", "datasets.imdb.source=standin", "datasets.imdb.maxlen=20", *overrides)
    (plan,) = plans_of(job, checks.check(job.config), Path("outputs/x"), Console(file=io.StringIO()))
    assert bool(plan.whole) == is_read
    if is_read:
        assert plan.whole != plan.digest
