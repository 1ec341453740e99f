"""What the page of a sweep says, part by part: its record -> sentences, tables and figures.

The test score of a trial is shown, and nowhere used to choose, rank or recommend one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sweeps.metrics import OBJECTIVES
from sweeps.analysis import importance, space_findings, statistics
from sweeps.search import space
from sweeps.analysis.importance import Importances
from sweeps.journal import SweepRecord, SweepStarted, TrialRecord
from sweeps.report.html import Figure
from sweeps.search.space import Hyperparameter

UNITS = {"accuracy": "share correct", "loss": "cross-entropy, nats"}


class Row(NamedTuple):
    """A trial in a table, as text."""

    name: str
    mark: str  # best | baseline | ""
    cells: tuple[tuple[str, str], ...]  # heading, text
    values: str


class Score(NamedTuple):
    """An accuracy and its standard error, None where it is not known how many examples it is the mean of."""

    value: float
    error: float | None

    def __str__(self) -> str:
        return f"{self.value:.4f}" + (f" ± {self.error:.4f}" if self.error is not None else "")


def labelled(metric: str) -> str:
    """A metric and its unit."""
    return f"{metric} ({UNITS[metric.rpartition('/')[2]]})"


class Contents:
    """Made of a record once; the template asks it for each part."""

    def __init__(self, record: SweepRecord, config: Mapping[str, Any]) -> None:
        assert record.started is not None
        self.record, self.started = record, record.started
        self.objective = record.started.objective
        self.ranking = record.ranking()
        self.best = record.best
        self.baseline = next((trial for trial in self.ranking if trial.baseline), None)
        self.searched = space.recorded(config)
        names = [hp.name for hp in self.searched]
        self.importances: Importances = importance.importances(self.ranking, names)
        self.findings = space_findings.findings(record, config, self.importances)

    # Words

    @property
    def state(self) -> str:
        ended = self.record.ended
        if ended is None:
            return "not ended: interrupted, or still running"
        reasons = {"trials": "all trials", "max_failures": "too many failures in a row"}
        return f"{ended.status} ({reasons.get(ended.reason, ended.reason)})"

    @property
    def counts(self) -> str:
        count = Counter(trial.status for trial in self.record.trials.values())
        words = {"completed": "completed", "failed": "failed", "running": "not ended"}
        said = ", ".join(f"{count[status]} {word}" for status, word in words.items() if count[status])
        return f"{len(self.record.trials)} of {self.record.budget} trials were started: {said or 'none'}"

    @property
    def effort(self) -> str:
        seconds = sum(trial.cost.get("seconds", 0.0) for trial in self.record.trials.values())
        active = sum(last - first for first, last in self.record.sessions)
        return f"{_duration(seconds)} of training in {_duration(active)}"

    def validation(self, trial: TrialRecord) -> Score | None:
        """The accuracy on what was held out, after the epoch that was chosen."""
        curve = trial.curves.get("val/accuracy", [])
        if trial.best_epoch is None or len(curve) < trial.best_epoch:
            return None
        return self._score(curve[trial.best_epoch - 1], self.started.held_out)

    def test(self, trial: TrialRecord) -> Score | None:
        return self._score(trial.test["test/accuracy"], "test") if "test/accuracy" in trial.test else None

    def _score(self, value: float, part: str) -> Score:
        examples = self.started.sizes.get(part)
        return Score(value, statistics.standard_error(value, examples) if examples else None)

    def conclusions(self) -> Iterator[str]:
        """The result in plain words, with what it is worth."""
        if self.best is None or self.best.objective is None:
            yield "No trial completed, so nothing can be said about any configuration."
            return
        name = "The baseline" if self.best.baseline else f"Trial {self.best.trial}"
        yield (
            f"{name} has the best {self.objective}, {self.best.objective:.4f}, of {len(self.ranking)} completed "
            f"{'trial' if len(self.ranking) == 1 else 'trials'}."
        )
        yield from self._gain()
        yield from self._luck()
        if self.started.held_out == "test":
            yield "The val/ figures are the test set's: nothing was searched or stopped by them."
        elif len(self.ranking) > 1:
            yield "To see whether it holds, train the best ones again with fresh seeds:"

    def _gain(self) -> Iterator[str]:
        if self.best is None or self.baseline is None or self.best.baseline:
            return
        for what, of_trial in (("validation", self.validation), ("the test set", self.test)):
            best, baseline = of_trial(self.best), of_trial(self.baseline)
            if best is None or baseline is None:
                continue
            points = 100 * (best.value - baseline.value)
            error = f" (one standard error of either: {100 * best.error:.1f} points)" if best.error else ""
            yield f"On {what} its accuracy is {best}, the baseline's {baseline}: {points:+.1f} points{error}."

    def _luck(self) -> Iterator[str]:
        """The winner's curse."""
        n = len(self.ranking)
        if n < 2 or self.best is None or (score := self.validation(self.best)) is None:
            return
        luck = statistics.luck_of_the_best(n)
        points = f", {100 * luck * score.error:.1f} points" if score.error else ""
        yield (
            f"The best of {n} is also the luckiest of {n} (the winner's curse): had all been equally good, the best "
            f"would still be expected up to {luck:.1f} standard errors{points} above them on validation. So its "
            "validation score is too high an estimate; its test score, which chose nothing, is not."
        )

    @property
    def confirm(self) -> str:
        return f"python -m pipelines.confirm sweep={self.started.sweep}"

    # Tables

    def leaderboard(self) -> list[Row]:
        return [self._row(rank, trial) for rank, trial in enumerate(self.ranking, start=1)]

    def _row(self, rank: int, trial: TrialRecord) -> Row:
        gain = ""
        if self.baseline is not None and not trial.baseline:
            gain = f"{(trial.objective or 0.0) - (self.baseline.objective or 0.0):+.4f}"
        cells = (
            ("rank", str(rank)),
            (self.objective, f"{trial.objective:.4f}"),
            ("gain", gain),
            ("test/ accuracy", f"{trial.test.get('test/accuracy', float('nan')):.4f}"),
            ("test/ macro_f1", f"{trial.test.get('test/macro_f1', float('nan')):.4f}"),
            ("epoch", f"{trial.best_epoch} of {trial.epochs_run}"),
            ("seconds", f"{trial.cost.get('seconds', 0.0):.0f}"),
            ("parameters", f"{trial.cost.get('parameters', 0):,.0f}"),
        )
        mark = "best" if trial is self.best else "baseline" if trial.baseline else ""
        return Row(_name(trial), mark, cells, self._values(trial))

    def _values(self, trial: TrialRecord) -> str:
        return " ".join(f"{hp.name}={trial.values[hp.name]}" for hp in self.searched)

    def failures(self) -> list[Row]:
        """Failed trials and those that never ended, with their reasons."""
        said = {"failed": "failed", "running": "not ended"}
        return [
            Row(
                _name(trial),
                "",
                (
                    ("state", said[trial.status]),
                    ("epochs", f"{trial.epochs_run} of {trial.epochs}"),
                    ("reason", trial.reason or "interrupted, or still running"),
                ),
                self._values(trial),
            )
            for trial in sorted(self.record.trials.values(), key=lambda trial: trial.trial)
            if trial.status in said
        ]

    def endings(self) -> list[tuple[str, int]]:
        """Why trials ended, and how many for each reason."""
        reasons = {
            "finished": "ran all their epochs",
            "patience": "stopped: out of patience",
            "stopped": "stopped: below the median",
        }
        said = [
            reasons.get(t.reason, f"stopped: {t.reason}") if t.status == "completed" else f"failed: {t.reason}"
            for t in self.record.trials.values()
            if not t.running
        ]
        return Counter(said).most_common()

    # Figures

    def figures(self) -> Iterator[Figure]:
        """Those that the record has something for. Matplotlib is imported by the first."""
        if any(trial.curves.get("val/loss") for trial in self.record.trials.values()):
            yield from self._losses()
        if self.best is None:
            return
        yield from self._progress()
        yield from self._hyperparameters()
        yield from self._outcomes()

    def _losses(self) -> Iterator[Figure]:
        from sweeps.report.figures import outcomes

        trials = list(self.record.trials.values())
        for metric, label in (("val/loss", f"{self.started.held_out} loss"), ("train/loss", "train loss")):
            alt = f"{label.capitalize()} per epoch of {len(trials)} trials, the best and the baseline marked"
            png = outcomes.losses(trials, self.best, metric, label)
            yield Figure(metric.replace("/", "-"), f"{label.capitalize()} of every trial", alt, png)

    def _progress(self) -> Iterator[Figure]:
        from sweeps.report.figures import search

        ended = sorted(self.ranking, key=lambda trial: trial.last)
        label, up = labelled(self.objective), OBJECTIVES[self.objective] == "max"
        alt = f"Best {self.objective} so far: {self.best.objective:.4f} at the end" if self.best else ""
        numbered = [(float(number), trial) for number, trial in enumerate(ended, start=1)]
        png = search.best_so_far(numbered, "completed trials (number)", label, maximised=up, whole=True)
        yield Figure("best-by-trial", "Best so far, trial by trial", alt, png)
        timed = [(self._minutes(trial.last), trial) for trial in ended]
        png = search.best_so_far(timed, "time of running (minutes)", label, maximised=up)
        yield Figure("best-by-time", "Best so far over time", f"{alt}, over minutes of running", png)

    def _minutes(self, when: float) -> float:
        """Of running until a moment: the time between an interruption and what went on is not counted."""
        spans = ((first, min(last, when)) for first, last in self.record.sessions)
        return sum(max(0.0, last - first) for first, last in spans) / 60

    def _hyperparameters(self) -> Iterator[Figure]:
        from sweeps.report.figures import search

        if self.best is None or not self.searched:
            return
        label = labelled(self.objective)
        if len(self.ranking) > 1:
            alt = f"A line per trial through {len(self.searched)} hyperparameters down to its {self.objective}"
            png = search.parallel(self.searched, self.ranking, self.best, self.objective)
            yield Figure("parallel", "All hyperparameters at once", alt, png)
        if self.importances.ranked:
            said = ", ".join(f"{i.name} {i.mean:.2f} ({i.low:.2f} to {i.high:.2f})" for i in self.importances.ranked)
            png = search.importance(self.importances)
            yield Figure("importance", "Importance of each hyperparameter", f"Importance: {said}", png)
        for hp in self.searched:
            alt = f"{self.objective} against {hp.name}; the best trial has {self.best.values[hp.name]}"
            png = search.slice_of(hp, self.ranking, self.best, label)
            yield Figure(f"slice-{_file_name(hp)}", hp.name, alt, png)

    def _outcomes(self) -> Iterator[Figure]:
        from sweeps.report.figures import outcomes

        scored = [(t, v, s) for t in self.ranking if (v := self.validation(t)) and (s := self.test(t))]
        best = next(((v, s) for t, v, s in scored if t is self.best), None)
        if self.best is None or best is None:
            return
        points = [(trial, validation.value, test.value) for trial, validation, test in scored]
        png = outcomes.validation_against_test(points, self.best, (best[0].error or 0.0, best[1].error or 0.0))
        alt = f"Test against validation accuracy; the best trial has {best[0]} and {best[1]}"
        yield Figure("validation-test", "Validation against test", alt, png)
        costs: tuple[tuple[str, str, Callable[[TrialRecord], float]], ...] = (
            ("seconds", "time to train (seconds)", lambda trial: trial.cost.get("seconds", 0.0)),
            ("parameters", "size (parameters)", lambda trial: trial.cost.get("parameters", 0.0)),
        )
        for name, unit, cost in costs:
            priced = [(trial, cost(trial), validation.value) for trial, validation, _ in scored]
            front = pareto([(x, y) for _, x, y in priced])
            alt = f"Accuracy against {unit}; {len(front)} trials are on the Pareto front"
            png = outcomes.cost(priced, front, self.best, unit)
            yield Figure(f"cost-{name}", f"Accuracy against {unit}", alt, png)


