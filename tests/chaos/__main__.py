"""Let mishaps befall sweeps at random instants and resume them until they are done: is anything lost, or not so?

    python -m tests.chaos [RUNS] [TRAINED]      RUNS with quick stand-ins for trials, four times TRAINED with training

Both go through the whole product: the command line, the journal, an oracle of each kind, and an MLflow store that two
sweeps at a time share, unless it is the store that something happens to. Afterwards every journal is compared with its
runs in the store, and with the same sweep to which nothing happened. Exit status: 0 if nothing was lost, doubled or
left open, and nothing was said that was not so.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

os.environ["MLFLOW_LOGGING_LEVEL"] = "WARNING"  # before anything imports MLflow

import sweeps.search.oracle  # noqa: F401  # imports TensorFlow once for all processes that are forked
from sweeps import runtime
from sweeps.tracking import store
from tests.chaos import claims, clock, mishaps, quick, trained
from tests.chaos.cases import TUNERS, Case, Outcome
from tests.chaos.differences import COUNTED

FAULTS = (
    "trials lost",
    "trials not completed",
    "references lost",
    "sweeps without an end",
    "sweeps that parted",
    "runs doubled",
    "runs missing",
    "runs not finished",
    "runs that differ",
    "curves that differ",
    "times that go back",
    "false claims",
    "ends without a word",
    "sessions that failed",
    "syncs that failed",
)


def cases(folder: Path, runs: int, rounds: int) -> list[Case]:
    """Return the quick cases, of each kind of mishap and tuner, and behind them those that really train."""
    shared = store.of_file(folder / "mlflow.db")
    kinds = [mishaps.OF_QUICK[(n + n // 20) % len(mishaps.OF_QUICK)] for n in range(runs)]
    kinds += trained.kinds(rounds)
    return [
        Case(
            n,
            TUNERS[n % len(TUNERS)],
            1 + n // len(TUNERS) % 4 if n < runs else 2,
            folder / str(n),
            store.of_file(folder / str(n) / "mlflow.db") if kind in mishaps.OF_STORE else shared,
            kind,
            is_quick=n < runs,
        )
        for n, kind in enumerate(kinds)
    ]


def run(case: Case) -> Outcome:
    """Run a case of any kind."""
    try:
        return quick.run(case) if case.is_quick else trained.run(case)
    except Exception:
        outcome = Outcome(case)
        outcome.add("sweeps without an end", traceback.format_exc())
        return outcome


def main(runs: int = 200, rounds: int = 2) -> int:
    began = time.monotonic()
    runtime.prepare()
    clock.prepare()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["XDG_CACHE_HOME"] = f"{folder}/cache"
        mishaps.prepare(folder)
        everything = cases(folder, runs, rounds)
        with multiprocessing.get_context("fork").Pool(2) as pool:  # two at once into one store, from its first use on
            outcomes = []
            for outcome in pool.imap_unordered(run, everything):
                print(*outcome.notes, sep="\n", end="\n" if outcome.notes else "", flush=True)
                outcomes.append(outcome)
        counts: Counter[str] = Counter()
        for outcome in outcomes:
            if outcome.case.is_quick and outcome.case.directories:
                outcome.faults |= claims.counted(outcome)  # others have used the same store since
            counts += outcome.faults
    show(outcomes, counts, time.monotonic() - began)
    return 0 if not any(counts[name] for name in FAULTS) else 1


def show(outcomes: list[Outcome], counts: Counter[str], seconds: float) -> None:
    """Print what happened and what is wrong."""
    happened = sum((outcome.mishaps for outcome in outcomes), Counter())
    print(f"{len(outcomes)} sweeps, {happened.total()} mishaps, in {seconds:.0f} s")
    for kind, count in happened.most_common():
        print(f"{count:8} {kind}")
    print()
    for name in COUNTED + FAULTS:
        print(f"{counts[name]:8} {name}")


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
