"""The names and the tags of a sweep's runs."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence

from mlflow.entities import Dataset, DatasetInput, InputTag, RunTag

from conf import stored
from conf.schema import NETWORK
from sweeps import invocation
from sweeps.journal import Environment, ReferenceEnded, SweepRecord, SweepStarted, TrialRecord
from sweeps.metrics import chosen

PARENT = "mlflow.parentRunId"
TRIAL, FINALIST = "trial", "finalist"  # the `kind` of a search's and of a confirmation's child runs
REFERENCE = "reference"  # the `kind` of a linear reference's run, and the tag with its name
OF_DATA = ("sweep", "dataset", "source", "data.digest")  # tags of every run of a sweep that say what it was run on
REASON = "status.reason"
LONGEST = 1000  # characters; MLflow refuses tags of more than 8,000


def sweep_name(started: SweepStarted) -> str:
    """Return the name of a sweep's run; its first word is all that a narrow column shows."""
    way = "confirm" if started.confirms else started.tuner
    return f"{started.model}-{_suffix(started.sweep)} {way} {started.dataset}"


def trial_name(started: SweepStarted, trial: TrialRecord) -> str:
    shuffled = "-shuffled" if trial.shuffled else ""
    network = trial.values.get(NETWORK, started.model)  # of several
    return f"{network}-{_suffix(started.sweep)}-{trial.trial:02d}{shuffled}"


def sweep_tags(started: SweepStarted, project_run: str | None) -> dict[str, str]:
    tags = {"kind": started.kind, **_shared(started)}
    if project_run:
        tags[PARENT] = project_run
    if started.confirms:
        tags["confirms"] = started.confirms
    return tags


def settings(started: SweepStarted, searched: Sequence[str]) -> dict[str, str]:
    """Return the params of a sweep's run: what a sweep that goes on keeps, as MLflow changes no param."""
    objective = {} if started.confirms else {"objective": started.objective}
    own = {"model": started.model, "tuner": started.tuner, "seed": str(started.seed)}
    return {**own, **objective, "searched": ", ".join(searched)}


def best_tags(best: TrialRecord) -> list[RunTag]:
    """Name the best trial and its hyperparameters; a sweep that goes on may have another one."""
    values = " ".join(f"{name}={value}" for name, value in best.values.items())
    return [RunTag("best_trial", str(best.trial)), RunTag("best", values[:LONGEST])]


def scores(trial: TrialRecord) -> dict[str, float]:
    """Return the metrics after a trial's chosen epoch; those on validation data, which have a curve, are named so."""
    return {name if name in trial.test else chosen(name): value for name, value in trial.scores().items()}


def code_tags(record: SweepRecord) -> dict[str, str]:
    """Describe the code that ran: a value for each session of the sweep that had another one."""
    sessions = [_code_of(start.environment, record.started.config) for start in record.session_starts]
    names = dict.fromkeys(name for session in sessions for name in session)
    return {name: ", ".join(dict.fromkeys(session[name] for session in sessions if name in session)) for name in names}


def _code_of(environment: Environment, config: str) -> dict[str, str]:
    tags = {"code.digest": environment.code_digest}
    if environment.git_commit:
        tags |= {"git.commit": environment.git_commit, "git.dirty": str(environment.git_dirty).lower()}
    modules = [network.build.rpartition(".")[0].replace(".", "/") for network in stored.models(config)]
    code = [environment.code.get(f"{name}.py") or environment.code.get(f"{name}/__init__.py", "") for name in modules]
    tags["code.model"] = " ".join(filter(None, code))
    return {name: value for name, value in tags.items() if value}


def trial_kind(started: SweepStarted) -> str:
    """Return the `kind` of the sweep's child runs: a finalist is trained on other data, and is never ranked by them."""
    return FINALIST if started.confirms else TRIAL


def trial_tags(started: SweepStarted, trial: TrialRecord, parent: str) -> dict[str, str]:
    tags = {
        "kind": trial_kind(started),
        "trial": str(trial.trial),
        "baseline": str(trial.baseline).lower(),
        "trial.seed": str(trial.seed),
        "trial.data.digest": trial.digest or started.digest,
        PARENT: parent,
        **_shared(started),
    }
    if trial.origin is not None:
        tags["origin"] = str(trial.origin)
    if trial.shuffled:
        tags["words"] = "shuffled"
    return tags


def reference_name(started: SweepStarted, reference: ReferenceEnded) -> str:
    return f"{reference.name}-{_suffix(started.sweep)}"


def reference_tags(started: SweepStarted, reference: ReferenceEnded, parent: str) -> dict[str, str]:
    shared = {name: value for name, value in _shared(started).items() if name in OF_DATA}
    own = {"kind": REFERENCE, REFERENCE: reference.name, "cached": str(reference.cached).lower()}
    return {**shared, **own, **_program(started), PARENT: parent}


def reason_tag(reason: str) -> RunTag:
    return RunTag(REASON, reason[:LONGEST])


def dataset_input(started: SweepStarted) -> DatasetInput:
    """Describe the data without their arrays."""
    source = json.dumps({"dataset": started.dataset, "source": started.source})
    dataset = Dataset(started.dataset, started.digest, started.source, source)
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "train, validation, test")])


def _shared(started: SweepStarted) -> dict[str, str]:
    objective = {} if started.confirms else {"objective": started.objective}  # a confirmation optimises nothing
    return {
        "sweep": started.sweep,
        "model": started.model,
        "dataset": started.dataset,
        "tuner": started.tuner,
        "seed": str(started.seed),
        "source": started.source,
        "data.digest": started.digest,
        **_program(started),
        **objective,
    }


def _program(started: SweepStarted) -> dict[str, str]:
    """Return what MLflow shows in its column Source: the command, and no path of this machine."""
    return {"mlflow.source.name": f"{invocation.SCRIPT} {started.kind}", "mlflow.source.type": "LOCAL"}


def _suffix(sweep: str) -> str:
    """Return the four hexadecimal digits in which the name of a sweep's directory ends, or, of any other name, a hash.

    They tell a sweep's runs from another's in a legend.
    """
    ending = re.search("-([0-9a-f]{4})/", sweep)
    return ending[1] if ending else hashlib.sha256(sweep.encode()).hexdigest()[:4]
