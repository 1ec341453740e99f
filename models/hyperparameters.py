"""The kinds of values that a function can annotate its keywords with; a configuration is checked against them."""

from typing import Annotated, Literal, NamedTuple


class Bounds(NamedTuple):
    """The numbers that make sense, and the words for them in an error message."""

    allowed: str
    low: float
    below: float = float("inf")
    low_included: bool = True

    def hold(self, value: float) -> bool:
        return (self.low <= value if self.low_included else self.low < value) and value < self.below


Size = Annotated[int, Bounds("an integer of at least 1", 1)]
Count = Annotated[int, Bounds("an integer of at least 0", 0)]
AtLeastTwo = Annotated[int, Bounds("an integer of at least 2", 2)]
Fraction = Annotated[float, Bounds("a number of at least 0 and less than 1", 0, 1)]
Positive = Annotated[float, Bounds("a number greater than 0", 0, low_included=False)]
NotNegative = Annotated[float, Bounds("a number of at least 0", 0)]
Rate = Positive
Schedule = Literal["constant", "cosine"]  # of the learning rate
Padding = Literal["read", "masked"]  # the padding before a short document is read like words, or left out
Pooling = Literal["last", "maximum", "mean"]  # of the states at a document's words
