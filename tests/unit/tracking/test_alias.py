"""The alias of a registered model: the better version by validation has it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sweeps.journal import SweepRecord, TrialRecord
from sweeps.tracking import registration
from sweeps.tracking.registration import Candidate, register
from sweeps.trials.spec import Serving, TrialSpec
from tests import answered, records


class Registry:
    """The versions of one registered model, and its aliases."""

    def __init__(self) -> None:
        self.versions: list[SimpleNamespace] = []
        self.aliases: dict[str, str] = {}

    def search_model_versions(self, _: str) -> list[SimpleNamespace]:
        return list(self.versions)

    def get_registered_model(self, _: str) -> SimpleNamespace:
        return SimpleNamespace(aliases=self.aliases)

    def set_registered_model_alias(self, _: str, alias: str, version: str) -> None:
        self.aliases[alias] = version

    def add(self, tags: dict[str, str]) -> SimpleNamespace:
        self.versions.append(SimpleNamespace(version=str(len(self.versions) + 1), tags=tags))
        return self.versions[-1]


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    registry = Registry()
    monkeypatch.setattr(registration, "MlflowClient", lambda *_, **__: registry)
    monkeypatch.setattr(registration._Registration, "_create_version", lambda self: registry.add(self._tags()))
    return registry


def not_called() -> Serving:
    raise AssertionError("the model is not logged here")


def registered(
    sweep: str, value: float, *, test: float = 0.5, why: dict[str, str] | None = None, **started: Any
) -> Any:
    """Register the model of a sweep whose best trial has this objective."""
    start = records.started(sweep=sweep, dataset="imdb", model="lstm", **started)
    trial = TrialRecord(trial=3, values={}, seed=1, attempt=1, epochs=2, started=0.0)
    trial.objective, trial.best_epoch, trial.test = value, 1, {"test/accuracy": test}
    trial.curves = {start.objective: [value]}
    record = SweepRecord(Path(), start)
    spec: Any = SimpleNamespace(spec=TrialSpec)
    return register("sqlite:///x.db", record, Candidate(trial, spec, why or {}, not_called))


@pytest.mark.parametrize(("objective", "better", "worse"), [("val/accuracy", 0.8, 0.7), ("val/loss", 0.3, 0.4)])
def test_the_better_by_validation_keeps_the_alias(
    objective: str, better: float, worse: float, registry: Registry
) -> None:
    assert registered("a/imdb", better, objective=objective).alias == "candidate"
    other = registered("b/imdb", worse, test=0.9, objective=objective)  # the test set has no say
    assert (other.alias, other.new) == ("", True)
    assert other.note == f"version 1 has {objective} {better:.4f}, this one {worse:.4f}"
    assert registry.aliases == {"candidate": "1"}
    assert registered("b/imdb", worse, objective=objective) == other._replace(new=False)  # as sync does
    best = registered("c/imdb", 2 * better - worse, test=0.1, objective=objective)
    assert best.alias == "candidate"
    assert "version 1 has" in best.note
    assert registered("a/imdb", better, objective=objective).alias == ""
    assert registry.aliases == {"candidate": "3"}


def test_of_equals_the_first_keeps_it(registry: Registry) -> None:
    registered("a/imdb", 0.8)
    assert registered("b/imdb", 0.8).alias == ""


@pytest.mark.parametrize(
    ("other", "note"),
    [
        ({"digest": "other"}, "version 1 had other texts, or another split of them"),
        ({"objective": "val/loss"}, "version 1 was not chosen by val/loss"),
    ],
)
def test_what_cannot_be_compared_goes_to_the_newer(other: dict[str, str], note: str, registry: Registry) -> None:
    registered("a/imdb", 0.9)
    newer = registered("b/imdb", 0.1, **other)
    assert (newer.alias, newer.note) == ("candidate", note)
    assert registered("a/imdb", 0.9).alias == ""  # and never back to the older
    assert registry.aliases == {"candidate": "2"}


def test_the_same_texts_in_another_encoding_are_compared(registry: Registry) -> None:
    texts, others = ({**answered.audit(["neg", "pos"]).as_dict(), "texts": digest} for digest in ("t", "u"))
    registered("a/imdb", 0.9, audit=texts)
    worse = registered("b/imdb", 0.8, audit=texts, digest="other")
    assert (worse.alias, worse.note) == ("", "version 1 has val/accuracy 0.9000, this one 0.8000")
    assert registered("c/imdb", 0.95, audit=texts, digest="other").alias == "candidate"
    cleaned = registered("d/imdb", 0.1, audit=others, digest="other still")
    assert (cleaned.alias, cleaned.note) == ("candidate", "version 3 had other texts, or another split of them")


def test_a_model_that_was_chosen_by_another_metric_is_compared_by_the_one_of_this_sweep(registry: Registry) -> None:
    registered("a/imdb", 0.3, objective="val/loss")
    registry.versions[0].tags["val/accuracy"] = "0.9"
    worse = registered("b/imdb", 0.8)
    assert (worse.alias, worse.note) == ("", "version 1 has val/accuracy 0.9000, this one 0.8000")
    assert registered("c/imdb", 0.95).alias == "candidate"


def test_a_sweep_that_went_on_has_its_newest_choice(registry: Registry) -> None:
    registered("a/imdb", 0.8)
    registry.versions[0].tags["trial"] = "1"
    assert registered("a/imdb", 0.7).alias == "candidate"
    assert registry.aliases == {"candidate": "2"}


@pytest.mark.parametrize("tags", [{}, {"data.digest": "d"}, {"data.digest": "d", "objective.value": "x"}])
def test_a_holder_that_cannot_be_compared_is_replaced(tags: dict[str, str], registry: Registry) -> None:
    registry.add({"sweep": "old/imdb", **tags})
    registry.aliases["candidate"] = "1"
    assert registered("a/imdb", 0.1, digest="d").alias == "candidate"


def test_the_alias_of_a_model_that_is_none_of_this_project_stays_where_it_is(registry: Registry) -> None:
    registry.add({"data.digest": "d"})
    registry.aliases["candidate"] = "1"
    version = registered("a/imdb", 0.9, digest="d")
    assert (version.alias, version.note) == ("", "version 1 has that alias, and is none of this project's")
    assert registry.aliases == {"candidate": "1"}


def test_versions_without_a_named_objective_are_compared_by_their_scores(registry: Registry) -> None:
    registry.add({"sweep": "old/imdb", "data.digest": "d", "val/accuracy": "0.9"})
    registry.aliases["candidate"] = "1"
    assert registered("a/imdb", 0.8, digest="d").note == "version 1 has val/accuracy 0.9000, this one 0.8000"


def test_a_champion_is_compared_by_what_its_search_validated(registry: Registry) -> None:
    searched = {"confirms": "s/imdb", "finalists": {"3": 0.8, "0": 0.7}}
    why = {"origin": "3"}
    assert registered("a/imdb", 0.0, why=why, **searched).alias == "champion"
    worse = {**searched, "finalists": {"3": 0.75, "0": 0.7}}
    other = registered("b/imdb", 0.0, test=0.99, why=why, **worse)
    assert (other.alias, other.note) == ("", "version 1 has val/accuracy 0.8000, this one 0.7500")
    assert registered("c/imdb", 0.9).alias == "candidate"  # of another kind
    assert registry.aliases == {"champion": "1", "candidate": "3"}
