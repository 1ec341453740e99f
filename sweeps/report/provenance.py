"""The origin of a sweep's numbers: data, seed, code and machine."""

from __future__ import annotations

from conf import stored
from conf.schema import Data
from sweeps.journal import Environment, SweepRecord, SweepResumed, SweepStarted


def rows(record: SweepRecord) -> list[tuple[str, str]]:
    """The rows of a page's table: a label and a text each, with what differed in later sessions of the sweep."""
    started = record.started
    sessions = [_of_session(start) for start in record.session_starts]
    labels = dict.fromkeys(label for session in sessions for label in session)
    return [
        ("data", f"{started.dataset}, {_source(started)}, digest {started.digest}"),
        ("examples", _examples(started)),
        ("seed", str(started.seed)),
        *((label, _in_turn([session.get(label, "none") for session in sessions])) for label in labels),
    ]


def _source(started: SweepStarted) -> str:
    """Name the source of the data as a reader would: the real documents of a table are no archive."""
    if started.source == "standin":
        return "generated stand-in"
    data = stored.parts(started.config, started.dataset)[f"datasets.{started.dataset}"]
    return "table" if isinstance(data, Data) and data.files else started.source


def _examples(started: SweepStarted) -> str:
    """Write the sizes of the parts; where val/ metrics are the test set's, there is no part for validation."""
    absent = "validation" if started.held_out == "test" else ""
    return ", ".join(f"{n:,} {part}" for part, n in started.sizes.items() if part != absent) or "not recorded"


def _in_turn(texts: list[str]) -> str:
    """Write the texts of all sessions in their order, and none twice."""
    return "; after it was resumed: ".join(dict.fromkeys(texts))


def _of_session(start: SweepStarted | SweepResumed) -> dict[str, str]:
    environment = start.environment
    versions = ", ".join(f"{name} {version}" for name, version in environment.versions.items())
    return {"code": _code(environment), "versions": versions, **_machine(start)}


def _code(environment: Environment) -> str:
    changes = " with uncommitted changes" if environment.git_dirty else ""
    files = f", files {environment.code_digest}" if environment.code else ""
    return f"{environment.git_commit or 'no commit known'}{changes}{files}"


def _machine(start: SweepStarted | SweepResumed) -> dict[str, str]:
    """The machine of the driver. The workers of a cluster are elsewhere, with or without GPUs."""
    machine = dict(start.environment.machine)
    if stored.engine(start.config) == "local":
        return machine
    machine.pop("gpus", None)
    return {label: f"{text} (of the driver; the trials ran on a cluster)" for label, text in machine.items()}
