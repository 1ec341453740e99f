"""The answer of a model to a text, and what it is worth."""

from __future__ import annotations

from typing import NamedTuple


class Prediction(NamedTuple):
    """The answer of a classifier to one text."""

    label: str
    probability: float
    words: int  # of the text: its tokens
    unknown: int  # words that the model does not know
    unread: int  # words that are cut off, because the text is too long
    probabilities: dict[str, float]  # label -> probability

    @property
    def second(self) -> str:
        """The most probable of the other labels."""
        others = (label for label in self.probabilities if label != self.label)
        return max(others, key=self.probabilities.__getitem__)

    @property
    def note(self) -> str:
        """The reasons why the answer could mislead; empty if there are none."""
        if not self.words:
            return "no words: this is the model's answer to an empty text"
        notes = []
        if self.unknown == self.words:
            notes.append("none of its words is known")
        elif self.unknown:
            notes.append(f"{self.unknown} of {self.words} words unknown")
        if self.unread:
            notes.append(f"too long: {self.unread} of its words are not read")
        return "; ".join(notes)
