"""The newest comparison that a server has."""

from typing import Any

import pytest

from sweeps.tracking import server


def test_a_strangers_run_without_our_tags_has_no_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(**tags: str) -> dict[str, Any]:
        pairs = [{"key": key, "value": value} for key, value in tags.items()]
        return {"info": {"experiment_id": "1"}, "data": {"tags": pairs}}

    known = run(kind="sweep", sweep="a/imdb", objective="val/loss")
    answers: dict[str, dict[str, Any]] = {
        "experiments/search": {"experiments": [{"experiment_id": "1"}]},
        "runs/search": {"runs": [run(kind="sweep"), run(kind="sweep", sweep="b/imdb", objective="x"), known]},
    }
    monkeypatch.setattr(server, "_ask", lambda address, method, body: answers[method])
    assert "a/imdb" in server.newest_comparison("http://127.0.0.1:1")
    del answers["runs/search"]["runs"][-1]
    assert server.newest_comparison("http://127.0.0.1:1") == "#/experiments?workflowType=machine_learning"
