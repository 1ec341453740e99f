"""The saved view of MLflow's comparison page, and its address."""

import base64
import json
import zlib
from typing import Any

from sweeps.tracking import comparison_page
from sweeps.tracking.comparison_page import Comparison

LSTM = Comparison("lstm-1/imdb", "val/accuracy", ["lstm_units"], digest="d1")
AXES = {"lstm": ["lstm_units"]}


def unpacked(state: str) -> dict[str, Any]:
    """Read a state as MLflow's page does."""
    kind, _, packed = state.partition(";")
    assert kind == "deflate"
    return dict(json.loads(zlib.decompress(base64.b64decode(packed))))


def test_a_sweeps_view_has_its_trials_alone_and_all_of_their_curves() -> None:
    state = unpacked(comparison_page.of_sweep(LSTM).value)
    assert state["searchFilter"] == "tags.kind = 'trial' and tags.sweep = 'lstm-1/imdb'"
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`best/val/accuracy`", False)
    assert state["runsHiddenMode"] == "SHOW_ALL"
    scores = ["best/val/accuracy", "test/accuracy", "test/macro_f1"]
    assert state["selectedColumns"] == [*(f"metrics.`{name}`" for name in scores), "params.`lstm_units`"]
    charts = {chart["uuid"]: chart for chart in state["compareRunCharts"]}
    assert len(charts) == len(state["compareRunCharts"]) == 8
    assert charts["PARALLEL Hyperparameters to test accuracy"]["selectedParams"] == ["lstm_units"]
    sections = {section["uuid"] for section in state["compareRunSections"]}
    assert {chart["metricSectionId"] for chart in charts.values()} == sections


def test_the_view_of_an_experiment_ranks_only_trials_on_the_same_data_by_the_same_objective() -> None:
    entry = json.loads(comparison_page.of_experiment(LSTM, 1, AXES).value)
    condition = "tags.kind = 'trial' and tags.objective = 'val/accuracy' and datasets.digest = 'd1'"
    assert unpacked(entry["state"])["searchFilter"] == condition


def test_without_a_searched_hyperparameter_there_is_no_chart_of_them() -> None:
    state = unpacked(comparison_page.of_sweep(LSTM._replace(searched=[])).value)
    assert "PARALLEL" not in {chart["type"] for chart in state["compareRunCharts"]}
    assert "Hyperparameters to test accuracy" not in {section["name"] for section in state["compareRunSections"]}


def test_the_best_trial_by_the_objective_is_first() -> None:
    state = unpacked(comparison_page.of_sweep(LSTM._replace(objective="val/loss")).value)
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`best/val/loss`", True)


def test_a_search_by_macro_f1_is_compared_by_that_of_the_test() -> None:
    state = unpacked(comparison_page.of_sweep(LSTM._replace(objective="val/macro_f1")).value)
    charts = {chart["uuid"]: chart for chart in state["compareRunCharts"]}
    assert charts["PARALLEL Hyperparameters to test macro F1"]["selectedMetrics"] == ["test/macro_f1"]
    points = charts["SCATTER test/macro_f1"]
    assert (points["xaxis"]["key"], points["yaxis"]["key"]) == ("best/val/macro_f1", "test/macro_f1")
    assert points["metricSectionId"] == "Test macro F1"


def test_each_sweep_has_a_link_of_its_own_and_the_experiment_one_entry() -> None:
    other = LSTM._replace(sweep="lstm-2/imdb")
    assert comparison_page.of_sweep(LSTM).tag != comparison_page.of_sweep(other).tag
    assert comparison_page.of_sweep(LSTM) == comparison_page.of_sweep(LSTM)
    assert {comparison_page.of_experiment(one, 1, AXES).tag for one in (LSTM, other)} == {
        f"{comparison_page.TAG}compare-trials"
    }
    assert comparison_page.tag_of(LSTM.sweep).removeprefix(comparison_page.TAG) in comparison_page.address(
        "7", LSTM, saved=True
    )


