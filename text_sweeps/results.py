"""The results of sweeps: tables, models and reports."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from conf.schema import ConfigError
from sweeps import invocation, journal
from sweeps.errors import SweepError
from sweeps.journal import SweepRecord
from sweeps.trials.native_logs import without_native_logs

if TYPE_CHECKING:
    import keras
    import pandas as pd

    from text_sweeps.saved_model import SavedModel

SHOWN = 5  # trials of a sweep in a notebook
IN_NOTEBOOK = ("trial", "baseline", "objective", "test/accuracy", "seconds")  # columns, beside the hyperparameters
HEIGHT = 800  # pixels of a report in a notebook


def load(name: str, uri: str | None = None) -> Results:
    """Return the results of recorded sweeps: `conv_lstm-…/imdb`, or `conv_lstm-…` for all of its datasets.

    They are read from `outputs/`, else from the store `uri`, None being the one of this folder. A sweep may still run.
    Raises `ConfigError` if there is none of that name.
    """
    from sweeps.session import recorded

    return Results(recorded.anywhere(name, uri))


class Report(NamedTuple):
    """The page of a sweep; a notebook shows it in a frame in which nothing can run."""

    html: str

    def _repr_html_(self) -> str:
        return (
            f'<iframe sandbox srcdoc="{escape(self.html)}" width="100%" height="{HEIGHT}" style="border: 0"></iframe>'
        )

    def __repr__(self) -> str:
        return f"a report of {len(self.html):,} characters; its html can be saved as a file"


class Results:
    """The results of one sweep, or of several: one for each dataset, and the confirmations of their choices."""

    def __init__(self, records: Sequence[SweepRecord]) -> None:
        self._records = list(records)

    @classmethod
    def of(cls, directories: Iterable[Path]) -> Results:
        """Read the journals of some directories."""
        return cls([SweepRecord.of(directory, journal.read(directory)) for directory in directories])

    @property
    def names(self) -> list[str]:
        """The names of the sweeps, `<directory>/<dataset>`."""
        return [record.started.sweep for record in self._records]

    @property
    def unfinished(self) -> list[str]:
        """The names of those that have not ended with a completed trial."""
        ended = (record for record in self._records if record.ended and record.ended.status == "completed")
        finished = {record.started.sweep for record in ended}
        return [name for name in self.names if name not in finished]

    @property
    def trials(self) -> pd.DataFrame:
        """A row for each trial: hyperparameters, objective, scores, seconds and state; see `sweeps.frames.trials`."""
        from sweeps import frames

        return frames.trials(self._records)

    @property
    def curves(self) -> pd.DataFrame:
        """A row for each epoch of each trial."""
        from sweeps import frames

        return frames.curves(self._records)

    @property
    def best(self) -> pd.Series:
        """The row of `trials` that has the best objective; of a confirmation that of its choice."""
        from sweeps.analysis import confirmation

        record = self._only()
        choice = confirmation.choice(record)
        if choice is None:
            raise SweepError(f"{record.started.sweep}: no trial that could be chosen has completed")
        trials = self.trials
        return trials[trials["trial"] == choice.trial.trial].iloc[0]

    def model(self) -> keras.Model:
        """Return the network of the best trial with the weights of its chosen epoch; it can predict.

        Its inputs are ids, (n, maxlen); `classify` takes texts. Raises `SweepError` if its weights are not here.
        """
        return self._saved.network

    def classify(self, texts: Iterable[str]) -> pd.DataFrame:
        """Return a row for each text: the label that the best trial's network gives, and how probable it is.

        Raises `ConfigError` if the data of the sweep have no texts, as the stand-ins.
        """
        import pandas as pd

        if isinstance(texts, str):
            raise ConfigError("texts must be a list of texts, or a column of a data frame, not one text")
        answers = self._saved.answers(list(texts))
        rows = [(text, answer.label, answer.probability, answer.note) for text, answer in answers]
        return pd.DataFrame(rows, columns=["text", "label", "probability", "note"])

    def report(self) -> Report:
        """Return the page of the sweep, its figures included; some hundred kilobytes, which a notebook keeps."""
        from sweeps.report import write

        return Report(write.build(self._only()).html)

    @cached_property
    def _saved(self) -> SavedModel:
        record = self._only()
        if not (record.directory / journal.FILE).is_file():
            asking = invocation.command("predict")
            raise SweepError(f"{record.started.sweep}: its weights are not here; {asking} asks its registered model")
        with without_native_logs():
            from text_sweeps import saved_model
        return saved_model.of(record)

    def __getitem__(self, name: str) -> Results:
        """Return the results of a dataset, or of the sweep that has a name; raises `ConfigError` for any other."""
        chosen = [record for record in self._records if name in (record.started.dataset, *record.started.names)]
        if not chosen:
            raise ConfigError(f"{name}: allowed: {', '.join(self.names) or 'none, there are no sweeps'}")
        return Results(chosen)

    def __iter__(self) -> Iterator[Results]:
        return (Results([record]) for record in self._records)

    def __len__(self) -> int:
        return len(self._records)

    def __repr__(self) -> str:
        return "\n".join(map(_in_words, self._records)) or "no sweeps"

    def _repr_html_(self) -> str:
        return "".join(f"<p>{escape(_in_words(record))}</p>{_table(record)}" for record in self._records) or "no sweeps"

    def _only(self) -> SweepRecord:
        if len(self._records) != 1:
            raise ConfigError(f"{len(self)} sweeps: choose one, results[…]: {', '.join(self.names)}")
        return self._records[0]


def _in_words(record: SweepRecord) -> str:
    started, best = record.started, record.best
    standin = ", generated STAND-IN data" if started.source == "standin" else ""
    trials = f"{len(record.completed)} of {record.budget} trials completed, {len(record.failed)} failed"
    chosen = f"; best {started.objective} {best.objective:.4f} (trial {best.trial})" if best else ""
    return f"{started.sweep}: {started.model} on {started.dataset}{standin}: {trials}{chosen}"


def _table(record: SweepRecord) -> str:
    """Return the best trials of a sweep and its baseline as HTML, whose texts are escaped; empty without any."""
    from conf import stored
    from sweeps import frames
    from sweeps.search import space

    shown = record.ranking()[:SHOWN]
    if record.baseline is not None and record.baseline not in shown:
        shown.append(record.baseline)
    if not shown:
        return ""
    rows = frames.trials([record]).set_index("trial", drop=False).loc[[trial.trial for trial in shown]]
    searched = (each.name for each in space.recorded(stored.parts(record.started.config, record.started.dataset)))
    columns = [name for name in dict.fromkeys((*IN_NOTEBOOK, *searched)) if name in rows]
    return str(rows[columns].to_html(index=False, na_rep="", float_format="{:.4g}".format))
