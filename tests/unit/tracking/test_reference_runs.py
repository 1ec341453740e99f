"""The runs of linear references in a store, compared with the journal."""

from collections.abc import Sequence

import pytest

from conf.schema import ConfigError
from sweeps import journal
from sweeps.journal import Event, Journal, ReferenceEnded, SweepEnded, SweepResumed
from sweeps.tracking import store
from sweeps.tracking.reader import StoredSweeps
from tests import records
from tests.fakes import plan
from tests.tracked import catch_up, client, opened, runs, small, untracked

pytestmark = pytest.mark.usefixtures("fresh_store")
FOUND = (records.reference("svm", 0.77, final={"test/accuracy": 0.78}), ReferenceEnded("nbsvm", "failed", "too little"))


def ended(found: Sequence[Event] = FOUND) -> None:
    """Write the journal of a sweep that ended with these references."""
    *events, end = untracked(small(trials=1))
    directory = plan(small()).directory
    (directory / journal.FILE).unlink()
    again = Journal(directory)
    for event in (*events, *found, end):
        again.append(event)
    again.close()


def synchronise() -> None:
    catch_up(opened(small(trials=1)), plan(small()).directory)


def test_each_is_a_run_of_its_own_below_the_sweeps_and_no_trial() -> None:
    ended()
    synchronise()
    (parent,) = runs("sweep")
    failed, svm = runs("reference")
    assert len(runs("trial")) == 1
    assert [run.data.tags["mlflow.parentRunId"] for run in (failed, svm)] == [parent.info.run_id] * 2
    assert (svm.data.tags["reference"], svm.data.tags["dataset"], svm.info.status) == ("svm", "imdb", "FINISHED")
    assert not {"trial", "model", "tuner", "objective"} & svm.data.tags.keys()
    assert svm.data.params == {"C": "0.3"}
    assert svm.data.metrics["test/accuracy"] == 0.77
    assert (svm.data.metrics["retrained/test/accuracy"], svm.data.metrics["cost/seconds"]) == (0.78, 6.0)
    assert (failed.info.status, failed.data.tags["status.reason"]) == ("FAILED", "too little")


def test_they_are_logged_once_however_often_and_again_if_the_store_lost_them() -> None:
    ended()
    for _ in range(2):
        synchronise()
    before = {run.info.run_id for run in runs("reference")}
    assert len(before) == 2
    client().delete_run(min(before))
    synchronise()
    after = {run.info.run_id for run in runs("reference")}
    assert len(after) == 2
    assert max(before) in after


def test_one_that_failed_and_was_trained_later_keeps_its_run() -> None:
    ended()
    synchronise()
    before = {run.info.run_id for run in runs("reference")}
    again = Journal(plan(small()).directory)
    for event in (SweepResumed("", 1), records.reference("nbsvm"), SweepEnded("completed", 0)):
        again.append(event)
    again.close()
    synchronise()
    assert {run.info.run_id for run in runs("reference")} == before
    assert {run.info.status for run in runs("reference")} == {"FINISHED"}


def test_a_reference_is_read_back_from_the_store_and_is_no_trial_to_be_repeated() -> None:
    ended()
    synchronise()
    sweeps = StoredSweeps(store.uri(None))
    (sweep,) = sweeps.sweeps("sweep")
    assert sweeps.record(sweep).references["svm"].scores["test/accuracy"] == 0.77
    with pytest.raises(ConfigError, match="not the run of a trial, but reference"):
        sweeps.trial(runs("reference")[0].info.run_id)
