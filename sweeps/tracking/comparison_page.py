"""MLflow's pages that compare the trials of a sweep, best first, and the sweeps of an experiment.

MLflow keeps a view as a tag of the experiment. That format is not documented. It was read from the page of MLflow 3.17,
which is why the version is pinned, why a test looks at the page in a browser, and why a store that refuses a view costs
a warning and no more. `comparison_page.json` holds the settings that are the same for every sweep.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import quote

from conf.schema import NETWORK
from sweeps.metrics import METRICS, Metric, chosen, row, shown_in, tested
from sweeps.tracking import filters

TAG = "mlflow.sharedViewState."  # prefix
TRAINING = "workflowType=machine_learning"  # of an address; without it MLflow shows its pages for language models
TRIALS, FINALISTS = "tags.kind = 'trial'", "tags.kind = 'finalist'"
SWEEPS = "tags.`code.digest` != ''"  # which searches and confirmations have, and none of their child runs
# The columns of hyperparameters follow, so there are no more scores than leave room for them: those of the terminal.
SCORES = tuple(shown_in("terminal"))
OF_SWEEPS = ("params.`model`", "params.`tuner`", "tags.`source`", "params.`searched`", "tags.`best`")
ATTRIBUTES = ("attributes.`Dataset`", "attributes.`Source`")
CURVES = ("val", "train")  # the parts of the data, each with a chart of its curves

Chart = Mapping[str, Any]


class Comparison(NamedTuple):
    """The properties of a sweep that decide how its trials are compared."""

    sweep: str
    objective: str
    searched: Sequence[str] = ()
    finalists: bool = False  # whether it is a confirmation
    digest: str = ""  # of the data
    networks: Mapping[str, Sequence[str]] = MappingProxyType({})  # of each of several: what its trials have of these

    @property
    def charts(self) -> dict[str, Sequence[str]]:
        """The axes of each chart by its heading: MLflow draws no line for a trial that lacks one of them.

        It draws one for every other trial, so a chart is headed by all networks that have its axes.
        """
        networks = self.networks.values()
        shared = [name for name in self.searched if name == NETWORK or all(name in own for own in networks)]
        charts: dict[str, Sequence[str]] = {self.heading(""): shared}
        for names in networks:
            if not set(names) <= set(shared):
                drawn = [network for network, own in self.networks.items() if set(names) <= set(own)]
                charts[self.heading(", ".join(drawn))] = [NETWORK, *names] if len(drawn) > 1 else names
        return charts

    @property
    def tested(self) -> str:
        """The test metric that judges what the objective chose."""
        return tested(self.objective)

    def heading(self, networks: str) -> str:
        """Return the heading of a chart of hyperparameters, of these networks alone if any are named."""
        drawn = f"hyperparameters to test {row(self.tested).title}"
        return f"{networks}: {drawn}" if networks else f"{drawn[0].upper()}{drawn[1:]}"

    @property
    def scores(self) -> list[str]:
        """The metrics with a column: a finalist has no validation data."""
        return [*SCORES] if self.finalists else [chosen(self.objective), *SCORES]

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
        return f"metrics.`{chosen(self.objective)}`", row(self.objective).direction == "min"


class SavedComparison(NamedTuple):
    """A view as a tag of an experiment."""

    tag: str
    value: str


def of_sweep(comparison: Comparison) -> SavedComparison:
    """Return the view of one sweep's trials, for a link.

    It has no name, or the page's menu would grow by an entry with every sweep.
    """
    state = _state(comparison.condition, comparison, comparison.charts)
    return SavedComparison(tag_of(comparison.sweep), _packed(state))


def of_experiment(newest: Comparison, when: int, axes: Mapping[str, Sequence[str]]) -> SavedComparison:
    """Return the view of the trials of an experiment that can be ranked together, an entry in the page's menu.

    They are those with the data and the objective of the newest sweep; `when` is its start, in milliseconds. There is a
    chart for each network, whose `axes` all of its trials have, and for others that have them too.
    """
    charts = {newest.heading(networks): names for networks, names in axes.items()}
    return _entry("Compare trials", when, _state(alike(newest), newest, charts))


def of_sweeps(newest: Comparison, when: int) -> SavedComparison:
    """Return the view of the sweeps of an experiment: a list with scores, settings and data, newest first."""
    columns = [f"metrics.`{name}`" for name in (chosen(newest.objective), *SCORES)]
    state = {
        **_template()["page"],
        "searchFilter": SWEEPS,
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "selectedColumns": [*ATTRIBUTES, *columns, *OF_SWEEPS],
        "runsHiddenMode": "SHOW_ALL",
    }
    return _entry("Compare sweeps", when, state)


def alike(newest: Comparison) -> str:
    """Return the filter for the trials of an experiment that can be ranked with those of its newest sweep."""
    objective = filters.equals("tags.objective", newest.objective)
    return f"{TRIALS} and {objective} and {filters.equals('datasets.digest', newest.digest)}"


def _entry(name: str, when: int, state: Mapping[str, Any]) -> SavedComparison:
    entry = {"name": name, "createdAt": when, "updatedAt": when, "state": _packed(state)}
    return SavedComparison(f"{TAG}{name.lower().replace(' ', '-')}", json.dumps(entry))


def replaces(view: SavedComparison, known: str | None) -> bool:
    """Whether a view is of a later sweep than the one that the experiment has, or of the same runs."""
    try:
        if known is None:
            return True
        earlier, own = json.loads(known), json.loads(view.value)
        return bool(earlier["updatedAt"] <= own["updatedAt"] or _condition(earlier) == _condition(own))
    except (ValueError, LookupError, TypeError, AttributeError, zlib.error, RecursionError):  # somebody else's value
        return True


def _condition(entry: Mapping[str, str]) -> str:
    packed = entry["state"].removeprefix("deflate;")
    return str(json.loads(zlib.decompress(base64.b64decode(packed)))["searchFilter"])


def address(experiment: str, comparison: Comparison, *, saved: bool) -> str:
    """Return the page of a sweep's trials, below a server's address; with MLflow's own charts if no view is `saved`."""
    page = f"#/experiments/{experiment}/runs?{TRAINING}&compareRunsMode=CHART"
    if saved:  # without a filter: MLflow would take that and ignore the view
        return f"{page}&viewStateShareKey={_key(comparison.sweep)}"
    condition = quote(comparison.condition)
    column, ascending = comparison.order
    return f"{page}&searchFilter={condition}&orderByKey={quote(column)}&orderByAsc={str(ascending).lower()}"


