"""Sweeps that really train a tiny network, to be registered; their documents are texts."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from conf.schema import Data, Job, Values
from pipelines.data.corpus import Corpus, Documents
from sweeps import driver, journal
from sweeps.driver import Search
from sweeps.journal import Event, SweepRecord
from sweeps.plan import Plan
from sweeps.search.ask_tell import Proposal
from sweeps.text_encoder import OFFSET, START, UNKNOWN
from sweeps.tracking import store
from sweeps.tracking.registration import Candidate
from sweeps.tracking.tracker import Tracker
from sweeps.trials import training
from sweeps.trials.spec import Dataset, Serving, Split
from tests import tiny
from tests.conftest import composed_job
from tests.fakes import FakeEngine, Trial, plan
from tests.tracked import ListOracle, catch_up

TINY = (
    "model=lstm",
    "data=imdb",
    f"datasets.imdb.num_classes={tiny.CLASSES}",
    "datasets.imdb.text.labels=[first,second,third]",
    "trials=2",
    "epochs=2",
    "model.space.embedding_dim=4",
    "model.space.lstm_units={kind: Choice, values: [3, 5], default: 3}",
    "model.space.dropout=0.0",
)
INDEX = {f"word{rank}": rank for rank in range(1, 2 * tiny.WORDS)}


def word_index() -> bytes:
    return json.dumps(INDEX).encode()


def load(**_: Any) -> Dataset:
    """Return `tiny`'s documents, changed so that a text exists for each."""
    data = tiny.load()

    def as_texts(split: Split) -> Split:
        x = np.where(split.x == START, UNKNOWN, np.where(split.x == OFFSET, OFFSET + 1, split.x)).astype(np.int32)
        x[::3, :3] = [0, 0, START]
        return Split(x, split.y)

    return data._replace(train=as_texts(data.train), validation=as_texts(data.validation), test=as_texts(data.test))


def read(*, url: str, sha256: str) -> Corpus:
    """Read documents of random words whose first word determines the class, as a dataset of the configuration."""
    generator = np.random.default_rng(0)
    x = [generator.integers(1, tiny.WORDS, tiny.MAXLEN).tolist() for _ in range(60)]
    y = np.array([document[0] % tiny.CLASSES for document in x])
    return Corpus("tiny", "archive", lambda: Documents(x[:40], y[:40], x[40:], y[40:]))


def texts() -> list[str]:
    """The texts of the test split."""
    by_id = {UNKNOWN: f"word{tiny.WORDS}", **{rank + OFFSET: word for word, rank in INDEX.items()}}
    return [" ".join(by_id.get(id_, "") for id_ in ids) for ids in load().test.x.tolist()]


def serving(_: str, settings: Data) -> Serving:
    encoder = {"tokens": "words", "num_words": tiny.WORDS, "maxlen": tiny.MAXLEN, "keep": "last", "unlisted": "skip"}
    labels = settings.text.labels or [str(label) for label in range(tiny.CLASSES)]
    return Serving(encoder, word_index(), labels, lambda _: texts())


def planned(directory: Path, job: Job | None = None) -> Plan:
    """Plan a sweep whose data count as real ones."""
    job = job or composed_job(*TINY)
    return plan(job, directory)._replace(load=f"{__name__}.load", source="archive", digest="tiny")


def values(planned: Plan, trial: int) -> Values:
    return {**planned.space.defaults(), "lstm_units": (3, 5)[trial]}


def swept(planned: Plan, past: Sequence[Event] = (), run: Trial = training.run) -> SweepRecord:
    """Train the sweep's trials."""
    config = planned.config
    trials = [Proposal(trial, dict(values(planned, trial)), 0, config.epochs) for trial in range(config.trials)]
    search = Search(planned, ListOracle(trials), [], past)
    driver.run([search], FakeEngine(run))
    return search.record


def logged(planned: Plan, uri: str | None = None) -> SweepRecord:
    """Log a sweep, and return its record as another process reads it."""
    catch_up(Tracker(store.uri(uri)), planned.directory)
    return SweepRecord.of(planned.directory, journal.read(planned.directory))


def candidate(
    planned: Plan, record: SweepRecord, trial: int | None = None, why: Mapping[str, str] = MappingProxyType({})
) -> Candidate:
    """Choose a trial, by default the best one."""
    chosen = record.best if trial is None else record.trials[trial]
    assert chosen is not None
    spec = planned.spec(chosen.trial, chosen.values, 0, chosen.epochs)
    return Candidate(chosen, spec, why, lambda: serving("imdb", planned.config.datasets["imdb"]))
