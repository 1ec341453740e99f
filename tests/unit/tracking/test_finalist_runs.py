"""The runs of a confirmation in a store: they are no trials of a search."""

from dataclasses import replace
from pathlib import Path

import pytest
from mlflow.entities import Metric, RunTag

from conf.schema import Job
from sweeps import driver, journal
from sweeps.driver import Search
from sweeps.finalists import FixedList, confirmation_of
from sweeps.tracking import abandoned_runs, comparison_page, driver_process
from tests.fakes import FakeEngine, plan
from tests.tracked import catch_up, client, opened, runs, small, tracked

DIRECTORY = Path("outputs/again/imdb")

pytestmark = pytest.mark.usefixtures("fresh_store")


def confirmed(job: Job) -> Search:
    """A sweep and its confirmation, both in the store."""
    searched = tracked(job).record
    confirmation = confirmation_of(searched, 2, 2)
    config = replace(job.config, trials=len(confirmation.trials))
    again = plan(job, DIRECTORY)._replace(confirmation=confirmation, config=config)
    tracker = opened(job)
    search = Search(again, FixedList(confirmation), [tracker])
    driver.run([search], FakeEngine())
    assert tracker.close()
    return search


def test_a_finalist_is_no_trial_and_has_no_objective() -> None:
    record = confirmed(small()).record
    finalists, (parent,) = runs("finalist"), runs("confirm")
    assert len(finalists) == record.budget == len(record.completed)
    assert len(runs("trial")) == 3
    for run in finalists:
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.tags["sweep"] == "again/imdb"
        assert not {"objective", "best/val/accuracy"} & {*run.data.metrics, *run.data.tags}
        assert {"test/accuracy", "cost/seconds"} <= run.data.metrics.keys()
    assert all("best/val/accuracy" in run.data.metrics for run in runs("trial"))


def test_the_views_of_a_search_have_no_finalist_and_a_confirmation_has_one_of_its_own() -> None:
    confirmed(small())
    tags = client().get_experiment_by_name("imdb-standin").tags
    searched = ["embedding_dim", "lstm_units", "learning_rate"]
    own, again = (
        comparison_page.Comparison(sweep, objective, searched, finalists, "0123456789abcdef")
        for sweep, objective, finalists in (
            ("sweep/imdb", "val/accuracy", False),
            ("again/imdb", "train/accuracy", True),
        )
    )
    for comparison in (own, again):
        view = comparison_page.of_sweep(comparison)
        assert tags[view.tag] == view.value
    assert "tags.kind = 'trial'" in own.condition
    assert (again.condition, again.order) == (
        "tags.kind = 'finalist' and tags.sweep = 'again/imdb'",
        ("attributes.start_time", True),
    )
    (started,) = [run.info.start_time for run in runs("sweep")]
    shared = comparison_page.of_experiment(own, started, {"lstm": searched})
    assert tags[shared.tag] == shared.value  # a confirmation does not take it


def test_finalists_that_an_earlier_version_logged_as_trials_are_finalists_after_the_next_sync() -> None:
    job = small()
    confirmed(job)
    ids = {run.info.run_id for run in runs("finalist")}
    for run in ids:
        client().log_batch(run, [Metric("objective", 0.99, 1, 0)], tags=[RunTag("kind", "trial")])
    assert len(runs("trial")) == 3 + len(ids)
    catch_up(opened(job), DIRECTORY, journal.read(DIRECTORY))
    assert {run.info.run_id for run in runs("finalist")} == ids
    assert len(runs("trial")) == 3


def test_the_finalists_of_a_confirmation_that_was_killed_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    confirmed(small())
    (parent,), finalist = runs("confirm"), runs("finalist")[0]
    for run in (parent, finalist):
        client().update_run(run.info.run_id, "RUNNING")
    monkeypatch.setattr(driver_process, "is_known_dead", lambda tags: True)
    abandoned_runs.close(client())
    assert client().get_run(finalist.info.run_id).info.status == "KILLED"