def artifacts(experiment: str, run: str) -> str:
    """Return the page of a run's files, below a server's address."""
    return f"#/experiments/{experiment}/runs/{run}/artifacts?{TRAINING}"


def tag_of(sweep: str) -> str:
    """Return the experiment's tag that holds the view of a sweep."""
    return TAG + _key(sweep)


def _key(sweep: str) -> str:
    return hashlib.sha256(sweep.encode()).hexdigest()[:16]


def _packed(state: Mapping[str, Any]) -> str:
    return "deflate;" + base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()


def _state(condition: str, comparison: Comparison, parallel: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the page's state; `parallel` has the axes of each chart of parallel coordinates, by its heading."""
    column, ascending = comparison.order
    names = dict.fromkeys(name for axes in parallel.values() for name in axes)
    network = [f"tags.`{NETWORK}`"] if NETWORK not in names and len(parallel) > 1 else []
    columns = [f"metrics.`{name}`" for name in comparison.scores] + network
    sections = {  # the charts of a section stand side by side
        **{heading: _parallel(heading, axes, comparison.tested) for heading, axes in parallel.items()},
        f"Test {row(comparison.tested).title}": [_scatter(comparison)],
        **{
            f"{metric.title[0].upper()}{metric.title[1:]}": _curves(metric) for metric in METRICS if _has_curves(metric)
        },
    }
    return {
        **_template()["page"],
        "searchFilter": condition,
        "orderByKey": column,
        "orderByAsc": ascending,
        "selectedColumns": [*columns, *(f"params.`{name}`" for name in names)],
        "runsHiddenMode": "SHOW_ALL",
        "compareRunCharts": [
            {**chart, "metricSectionId": section} for section, charts in sections.items() for chart in charts
        ],
        "compareRunSections": [
            {**_template()["section"], "uuid": name, "name": name, "columns": len(charts)}
            for name, charts in sections.items()
            if charts
        ],
    }


def _parallel(heading: str, axes: Sequence[str], score: str) -> list[Chart]:
    if not axes:
        return []
    # MLflow shows a title of its own instead: only the section says what is drawn.
    return [_chart("PARALLEL", heading, selectedParams=list(axes), selectedMetrics=[score])]


def _scatter(comparison: Comparison) -> Chart:
    """Return a chart of points: MLflow's bars begin at 0, where accuracies that differ by a percent look alike."""
    x, y = "test/loss" if comparison.finalists else chosen(comparison.objective), comparison.tested
    return _chart("SCATTER", y, xaxis={"key": x, "type": "METRIC"}, yaxis={"key": y, "type": "METRIC"})


def _has_curves(metric: Metric) -> bool:
    return all(part in metric.parts for part in CURVES)


def _curves(metric: Metric) -> list[Chart]:
    names = [f"{part}/{metric.name}" for part in CURVES]
    return [_chart("LINE", name, metricKey=name, selectedMetricKeys=[name]) for name in names]


def _chart(kind: str, title: str, **options: Any) -> Chart:
    template = {**_template()["chart"], **_template()[kind]}
    return {**template, "uuid": f"{kind} {title}", "type": kind, "displayName": title, **options}


@cache
def _template() -> dict[str, dict[str, Any]]:
    template: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    return template
