"""MLflow's page that compares the trials of a sweep, best first: its address, and the view that it shows.

MLflow keeps a view as a tag of the experiment. That format is not documented. It was read from the page of MLflow 3.17,
which is why the version is pinned, why a test looks at the page in a browser, and why a store that refuses a view costs
a warning and no more. `comparison_page.json` holds the settings that are the same for every sweep.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from sweeps.metrics import row, shown_in
from sweeps.tracking import filters

TAG = "mlflow.sharedViewState."  # prefix
NAME = "Compare trials"
TRIALS, FINALISTS = "tags.kind = 'trial'", "tags.kind = 'finalist'"
# `objective` is the best epoch's, which is also the one that was tested; MLflow lists the last point of a curve. The
# columns of hyperparameters follow, so there are no more scores than leave room for them: as many as in the terminal.
FIRST_SCORES = ("objective", "test/accuracy", "test/loss", "val/accuracy", "val/loss")
SCORES = tuple(dict.fromkeys((*FIRST_SCORES, *shown_in("terminal"))))
# A finalist has no validation data and no objective.
FINALIST_SCORES = tuple(name for name in SCORES if name.startswith("test/"))

Chart = Mapping[str, Any]


class Comparison(NamedTuple):
    """The properties of a sweep that decide how its trials are compared."""

    sweep: str
    objective: str
    searched: Sequence[str] = ()
    finalists: bool = False  # whether it is a confirmation
    digest: str = ""  # of the data
    own: Collection[str] = ()  # those of the searched that only the trials of some networks have

    @property
    def charted(self) -> list[str]:
        """The searched hyperparameters that every trial has: a line goes through each of them."""
        return [name for name in self.searched if name not in self.own]

    @property
    def condition(self) -> str:
        """The filter for the sweep's own trials."""
        return f"{FINALISTS if self.finalists else TRIALS} and {filters.equals('tags.sweep', self.sweep)}"

    @property
    def order(self) -> tuple[str, bool]:
        """The column that sorts the list, and whether it ascends.

        The best by the objective comes first, as the test set chooses nothing; finalists stand as they were trained.
        """
        if self.finalists:
            return "attributes.start_time", True
        return "metrics.`objective`", row(self.objective).direction == "min"


class SavedComparison(NamedTuple):
    """A view as a tag of an experiment."""

    tag: str
    value: str


def of_sweep(comparison: Comparison) -> SavedComparison:
    """Return the view of one sweep's trials, for a link.

    It has no name, or the page's menu would grow by an entry with every sweep.
    """
    state = _state(comparison.condition, "SHOWALL", comparison)
    return SavedComparison(tag_of(comparison.sweep), _packed(state))


def of_experiment(newest: Comparison, when: int) -> SavedComparison:
    """Return the view of the trials of an experiment that can be ranked together, an entry in the page's menu.

    They are those with the data and the objective of the newest sweep; `when` is its start, in milliseconds.
    """
    objective, data = (
        filters.equals("tags.objective", newest.objective),
        filters.equals("datasets.digest", newest.digest),
    )
    alike = f"{TRIALS} and {objective} and {data}"
    state = _packed(_state(alike, "FIRST_20_RUNS", newest))
    entry = {"name": NAME, "createdAt": when, "updatedAt": when, "state": state}
    return SavedComparison(f"{TAG}compare-trials", json.dumps(entry))


def is_newer(view: SavedComparison, known: str | None) -> bool:
    """Whether a view of an experiment is of a later sweep than the value that the experiment has."""
    try:
        return known is None or json.loads(known)["updatedAt"] < json.loads(view.value)["updatedAt"]
    except (ValueError, LookupError, TypeError, RecursionError):  # somebody else wrote that value
        return True


def address(experiment: str, comparison: Comparison, *, saved: bool) -> str:
    """Return the page of a sweep's trials, below a server's address; with MLflow's own charts if no view is `saved`."""
    page = f"#/experiments/{experiment}/runs?workflowType=machine_learning&compareRunsMode=CHART"
    if saved:  # without a filter: MLflow would take that and ignore the view
        return f"{page}&viewStateShareKey={_key(comparison.sweep)}"
    condition = quote(comparison.condition)
    column, ascending = comparison.order
    return f"{page}&searchFilter={condition}&orderByKey={quote(column)}&orderByAsc={str(ascending).lower()}"


def tag_of(sweep: str) -> str:
    """Return the experiment's tag that holds the view of a sweep."""
    return TAG + _key(sweep)


def _key(sweep: str) -> str:
    return hashlib.sha256(sweep.encode()).hexdigest()[:16]


def _packed(state: Mapping[str, Any]) -> str:
    return "deflate;" + base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()


def _state(condition: str, visible: str, comparison: Comparison) -> dict[str, Any]:
    """Return the page's state; `visible` says which runs of the list the charts show."""
    searched, (column, ascending) = comparison.searched, comparison.order
    scores = FINALIST_SCORES if comparison.finalists else SCORES
    sections = {  # the charts of a section stand side by side
        "From hyperparameters to test accuracy": _parallel(comparison.charted),
        "Test accuracy": [_chart("BAR", "test/accuracy", metricKey="test/accuracy")],
        "Loss": [_line("val/loss"), _line("train/loss")],
        "Accuracy": [_line("val/accuracy"), _line("train/accuracy")],
    }
    return {
        **_template()["page"],
        "searchFilter": condition,
        "orderByKey": column,
        "orderByAsc": ascending,
        "selectedColumns": [f"metrics.`{name}`" for name in scores] + [f"params.`{name}`" for name in searched],
        "runsHiddenMode": visible,
        "compareRunCharts": [
            {**chart, "metricSectionId": section} for section, charts in sections.items() for chart in charts
        ],
        "compareRunSections": [
            {**_template()["section"], "uuid": name, "name": name, "columns": len(charts)}
            for name, charts in sections.items()
            if charts
        ],
    }


def _parallel(charted: list[str]) -> list[Chart]:
    if not charted:
        return []
    title = "hyperparameters → test/accuracy"
    return [_chart("PARALLEL", title, selectedParams=charted, selectedMetrics=["test/accuracy"])]


def _line(metric: str) -> Chart:
    return _chart("LINE", metric, metricKey=metric, selectedMetricKeys=[metric])


def _chart(kind: str, title: str, **options: Any) -> Chart:
    template = {**_template()["chart"], **_template()[kind]}
    return {**template, "uuid": f"{kind} {title}", "type": kind, "displayName": title, **options}


@cache
def _template() -> dict[str, dict[str, Any]]:
    template: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    return template
