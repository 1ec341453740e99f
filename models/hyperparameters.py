"""The kinds of numbers that a function can annotate its keywords with; a configuration is checked against them."""

from typing import Annotated, NamedTuple


class Bounds(NamedTuple):
    """The numbers that make sense, and the words for them in an error message."""

    allowed: str
    low: float
    below: float = float("inf")
    low_included: bool = True

    def hold(self, value: float) -> bool:
        return (self.low <= value if self.low_included else self.low < value) and value < self.below


Size = Annotated[int, Bounds("an integer of at least 1", 1)]
AtLeastTwo = Annotated[int, Bounds("an integer of at least 2", 2)]
Fraction = Annotated[float, Bounds("a number of at least 0 and less than 1", 0, 1)]
Positive = Annotated[float, Bounds("a number greater than 0", 0, low_included=False)]
NotNegative = Annotated[float, Bounds("a number of at least 0", 0)]
Rate = Positive
