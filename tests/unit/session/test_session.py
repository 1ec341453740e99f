"""The end of a command whose sweeps the store does not have whole."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from pipelines import confirm, sweep
from sweeps.errors import SweepError
from sweeps.session.confirm import Request
from sweeps.session.session import Session
from sweeps.tracking import registration
from tests.conftest import composed_job
from tests.registered import TINY, logged, planned, swept, word_index

LINE = r"^not everything could be logged; to log the rest: python -m pipelines\.sync 'outputs/a b'$"


def unlogged(session: Session, *_: object) -> list[object]:
    session._unlogged.append(Path("outputs/a b"))
    return []


def test_a_sweep_that_could_not_be_logged_ends_with_the_command_that_logs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "search", unlogged)
    with pytest.raises(SweepError, match=LINE):
        sweep.run([composed_job("data=imdb")], Console())


def test_so_does_a_confirmation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confirm, "confirm", lambda request, session: unlogged(session))
    with pytest.raises(SweepError, match=LINE):
        confirm.run(Request("a"), Console())


@pytest.mark.usefixtures("fresh_store")
def test_a_model_that_could_not_be_registered_ends_the_command_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> registration.Version:
        raise registration.NotRegisteredError("the store is away")

    session = Session(Console(file=io.StringIO()), lambda dataset, text: word_index())
    plan = planned(Path("outputs/a b/imdb"), composed_job(*TINY))
    swept(plan)
    record = logged(plan)
    monkeypatch.setattr(registration, "register", refused)
    assert not session.register(plan.store, plan, record)
    with pytest.raises(SweepError, match=r"^not registered; to try again: python -m pipelines\.sync 'outputs/a b'$"):
        session.check_logged()
