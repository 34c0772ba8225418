"""What a film tells beside the weights: steps, epochs, the accuracy, units that are dead."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Curve(NamedTuple):
    """How one measure went while a network was trained.

    Attributes
    ----------
    name
        What readers call it, such as "accuracy".
    steps
        The steps after which it was measured.
    values
        Its value after each of them.
    """

    name: str
    steps: list[int]
    values: list[float]


@dataclass(frozen=True)
class Story:
    """What a film tells beside the weights.

    Attributes
    ----------
    steps
        The training step of each frame.
    epoch_steps
        How many steps an epoch has; 0 where that is not known.
    curve
        The measure that is drawn below the film; None for none.
    title, subtitle
        The lines above it.
    dead
        The units that are dead.
    dead_words
        What that says, such as "the same output for 500 examples".
    features
        The names of the inputs; empty where they have none.
    units
        The names of the units; empty where they have none.
    layer
        Which of the trained matrices is shown, 0 the first.
    is_own_matrix
        Whether a deeper one is shown as it is, and not through those below it.
    """

    steps: Sequence[int]
    epoch_steps: float = 0
    curve: Curve | None = None
    title: str = "Film of the weights"
    subtitle: str = ""
    dead: Sequence[int] = ()
    dead_words: str = ""
    features: Sequence[str] = ()
    units: Sequence[str] = field(default=())
    layer: int = 0
    is_own_matrix: bool = False

    def caption(self, frame: int) -> str:
        """What is written below a frame: its step, epoch and the last value of the curve."""
        step = self.steps[frame]
        return " · ".join([f"step {step:,}", *self.standing(step)])

    def standing(self, step: int) -> list[str]:
        """How the network stands after a step: its epoch, and the last value of the curve."""
        words = []
        if self.epoch_steps:
            words.append(f"epoch {step / self.epoch_steps:.1f}")
        known = self.measured(step)
        if self.curve is not None and known:
            words.append(f"{self.curve.name} {self.curve.values[known - 1]:.3g}")
        return words

    def measured(self, step: int) -> int:
        """How many points of the curve are known after a step."""
        if self.curve is None:
            return 0
        return sum(one <= step for one in self.curve.steps)


def curve_of(epochs: Sequence[Mapping[str, Any]]) -> Curve | None:
    """The curve that a film shows: a metric of the validation part, else a loss.

    Parameters
    ----------
    epochs
        Of each epoch its "step", and its metrics by name.
    """
    names = list(dict.fromkeys(name for epoch in epochs for name in epoch))
    metrics = [name for name in names if name.startswith("valid/") and name != "valid/loss"]
    chosen = next((name for name in [*metrics, "valid/loss", "train/loss"] if name in names), None)
    if chosen is None:
        return None
    points = [(epoch["step"], float(epoch[chosen])) for epoch in epochs if chosen in epoch]
    finite = [(step, value) for step, value in points if math.isfinite(value)]
    part, _, measure = chosen.partition("/")
    if part == "train":
        measure = f"training {measure}"
    return Curve(measure, [int(step) for step, _ in finite], [value for _, value in finite])
