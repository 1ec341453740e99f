import io
import itertools
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from rich.console import Console

from conf.compose import Job
from conf.schema import ConfigError
from pipelines import confirm, sweep
from sweeps import driver, journal
from sweeps.report import write
from sweeps.tracking import store
from sweeps.analysis import confirmation
from sweeps.finalists import FixedList, confirmed, fresh_seeds
from sweeps.driver import Search
from sweeps.journal import SweepRecord
from sweeps.trials.spec import Checkpoint, Cost, EpochReport, Predictions, Report, TrialResult, TrialSpec
from sweeps.errors import SweepError
from conf.schema import Value
from sweeps.tracking.tracker import Tracker
from tests import records
from tests.fakes import FakeEngine, plan

EXAMPLES = 2000


def retrain(gains: Mapping[int, float], noise: float = 0.002) -> Callable[[TrialSpec, Report], TrialResult]:
    """A final trial whose accuracy is 0.8, what its configuration adds, and what its seed does."""

    def run(spec: TrialSpec, report: Report) -> TrialResult:
        assert spec.final
        assert spec.origin is not None
        curves = {"train/loss": [0.5] * spec.epochs, "train/accuracy": [0.9] * spec.epochs}
        for epoch in range(spec.epochs):
            report(EpochReport(spec.sweep, spec.trial, 1, epoch + 1, {name: c[epoch] for name, c in curves.items()}))
        own = np.random.default_rng(spec.seed * 100 + spec.origin).normal(0, noise)
        accuracy = 0.8 + gains.get(spec.origin, 0.0) + own
        labels = np.zeros(EXAMPLES, np.uint8)
        predicted = (np.arange(EXAMPLES) >= accuracy * EXAMPLES).astype(np.uint8)
        exact = float((predicted == labels).mean())
        test = {"test/loss": 1.0, "test/accuracy": exact, "test/macro_f1": exact}
        cost = Cost(1.0, spec.epochs, 10, 1.0)
        checkpoint = Checkpoint([np.zeros(1)], [np.zeros(1)], [np.zeros(1)], curves)
        result = TrialResult(curves, 0.9, spec.epochs, test, cost, "finished", checkpoint)
        return result._replace(predictions=Predictions(predicted, labels))

    return run


def by_units(values: dict[str, Value], rng: random.Random) -> float:
    """The baseline, in the middle of the range, is none of the best."""
    return 0.7 + float(values["lstm_units"]) / 2000 + rng.gauss(0, 0.001)


def searched(**options: object) -> SweepRecord:
    return records.record(**{"trials": 8, "accuracy": by_units, **options})  # type: ignore[arg-type]


def run(
    job: Job, tmp_path: Path, record: SweepRecord, *, seeds: int = 5, engine: FakeEngine | None = None,
    views: list[driver.View] | None = None,
) -> SweepRecord:  # fmt: skip
    again = confirmed(record, 2, seeds)
    directory = tmp_path / "outputs" / "again" / "imdb"
    planned = plan(job, directory)._replace(confirmed=again, config=replace(job.config, trials=len(again.trials)))
    search = Search(planned, FixedList(again), views or [], journal.read(directory))
    try:
        driver.run([search], engine or FakeEngine(retrain({})))
    finally:
        search.close()
    return search.record


@pytest.fixture
def job(composed: Callable[..., Job]) -> Job:
    return composed("model=lstm", "trials=8")


def test_the_best_by_validation_and_the_baseline_are_trained_with_the_same_seeds() -> None:
    record = searched()
    again = confirmed(record, 3, 4)
    best = [trial.trial for trial in record.ranking()[:3]]
    assert [int(name) for name in again.finalists] == [*best, *([] if 0 in best else [0])]
    by_seed = itertools.groupby(again.trials, key=lambda trial: trial.seed)
    blocks = [[trial.origin for trial in block] for _, block in by_seed]
    assert len(blocks) == 4
    assert all(block == blocks[0] and block[0] == 0 for block in blocks)
    for trial in again.trials:
        assert trial.values == record.trials[trial.origin].values
        assert trial.epochs == record.trials[trial.origin].best_epoch


