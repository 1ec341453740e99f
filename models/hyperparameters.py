"""What a hyperparameter may be, for builders to annotate their keywords with: a search space is held against it."""

from typing import Annotated, NamedTuple


class Bounds(NamedTuple):
    """The numbers that make sense, and how to say so."""

    allowed: str
    low: float
    below: float = float("inf")
    low_included: bool = True

    def hold(self, value: float) -> bool:
        return (self.low <= value if self.low_included else self.low < value) and value < self.below


Size = Annotated[int, Bounds("an integer of at least 1", 1)]
Fraction = Annotated[float, Bounds("a number of at least 0 and less than 1", 0, 1)]
Rate = Annotated[float, Bounds("a number greater than 0", 0, low_included=False)]
