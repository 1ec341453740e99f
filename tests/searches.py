"""Searches with invented objectives, and sweeps of fake trials."""

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

from conf.schema import Config, Job
from sweeps import driver, journal
from sweeps.driver import Search
from sweeps.journal import SweepStarted
from sweeps.search import space
from sweeps.search.ask_tell import Proposal
from sweeps.search.oracle import Oracle
from tests.fakes import FakeEngine, Recorder, plan

TUNERS = ("random", "grid", "bayesian", "hyperband", "mobster")
SMALL_SPACE = (
    *(f"model.space.{name}=8" for name in ("embedding_dim", "conv_filters", "kernel_size", "pool_size")),
    "model.space.lstm_units={kind: Choice, values: [8, 16, 32], default: 16}",
    "model.space.dropout=0.1",
    "optimizer.space.learning_rate=0.01",
)


def oracle(config: Config) -> Oracle:
    return Oracle(config, space.read(config.parts("imdb")))


def score(proposal: Proposal) -> float:
    """A trial's objective: a function of its values and epochs alone."""
    units, dropout = float(proposal.values["lstm_units"]), float(proposal.values["dropout"])
    return units / 1000 - abs(dropout - 0.3) / 10 + 0.01 * proposal.epochs


def proposals_of(
    config: Config, workers: int = 2, failing: Collection[int] = (), score: Callable[[Proposal], float] = score
) -> list[Proposal]:
    """Every proposal of a search in which `workers` trials are out at a time and the oldest ends first."""
    search, out, proposals = oracle(config), list[Proposal](), list[Proposal]()
    while True:
        while len(out) < workers and (proposal := search.ask()) is not None:
            out.append(proposal)
            proposals.append(proposal)
        if not out:
            return proposals
        ended = out.pop(0)
        search.tell(ended.trial, None if ended.trial in failing else score(ended))


def session(job: Job, engine: FakeEngine | None = None, directory: Path = Path("outputs/sweep/imdb")) -> Search:
    """One process's part of a sweep: it begins, or goes on where its journal ends, and runs to its end."""
    past = journal.read(directory)
    trials = past[0].trials if past and isinstance(past[0], SweepStarted) else job.config.trials
    own_plan = plan(job, directory)
    search = Search(own_plan, Oracle(replace(job.config, trials=trials), own_plan.space), [Recorder()], past)
    try:
        driver.run([search], engine or FakeEngine())
    finally:
        search.close()
    return search
