"""A confirmation as its user runs it."""

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from conf.schema import ConfigError, Job
from pipelines import confirm, sweep
from pipelines.data import word_index
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
    session = Session(console, word_index.find)
    (record,) = sweep.run([job], console)
    name = record.started.sweep
    (first,) = confirming.confirm(confirm.read_arguments([f"sweep={name}", "top=2", "seeds=2"]), session)
    assert len(first.completed) == first.budget
    for trial in first.completed:
        assert set(trial.curves) == {"train/loss", "train/accuracy", "train/macro_f1"}
        assert trial.epochs_run == record.trials[trial.origin or 0].best_epoch
    asked = confirm.read_arguments([f"resume={first.directory.parent}"])
    (again,) = confirming.confirm(asked, session)
    assert again.directory == first.directory
    assert again.sessions == first.sessions  # there was nothing left to do
    assert {t.trial: t.test for t in again.completed if t.trial < first.budget} == {
        t.trial: t.test for t in first.completed
    }
    assert isinstance(console.file, io.StringIO)
    assert "than the baseline" in console.file.getvalue() or "no difference" in console.file.getvalue()
    with pytest.raises(ConfigError, match="this is a confirmation; to resume it: "):
        sweep.run([composed(f"resume={first.directory.parent}")], console)
