"""What MLflow's pages show of a sweep: its trials compared, best first, and a note on its run.

The comparison page keeps a view as a tag of the experiment. That format is not documented. It was read from the page of
MLflow 3.17, which is why the version is pinned, why a test looks at the page in a browser, and why a store that refuses
a view costs a warning and no more.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from sweeps.journal import SweepRecord, TrialRecord

TAG = "mlflow.sharedViewState."
NOTE = "mlflow.note.content"
NAME = "Compare trials"
TRIALS = "tags.kind = 'trial'"
# `objective` is the best epoch's, which is also the one that was tested; MLflow lists the last point of a curve.
SCORES = ("objective", "test/accuracy", "test/loss", "val/accuracy", "val/loss")

Chart = Mapping[str, Any]


class Comparison(NamedTuple):
    """What of a sweep decides how its trials are compared."""

    sweep: str
    objective: str
    searched: Sequence[str] = ()

    @property
    def order(self) -> tuple[str, bool]:
        """A column, and whether it ascends: the best by the objective first, as the test set chooses nothing."""
        return "metrics.`objective`", self.objective.endswith("loss")


class View(NamedTuple):
    """A tag of an experiment."""

    tag: str
    value: str


def of_sweep(shown: Comparison) -> View:
    """The trials of one sweep, for a link. Without a name: the page's menu would grow by an entry with every sweep."""
    where = f"{TRIALS} and tags.sweep = '{shown.sweep}'"
    return View(tag_of(shown.sweep), _packed(_state(where, "SHOWALL", shown)))


def of_experiment(newest: Comparison, when: int) -> View:
    """All trials of an experiment, as an entry in the page's menu; `when`, in milliseconds, the newest sweep began."""
    state = _packed(_state(TRIALS, "FIRST_20_RUNS", newest))
    return View(
        f"{TAG}compare-trials", json.dumps({"name": NAME, "createdAt": when, "updatedAt": when, "state": state})
    )


def newer(view: View, known: str | None) -> bool:
    """Whether a view of an experiment is of a later sweep than the one that is known."""
    try:
        return known is None or json.loads(known)["updatedAt"] < json.loads(view.value)["updatedAt"]
    except (ValueError, LookupError, TypeError):  # not one of ours
        return True


def address(experiment: str, shown: Comparison, *, saved: bool) -> str:
    """The comparison of a sweep's trials, below a server's address; with MLflow's own charts if no view is `saved`."""
    page = f"#/experiments/{experiment}/runs?workflowType=machine_learning&compareRunsMode=CHART"
    if saved:
        return (
            f"{page}&viewStateShareKey={_key(shown.sweep)}"  # and no filter: MLflow would take that, and leave the view
        )
    where = quote(f"{TRIALS} and tags.sweep = '{shown.sweep}'")
    column, ascending = shown.order
    return f"{page}&searchFilter={where}&orderByKey={quote(column)}&orderByAsc={str(ascending).lower()}"


def tag_of(sweep: str) -> str:
    """The experiment's tag with the view of a sweep."""
    return TAG + _key(sweep)


def _key(sweep: str) -> str:
    return hashlib.sha256(sweep.encode()).hexdigest()[:16]


def note(record: SweepRecord, searched: Sequence[str], links: Mapping[str, str]) -> str:
    """Markdown for a sweep's run: what came of it, what was searched, and `links`, text -> address.

    MLflow draws no tables, and shows four lines, in which no link can be clicked, until it is asked for more.
    """
    started = record.started
    assert started is not None
    lines = [f"**{started.model}** on **{started.dataset}**, {started.tuner} search for the best {started.objective}"]
    if started.source == "standin":
        lines[0] += "; generated **stand-in** data, not the real corpus"
    lines.append("")
    if record.ended is not None:
        completed = record.ranking()
        failed = sum(trial.status == "failed" for trial in record.trials.values())
        baseline = [trial for trial in completed if trial.baseline]
        lines += [f"* best: {_scores(trial, started.objective, searched)}" for trial in completed[:1]]
        lines += [f"* baseline: {_scores(trial, started.objective, ())}" for trial in baseline]
        lines.append(f"* {len(completed)} trials completed, {failed} failed")
    lines.append(f"* searched: {', '.join(searched) or 'nothing'}")
    lines.append(f"* {', '.join(f'[{text}]({address})' for text, address in links.items())}")
    return "\n".join(lines)


def _scores(trial: TrialRecord, objective: str, searched: Iterable[str]) -> str:
    assert trial.objective is not None
    values = " ".join(f"{name}={trial.values[name]}" for name in searched)
    tested = f"test/accuracy {trial.test['test/accuracy']:.4f}"
    return f"trial {trial.trial}, {objective} {trial.objective:.4f}, {tested}{f' ({values})' if values else ''}"


def _packed(state: Mapping[str, Any]) -> str:
    return "deflate;" + base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()


def _state(where: str, drawn: str, compared: Comparison) -> dict[str, Any]:
    """The page's state; `drawn` says which runs of the list the charts show."""
    searched, (column, ascending) = compared.searched, compared.order
    sections = {  # as many charts beside each other as there are
        "From hyperparameters to test accuracy": _parallel(searched),
        "Test accuracy": [_chart("BAR", "test/accuracy", metricKey="test/accuracy")],
        "Loss": [_line("val/loss"), _line("train/loss")],
        "Accuracy": [_line("val/accuracy"), _line("train/accuracy")],
    }
    return {
        "searchFilter": where,
        "orderByKey": column,
        "orderByAsc": ascending,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": [f"metrics.`{name}`" for name in SCORES] + [f"params.`{name}`" for name in searched],
        "columnOrder": [],
        "columnWidths": {},
        "runsHiddenMode": drawn,
        "compareRunCharts": [
            {**chart, "metricSectionId": section} for section, charts in sections.items() for chart in charts
        ],
        "compareRunSections": [_section(name, len(charts)) for name, charts in sections.items() if charts],
        "viewMaximized": False,
        "runListHidden": False,
        "isAccordionReordered": True,
        "useGroupedValuesInCharts": False,
        "hideEmptyCharts": True,
        "groupBy": None,
        "groupsExpanded": {},
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
    }


def _section(name: str, columns: int) -> dict[str, Any]:
    shown = {"display": True, "isReordered": True, "deleted": False, "isGenerated": False}
    return {"uuid": name, "name": name, "columns": columns, "cardHeight": 300, **shown}


def _parallel(searched: Sequence[str]) -> list[Chart]:
    if not searched:
        return []
    options = {"selectedParams": list(searched), "selectedMetrics": ["test/accuracy"], "showAllRuns": False}
    return [_chart("PARALLEL", "hyperparameters → test/accuracy", **options)]


def _line(metric: str) -> Chart:
    return _chart(
        "LINE",
        metric,
        metricKey=metric,
        selectedMetricKeys=[metric],
        lineSmoothness=0,
        xAxisKey="step",
        xAxisScaleType="linear",
        selectedXAxisMetricKey="",
        yAxisKey="metric",
        yAxisExpressions=[],
        scaleType="linear",
        range={},
        ignoreOutliers=False,
        useGlobalXaxisKey=True,
        useGlobalLineSmoothing=True,
    )


def _chart(kind: str, title: str, **options: Any) -> Chart:
    shown = {"deleted": False, "isGenerated": False, "runsCountToCompare": 100}
    return {"uuid": f"{kind} {title}", "type": kind, "displayName": title, **shown, **options}
