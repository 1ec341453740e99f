"""A confirmation as its user runs it."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from conf.schema import ConfigError, Job
from pipelines import confirm, sweep
from pipelines.data import serving
from sweeps.analysis import confirmation
from sweeps.journal import SweepRecord
from sweeps.session import confirm as confirming
from sweeps.session.session import Session


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


def test_the_request_that_a_confirmation_keeps_has_no_password() -> None:
    request = confirm.read_arguments(["sweep=x", "tracking.uri=http://me:geheim@host"])
    assert request.uri == "http://me:geheim@host"
    assert confirming._options(request)["tracking.uri"] == "http://me@host"


def test_a_sweep_is_confirmed_from_the_store_alone_and_goes_on_by_the_same_command(
    searched_here: SweepRecord, cluster: str, composed: Callable[..., Job]
) -> None:
    console = Console(file=io.StringIO(), width=160)
    session = Session(console, serving.of)
    asked = [f"sweep={searched_here.started.sweep}", "top=2", "seeds=2", "tracking.uri=sqlite:///mlflow.db"]
    Path("outputs").rename("elsewhere")
    with pytest.raises(ConfigError, match=f"^engine.scheduler={cluster}: recorded by .*; if you trust it, add engine"):
        confirming.confirm(confirm.read_arguments(asked), session)
    asked.append(f"engine.scheduler={cluster}")
    (first,) = confirming.confirm(confirm.read_arguments(asked), session)
    assert len(first.completed) == first.budget >= 4
    for trial in first.completed:
        assert set(trial.curves) == {"train/loss", "train/accuracy", "train/macro_f1"}
        assert trial.epochs_run == searched_here.trials[trial.origin or 0].best_epoch
    assert isinstance(console.file, io.StringIO)
    assert "than the baseline" in console.file.getvalue() or "no difference" in console.file.getvalue()

    # From the journals here, which come first, the same trials follow.
    shutil.copytree("elsewhere", "outputs", dirs_exist_ok=True)
    (again,) = confirming.confirm(confirm.read_arguments([f"resume={first.directory.parent}"]), session)
    assert again.directory == first.directory
    assert again.sessions == first.sessions  # there was nothing left to do
    assert {t.trial: t.test for t in again.completed} == {t.trial: t.test for t in first.completed}
    with pytest.raises(ConfigError, match="this is a confirmation; to resume it: "):
        sweep.run([composed(f"resume={first.directory.parent}")], console)


@pytest.mark.long
@pytest.mark.usefixtures("fresh_store")
def test_where_order_is_all_a_sweep_that_asks_for_it_says_so(cluster: str, composed: Callable[..., Job]) -> None:
    console = Console(file=io.StringIO(), width=300)
    job = composed(
        *("data=imdb", "datasets.imdb.source=standin", "datasets.imdb.maxlen=40", "datasets.imdb.num_words=200"),
        *("model=lstm", "model.space.embedding_dim=16", "model.space.lstm_units=16", "model.space.dropout=0.0"),
        *("optimizer.space.learning_rate=0.01", "trials=1", "epochs=6", "stopping=none", "order=true"),
        *("engine=cluster", f"engine.scheduler={cluster}", "tracking.uri=sqlite:///mlflow.db"),
    )
    searched, confirmed = sweep.run([job], console)
    assert (searched.started.confirms, confirmed.started.confirms) == ("", searched.started.sweep)
    *_, mixed = confirmation.outcomes(confirmed)
    assert mixed.order is not None
    assert mixed.order.is_shown
    assert mixed.order.mean > 0.3
    assert mixed.mean == pytest.approx(0.5, abs=0.05)  # a guess between two classes
    assert isinstance(console.file, io.StringIO)
    assert "Word order is worth " in console.file.getvalue()
