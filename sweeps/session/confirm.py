"""A confirmation from start to end: finalists of recorded sweeps, trained again with fresh seeds and compared."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from conf import secrets, stored
from conf.schema import Config, ConfigError, Engine, Job, Tracking
from sweeps import files, finalists, invocation, journal
from sweeps.errors import SweepError
from sweeps.finalists import Order, Top
from sweeps.journal import SweepRecord
from sweeps.plan import Confirmation, Plan
from sweeps.report import page_file
from sweeps.session import outputs, recorded, registering, trust
from sweeps.session.checks import check
from sweeps.session.plans import plans_of
from sweeps.session.sameness import refuse_other_data
from sweeps.session.session import Session, Sweep, load_tracker, workers
from sweeps.terminal.waiting import Waiting
from sweeps.tracking import store


class Request(NamedTuple):
    """The sweeps to confirm, and with how many configurations and seeds."""

    sweep: str
    top: Top = 3
    seeds: int = 5
    order: Order = True
    uri: str | None = None
    workers: int | None = None
    directory: Path | None = None  # of a confirmation that is resumed
    named: Mapping[str, str] = MappingProxyType({})  # the functions that the command line names, by their keys


def confirm(request: Request, session: Session) -> list[SweepRecord]:
    """Train the finalists of each dataset and compare them; returns the confirmations' records."""
    from sweeps.analysis import confirmation
    from sweeps.terminal import outcome

    with Waiting(session.console, f"reading the sweep {request.sweep}"):
        records = _sweeps(request)
    confirmations = [
        finalists.confirmation_of(record, request.top, request.seeds, order=request.order) for record in records
    ]
    config = _configuration(records, confirmations, request)
    datasets = " and ".join(record.started.dataset for record in records)
    session.console.print(f"confirming {config.model.name} on {datasets}", soft_wrap=True)
    spaces = check(config)
    name = finalists.directory_name(records, confirmations)
    renamed = next((path.parent for path in outputs.recorded_here(name)), None)
    directory = request.directory or renamed or outputs.OUTPUTS / name
    if outputs.name_of(directory) != name:
        raise ConfigError(
            f"resume={request.directory}: the sweep has had more trials since, and other finalists; "
            f"for a new confirmation: sweep={request.sweep}"
        )
    with session.held(directory, confirms=True):
        job = Job(config, stored.as_yaml(config))
        searched = plans_of(job, spaces, directory, session.console)
        plans = [_plan(*each) for each in zip(searched, records, confirmations, strict=True)]
        sweeps = [Sweep(plan, _oracle(plan), journal.read(plan.directory)) for plan in plans]
        for plan in plans:
            session.check_serving(plan, is_new=False)
        outputs.write_config(directory, job.yaml)
        files.write_text(directory / outputs.COMMAND, json.dumps(_options(request)))
        with workers(config.engine, plans, session.console, load_tracker) as engine:
            registering.expect(plans, engine)
            confirmed, tracker, logged = session.conduct(sweeps, engine, sweeps[0].oracle.description)
            for plan, record in zip(plans, confirmed, strict=True):
                outcome.show(record, session.console)
                session.console.print(f"report: {record.directory / page_file.FILE}", soft_wrap=True)
                if logged:
                    session.register(tracker.uri, plan, record, engine)
                if plan.source == "archive" and confirmation.choice(record) is None:
                    session.console.print("no model is registered: that of the search stays what it is", soft_wrap=True)
            _say_in_reports(records, tracker.uri)
    return confirmed


def _oracle(plan: Plan) -> finalists.FixedList:
    assert plan.confirmation is not None
    return finalists.FixedList(plan.confirmation)


def _sweeps(request: Request) -> list[SweepRecord]:
    """Read the requested sweeps from the journals here, which may be ahead of the store, otherwise from the store."""
    is_here = bool(outputs.recorded_here(request.sweep))
    records = recorded.here(request.sweep) if is_here else _stored_sweeps(request)
    if not records or any(record.started.confirms or record.started.held_out == "test" for record in records):
        raise ConfigError(
            f"sweep={request.sweep}: must be a search that compared its trials on validation; "
            f"{invocation.command('list')} shows all sweeps"
        )
    return sorted(records, key=lambda record: record.started.dataset)


def _stored_sweeps(request: Request) -> list[SweepRecord]:
    """Read the requested sweeps from the store: their own words on what to call or to connect to do not count."""
    from sweeps.tracking.reader import StoredSweeps

    uri = request.uri or store.uri(None)
    stored_sweeps = StoredSweeps(uri)
    records = [stored_sweeps.record(sweep) for sweep in stored_sweeps.chosen(request.sweep, "sweep")]
    for record in records:
        started = record.started
        config = trust.recorded_config(
            started.config, request.named, started.sweep, with_scheduler=request.workers is None
        )
        address = store.without_password(uri)
        record.started = replace(started, config=stored.as_yaml(config), store=address)
        record.session_starts = [record.started]
    return records


def _configuration(records: Sequence[SweepRecord], confirmations: Sequence[Confirmation], request: Request) -> Config:
    config = finalists.configuration(records, max(len(confirmation.trials) for confirmation in confirmations))
    engine = config.engine
    if request.workers is not None:
        engine = Engine("local", request.workers, engine.threads, engine.memory)
    tracking = Tracking(request.uri or config.tracking.uri, config.tracking.experiment)
    return replace(config, engine=engine, tracking=tracking)


def _plan(plan: Plan, record: SweepRecord, confirmation: Confirmation) -> Plan:
    for trial in (record.trials[int(origin)] for origin in confirmation.finalists):
        digest = plan.digest_with(plan.settings(trial.values))
        refuse_other_data(plan.dataset, digest, trial.digest or record.started.digest, "the sweep")
    config = replace(plan.config, trials=len(confirmation.trials))
    return plan._replace(confirmation=confirmation, store=record.started.store, config=config)


def _options(request: Request) -> dict[str, str]:
    options = {"sweep": request.sweep, "top": str(request.top), "seeds": str(request.seeds), **request.named}
    options["order"] = str(request.order).lower()
    return options | ({"tracking.uri": secrets.public(request.uri)} if request.uri else {})


def _say_in_reports(records: Sequence[SweepRecord], uri: str) -> None:
    """Write the pages of confirmed sweeps that are here again: they have no word of the confirmation yet."""
    from sweeps.report import write as report
    from sweeps.tracking.reader import StoredSweeps

    for record in records:
        if record.ended and (record.directory / page_file.FILE).exists():
            with suppress(SweepError, ConfigError):  # the store does not answer, and the page has no links to runs
                record.links = StoredSweeps(uri).links(record)
            report.ensure_written(record)
