"""Whether a page shows a sweep is asked by a command, and is no part of the sweep."""

from collections.abc import Callable
from pathlib import Path

from conf import stored
from conf.schema import Job
from tests.fakes import plan


def test_the_page_is_no_part_of_a_stored_configuration(composed: Callable[..., Job]) -> None:
    plain, shown = composed("data=imdb"), composed("data=imdb", "ui=true")
    assert (plain.config.ui, shown.config.ui) == (False, True)
    assert plain.yaml == shown.yaml


def test_a_sweep_that_goes_on_may_be_shown_and_need_not_be(composed: Callable[..., Job], tmp_path: Path) -> None:
    (tmp_path / stored.FILE).write_text(composed("data=imdb", "ui=true").yaml)
    assert composed(f"resume={tmp_path}", "ui=true").config.ui
    assert not composed(f"resume={tmp_path}").config.ui


def test_a_configuration_of_before_there_was_a_page_is_read(composed: Callable[..., Job], tmp_path: Path) -> None:
    yaml = composed("data=imdb").yaml
    assert "ui: false\n" in yaml
    (tmp_path / stored.FILE).write_text(yaml.replace("ui: false\n", ""))
    assert composed(f"resume={tmp_path}", "ui=true").config.ui


def test_the_page_changes_no_fingerprint(composed: Callable[..., Job]) -> None:
    assert plan(composed("data=imdb", "ui=true")).fingerprint() == plan(composed("data=imdb")).fingerprint()