def test_no_seed_is_one_that_the_sweep_used() -> None:
    record = searched()
    first = list(itertools.islice(fresh_seeds(record), 5))
    record.trials[1].seed = first[2]
    fresh = list(itertools.islice(fresh_seeds(record), 5))
    assert first[2] not in fresh
    assert len(set(fresh)) == 5
    assert not set(fresh) & {trial.seed for trial in record.trials.values()}


def test_the_test_scores_choose_no_finalist() -> None:
    record = searched()
    before = confirmed(record, 3, 2)
    for trial in record.trials.values():
        trial.test = {name: 1 - value for name, value in trial.test.items()}
    assert confirmed(record, 3, 2) == before


def test_without_a_baseline_there_is_nothing_to_compare_with() -> None:
    with pytest.raises(SweepError, match="baseline has not completed"):
        confirmed(searched(failing=lambda trial: trial == 0), 3, 5)
    with pytest.raises(SweepError, match="nothing to confirm"):
        confirmed(searched(trials=1), 3, 5)


def test_a_better_configuration_is_said_to_be_better_and_by_how_much(job: Job, tmp_path: Path) -> None:
    record = searched()
    first = int(next(iter(confirmed(record, 2, 1).finalists)))
    found = confirmation.outcomes(run(job, tmp_path, record, engine=FakeEngine(retrain({first: 0.03}))))
    best = found[0]
    assert (best.origin, best.pairs) == (first, 5)
    assert best.gain == pytest.approx(0.03, abs=0.003)
    assert best.gain_half < 0.01
    assert best.examples is not None
    assert best.examples.low > 0
    assert f"trial {first}: better than the baseline by 3." in confirmation.in_words(best)
    assert confirmation.confirmed_winner(found) == best
    assert best.curse == pytest.approx(best.search - found[-1].search - best.gain)


def test_no_difference_is_said_to_be_none(job: Job, tmp_path: Path) -> None:
    found = confirmation.outcomes(run(job, tmp_path, searched(), engine=FakeEngine(retrain({}, noise=0.01))))
    assert "no difference that 5 seeds can show" in confirmation.in_words(found[0])
    assert confirmation.confirmed_winner(found) is None


def test_the_test_set_is_no_judge_among_the_finalists(job: Job, tmp_path: Path) -> None:
    record = searched()
    _, second, *_ = (int(name) for name in confirmed(record, 2, 1).finalists)
    found = confirmation.outcomes(run(job, tmp_path, record, engine=FakeEngine(retrain({second: 0.05}))))
    assert found[1].better
    assert confirmation.confirmed_winner(found) is None


def test_one_seed_and_no_pair_show_nothing() -> None:
    outcome = confirmation.Outcome(3, 0.8, (0.8,), math.inf, 1, 0.02, math.inf, None, 0.0)
    assert "one seed cannot show" in confirmation.in_words(outcome)
    assert "nothing can be said" in confirmation.in_words(outcome._replace(pairs=0, gain=math.nan))
    assert not outcome.better


def test_an_interrupted_confirmation_goes_on_with_what_is_missing(job: Job, tmp_path: Path) -> None:
    done: list[int] = []

    def three_only(spec: TrialSpec, report: Report) -> TrialResult:
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(spec.trial)
        return retrain({})(spec, report)

    record = searched()
    with pytest.raises(KeyboardInterrupt):
        run(job, tmp_path, record, engine=FakeEngine(three_only, workers=1))
    engine = FakeEngine(retrain({}))
    whole = run(job, tmp_path, record, engine=engine)
    assert not {spec.trial for spec in engine.specs} & set(done)
    assert len(whole.completed) == whole.budget
    more = FakeEngine(retrain({}))
    longer = run(job, tmp_path, record, seeds=7, engine=more)
    assert len(more.specs) == longer.budget - whole.budget
    assert {outcome.pairs for outcome in confirmation.outcomes(longer) if not outcome.baseline} == {7}


def test_predictions_are_kept_and_those_that_were_altered_are_not_used(job: Job, tmp_path: Path) -> None:
    record = run(job, tmp_path, searched())
    files = sorted((record.directory / "predictions").iterdir())
    assert len(files) == record.budget
    assert sum(path.stat().st_size for path in files) < 2000 * record.budget
    assert all(outcome.examples for outcome in confirmation.outcomes(record) if not outcome.baseline)
    files[0].write_bytes(files[1].read_bytes()[:-5])
    assert not any(outcome.examples for outcome in confirmation.outcomes(record))


