"""What trials are ranked by, and which of two is better: this alone decides it, everywhere."""

from collections.abc import Sequence
from typing import NamedTuple

_TRAIN_S = "train_s"


class Objective(NamedTuple):
    """One of the numbers that a study is about.

    Attributes
    ----------
    name : str
        The metric, "loss" or "train_s".
    direction : str
        "maximize" or "minimize".
    """

    name: str
    direction: str

    @property
    def is_maximized(self) -> bool:
        """Whether more is better."""
        return self.direction == "maximize"

    @property
    def key(self) -> str:
        """The name of its points: "valid/accuracy"."""
        if self.name == _TRAIN_S:
            return "time/train_s"
        return f"valid/{self.name}"

    @property
    def key_of_epochs(self) -> str:
        """The name of its points after each epoch; "" where it has none."""
        return "" if self.name == _TRAIN_S else self.key

    def loss(self, value: float) -> float:
        """A value, turned so that less is better."""
        return -value if self.is_maximized else value

    def is_better(self, value: float, other: float) -> bool:
        """Whether a value is better than another one; nothing is better than an equal one."""
        return self.loss(value) < self.loss(other)


def losses(objectives: Sequence[Objective], values: Sequence[float]) -> list[float]:
    """The values of a trial, turned so that less is better.

    Of two trials that one comes first whose list is the lesser one.

    Parameters
    ----------
    objectives : sequence of Objective
        What the trial is ranked by, the first one first.
    values : sequence of float
        Its values, one for each objective.
    """
    return [objective.loss(value) for objective, value in zip(objectives, values, strict=True)]