def provenance_of(started: SweepStarted) -> list[tuple[str, str]]:
    """What a sweep was run on and with: label, text."""
    commit = f"{started.git_commit}{' with uncommitted changes' if started.git_dirty else ''}"
    return [
        ("data", f"{started.dataset}, {started.source}, digest {started.digest}"),
        ("examples", ", ".join(f"{n:,} {part}" for part, n in started.sizes.items()) or "not recorded"),
        ("seed", str(started.seed)),
        ("code", commit if started.git_commit else "not a git checkout"),
        ("versions", ", ".join(f"{name} {version}" for name, version in started.versions.items())),
        *started.machine.items(),
    ]


def pareto(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Of (cost, score) those that no other point beats in one without losing in the other, cheapest first."""
    front: list[tuple[float, float]] = []
    for cost, score in sorted(set(points), key=lambda point: (point[0], -point[1])):
        if not front or score > front[-1][1]:
            front.append((cost, score))
    return front


def _name(trial: TrialRecord) -> str:
    return f"{trial.trial} (baseline)" if trial.baseline else str(trial.trial)


def _file_name(hp: Hyperparameter) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in hp.name)


def _duration(seconds: float) -> str:
    hours, minutes = divmod(round(seconds / 60), 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min" if minutes > 1 else f"{seconds:.0f} s"
