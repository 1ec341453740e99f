"""How much of each text a trial and the references read: where settings of the data are searched, they differ."""

from __future__ import annotations

from typing import Any, NamedTuple

from conf import stored
from sweeps.journal import SweepRecord, TrialRecord

UNITS = {"words": "words", "characters": "characters"}  # any other tokens are pieces of words


class Reading(NamedTuple):
    """The settings that decide how much is read."""

    tokens: str  # words | characters | wordpiece | bpe | unigram
    maxlen: int  # tokens of each text
    num_words: int  # different tokens that are known

    def exceeds(self, other: Reading) -> bool:
        """Whether more is read: more tokens, or tokens that are unknown to the other one."""
        if self.tokens != other.tokens:
            return False  # a hundred characters are less than a hundred words
        return self.maxlen > other.maxlen or (self.tokens in UNITS and self.num_words > other.num_words)

    def beside(self, other: Reading) -> str:
        """Say how much is read, with the size of the vocabulary where the other one has another."""
        vocabulary = f", with a vocabulary of {self.num_words:,}" if self.num_words != other.num_words else ""
        return f"{self.maxlen:,} {UNITS.get(self.tokens, 'pieces of words')} of each{vocabulary}"


def of_references(record: SweepRecord) -> Reading | None:
    """Return how the references on cut texts read: as the data are configured. None where that was not recorded."""
    data = stored.parts(record.started.config, record.started.dataset)[f"datasets.{record.started.dataset}"]
    return _reading({name: getattr(data, name) for name in Reading._fields})


def of_trial(record: SweepRecord, trial: TrialRecord) -> Reading | None:
    configured = of_references(record)
    own = {name: trial.values[name] for name in Reading._fields if name in trial.values}
    return configured and _reading({**configured._asdict(), **own})


def _reading(settings: dict[str, Any]) -> Reading | None:
    if not all(isinstance(settings[name], int) for name in ("maxlen", "num_words")):
        return None
    return Reading(**settings)