def test_the_page_says_it_in_plain_words(job: Job, tmp_path: Path) -> None:
    record = run(job, tmp_path, searched())
    page = write.of(record)
    assert "no difference that 5 seeds can show" in page.html or "than the baseline by" in page.html
    assert "winner’s curse" in page.html or "winner&#39;s curse" in page.html
    assert [figure.name for figure in page.figures] == ["confirmed"]


def test_in_mlflow_it_is_a_run_of_its_own_kind_below_the_sweep(job: Job, tmp_path: Path) -> None:
    record = searched(source="standin")
    assert record.started is not None
    tracker = Tracker(store.uri(None))
    directory = tmp_path / "outputs" / "lstm" / "imdb"
    recorded = journal.Journal(directory)
    for event in records.events(trials=8, source="standin"):
        recorded.append(event)
    recorded.close()
    tracker.recall(directory, journal.read(directory))
    whole = run(job, tmp_path, record, seeds=2, views=[tracker])
    assert tracker.close()
    client = MlflowClient(store.uri(None))
    everything = client.search_runs([e.experiment_id for e in client.search_experiments()])
    kinds = {kind: [r for r in everything if r.data.tags["kind"] == kind] for kind in ("sweep", "confirm", "trial")}
    (sweep_run,), (parent,) = kinds["sweep"], kinds["confirm"]
    assert parent.data.tags["mlflow.parentRunId"] == sweep_run.info.run_id
    assert parent.info.experiment_id == sweep_run.info.experiment_id
    assert parent.info.status == "FINISHED"
    children = [r for r in kinds["trial"] if r.data.tags["mlflow.parentRunId"] == parent.info.run_id]
    assert len(children) == whole.budget
    assert {r.data.tags["origin"] for r in children} == set(whole.started.finalists if whole.started else ())
    assert {r.data.tags["baseline"] for r in children if r.data.tags["origin"] == "0"} == {"true"}
    assert {"journal.jsonl", "report.html"} <= {a.path for a in client.list_artifacts(parent.info.run_id)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sweep=x", "seeds=1"], "seeds=1: must be a whole number of at least 2"),
        (["sweep=x", "top=0"], "top=0: must be a whole number of at least 1"),
        (["sweep=x", "seed=5"], "did you mean 'seeds'"),
        ([], "sweep: has no value"),
        (["resume=nowhere"], "no confirmation was started there"),
    ],
)
def test_a_mistake_is_told_in_a_line(arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        confirm.read_arguments(arguments)


def test_a_sweep_is_confirmed_on_real_workers_and_goes_on_by_the_same_command(
    composed: Callable[..., Job], cluster: str
) -> None:
    data = ("data=imdb", "datasets.imdb.source=standin", "datasets.imdb.maxlen=20")
    tiny = (
        "model.space.embedding_dim=8",
        "trials=2",
        "epochs=2",
        "model.space.lstm_units={values: [4, 8], default: 8, kind: Choice}",
    )
    job = composed("model=lstm", *data, *tiny, "engine=cluster", f"engine.scheduler={cluster}")
    console = Console(file=io.StringIO(), width=160)
    (record,) = sweep.run(job, sweep.check(job.config), console)
    name = record.started.sweep if record.started else ""
    (first,) = confirm.confirm(confirm.read_arguments([f"sweep={name}", "top=2", "seeds=2"]), console)
    assert len(first.completed) == first.budget
    for trial in first.completed:
        assert set(trial.curves) == {"train/loss", "train/accuracy"}
        assert trial.epochs_run == record.trials[trial.origin or 0].best_epoch
    asked = confirm.read_arguments([f"resume={first.directory.parent}"])
    (again,) = confirm.confirm(asked, console)
    assert again.directory == first.directory
    assert again.sessions == first.sessions  # there was nothing left to do
    assert {t.trial: t.test for t in again.completed if t.trial < first.budget} == {
        t.trial: t.test for t in first.completed
    }
    assert isinstance(console.file, io.StringIO)
    assert "than the baseline" in console.file.getvalue() or "no difference" in console.file.getvalue()
    with pytest.raises(ConfigError, match="a confirmation goes on with"):
        sweep.run(composed(f"resume={first.directory.parent}"), sweep.check(job.config), console)