def test_the_entry_shows_the_newest_sweep_and_the_networks_of_all() -> None:
    first, second = comparison_page.of_experiment(LSTM, 1, AXES), comparison_page.of_experiment(LSTM, 2, AXES)
    others = comparison_page.of_experiment(LSTM._replace(digest="d2"), 1, AXES)
    assert comparison_page.replaces(first, None)
    assert comparison_page.replaces(second, first.value)
    assert comparison_page.replaces(first, second.value)  # of the same trials
    assert not comparison_page.replaces(others, second.value)
    for damaged in ("", "deflate;xyz", "{}", "[]", "3", "[" * 5000, '{"updatedAt": 9, "state": "x"}'):
        assert comparison_page.replaces(first, damaged)


def test_without_a_view_the_address_itself_holds_filter_and_order() -> None:
    address = comparison_page.address("7", LSTM._replace(sweep="a b/imdb"), saved=False)
    assert "viewStateShareKey" not in address
    assert "searchFilter=tags.kind%20%3D%20%27trial%27%20and%20tags.sweep%20%3D%20%27a%20b/imdb%27" in address
    assert "orderByAsc=false" in address


def test_a_view_is_far_shorter_than_the_longest_tag_that_mlflow_takes() -> None:
    many = [f"a_hyperparameter_with_a_long_name_{i}" for i in range(30)]
    axes = {f"network_{i}": many for i in range(6)}
    view = comparison_page.of_experiment(LSTM._replace(searched=many), 1, axes)
    assert len(view.value) < 5000  # which a tag may have in older stores


def test_a_chart_has_what_all_trials_have_and_each_network_one_of_its_own() -> None:
    networks = {
        "bag": ["dropout", "pairs"],
        "bi_lstm": ["dropout", "units"],
        "cnn": ["dropout"],
        "conv_lstm": ["dropout", "units", "filters"],
        "lstm": ["dropout", "units"],
    }
    searched = ["model", "dropout", "pairs", "units", "filters"]
    several = Comparison("s/imdb", "val/accuracy", searched, networks=networks)
    state = unpacked(comparison_page.of_sweep(several).value)
    assert [column for column in state["selectedColumns"] if column.startswith("params")] == [
        f"params.`{name}`" for name in several.searched
    ]
    assert {
        chart["metricSectionId"]: chart["selectedParams"]
        for chart in state["compareRunCharts"]
        if chart["type"] == "PARALLEL"
    } == {
        "Hyperparameters to test accuracy": ["model", "dropout"],
        "bag: hyperparameters to test accuracy": ["dropout", "pairs"],
        "bi_lstm, conv_lstm, lstm: hyperparameters to test accuracy": ["model", "dropout", "units"],
        "conv_lstm: hyperparameters to test accuracy": ["dropout", "units", "filters"],
    }


def test_no_chart_of_accuracies_begins_at_0() -> None:
    """MLflow's bars do, and take no range; the axes of its points and lines fit the values."""
    for comparison in (LSTM, LSTM._replace(finalists=True)):
        charts = unpacked(comparison_page.of_sweep(comparison).value)["compareRunCharts"]
        assert "BAR" not in {chart["type"] for chart in charts}
        (points,) = [chart for chart in charts if chart["type"] == "SCATTER"]
        assert points["yaxis"] == {"key": "test/accuracy", "type": "METRIC"}


def test_the_view_of_sweeps_has_their_score_settings_and_data() -> None:
    entry = json.loads(comparison_page.of_sweeps(LSTM, 1).value)
    assert entry["name"] == "Compare sweeps"
    columns = set(unpacked(entry["state"])["selectedColumns"])
    assert {"metrics.`best/val/accuracy`", "params.`model`", "tags.`best`", "attributes.`Dataset`"} <= columns
    assert "attributes.`Source`" in columns


def test_every_address_opens_the_pages_for_training() -> None:
    addresses = [comparison_page.address("7", LSTM, saved=saved) for saved in (True, False)]
    for address in (*addresses, comparison_page.artifacts("7", "a1")):
        assert "workflowType=machine_learning" in address
