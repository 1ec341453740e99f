"""The calls of MLflow's client that files of tracking share."""

from types import SimpleNamespace
from typing import Any

import pytest

from conf.schema import ConfigError
from sweeps.tracking import client


class Page(list[str]):
    token: str | None = None


class PagedClient:
    """Has two experiments and three pages of runs."""

    def search_experiments(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(experiment_id="0"), SimpleNamespace(experiment_id="1")]

    def search_runs(self, experiments: list[str], condition: str, order_by: list[str], page_token: str | None) -> Page:
        assert (experiments, condition, order_by) == (["0", "1"], "tags.a = 'b'", ["attributes.start_time"])
        number = int(page_token or 0)
        page = Page([f"run {number}"])
        page.token = str(number + 1) if number < 2 else ""
        return page


def test_a_search_reads_every_page_of_every_experiment() -> None:
    paged: Any = PagedClient()
    assert client.search_runs(paged, "tags.a = 'b'") == ["run 0", "run 1", "run 2"]


def test_a_store_that_does_not_exist_is_not_created(tmp_path: Any) -> None:
    with pytest.raises(ConfigError, match=r"^tracking\.uri=sqlite:////.*absent\.db: there is no such store; "):
        client.connect(f"sqlite:///{tmp_path}/absent.db")
    assert list(tmp_path.iterdir()) == []


def test_a_single_value_is_logged_at_step_0_with_six_digits() -> None:
    (metric,) = client.at_step_0({"test/loss": 0.123456789}, 1.5)
    assert (metric.key, metric.value, metric.timestamp, metric.step) == ("test/loss", 0.123457, 1500, 0)
