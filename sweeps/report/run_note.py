"""The note on a sweep's run in MLflow."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from conf import stored
from sweeps.analysis import references
from sweeps.analysis.wording import number
from sweeps.journal import SweepRecord, TrialRecord
from sweeps.search import space
from sweeps.search.space import Hyperparameter, searched_values


def note(record: SweepRecord) -> str:
    """Sum up a sweep in lines of Markdown: its result and the hyperparameters that were searched.

    There are few lines and no table, because MLflow shows the first four lines and draws no tables.
    """
    started = record.started
    searched = space.recorded(stored.parts(started.config, started.dataset))
    lines = [_heading(record, searched), ""]
    if record.ended is not None:
        if record.best is not None:
            lines.append(f"* best: {_scores(record.best, started.objective, searched)}")
        if record.baseline is not None:
            lines.append(f"* baseline: {_scores(record.baseline, started.objective)}")
        if (reference := references.best(record)) is not None:
            lines.append(f"* linear model: {references.title(reference)}, {_tested(reference.scores)}")
        trials = "trial" if len(record.completed) == 1 else "trials"
        lines.append(f"* {len(record.completed)} {trials} completed, {len(record.failed)} failed")
    lines.append(f"* searched: {', '.join(hp.label for hp in searched) or 'nothing'}")
    return "\n".join(lines)


def _heading(record: SweepRecord, searched: Sequence[Hyperparameter]) -> str:
    started = record.started
    heading = f"**{_plain(started.model)}** on **{_plain(started.dataset)}**, "
    if started.confirms:
        heading += f"the best configurations of {_plain(started.confirms)} trained again"
    elif searched:
        heading += f"{started.tuner} search for the best {started.objective}"
    else:
        heading += "one configuration without a search"
    if started.held_out == "test":
        heading += "; val/ metrics are the test set's"
    return heading + ("; generated **stand-in** data, not the real corpus" if started.source == "standin" else "")


def _scores(trial: TrialRecord, objective: str, searched: Iterable[Hyperparameter] = ()) -> str:
    values = _plain(" ".join(f"{name}={value}" for name, value in searched_values(searched, trial.values).items()))
    scores = f"{objective} {number(trial.objective)}, {_tested(trial.test)}"
    return f"trial {trial.trial}, {scores}{f' ({values})' if values else ''}"


def _tested(scores: Mapping[str, float]) -> str:
    return f"test/accuracy {number(scores.get('test/accuracy'))}"


def _plain(text: str) -> str:
    """Escape what Markdown or HTML would take for more than text; an underscore inside a word is none of that."""
    return re.sub(r"[\\`*\[\]<>#!|~&]|\b_|_\b", r"\\\g<0>", " ".join(text.split()))
