"""Dead and saturated units: how much of each activation does not learn."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from harness.pictures.style import BLUE, ORANGE, figure, name_ticks, styled


class Health(NamedTuple):
    """How an activation stands.

    Attributes
    ----------
    name : str
        The layer, with its place.
    dead : float
        The share of its units with the same output on all examples.
    saturated : float
        The share of (example, unit) pairs whose slope is nearly zero.
    """

    name: str
    dead: float
    saturated: float


def unit_health(layers: Sequence[Health]) -> Any:
    """Draws the shares of dead units and of saturated pairs of each activation.

    Parameters
    ----------
    layers : sequence of Health
        The activations in their order.

    Returns
    -------
    matplotlib.figure.Figure
    """
    with styled():
        drawn = figure(7.2, 1.5 + 0.75 * len(layers))
        axes = drawn.add_subplot()
        places = range(len(layers))
        dead = [layer.dead for layer in layers]
        saturated = [layer.saturated for layer in layers]
        axes.barh([y - 0.2 for y in places], dead, 0.36, color=ORANGE, label="dead units")
        label = "(example, unit) pairs of slope near 0"
        axes.barh([y + 0.2 for y in places], saturated, 0.36, color=BLUE, label=label)
        for place in places:
            for offset, share in ((-0.2, dead[place]), (0.2, saturated[place])):
                axes.text(share + 0.01, place + offset, f"{share:.1%}", va="center", fontsize=9)
        name_ticks(axes.yaxis, [layer.name for layer in layers])
        axes.invert_yaxis()
        axes.set_xlim(0, 1.12)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1.0], ["0 %", "25 %", "50 %", "75 %", "100 %"])
        axes.grid(axis="y", visible=False)
        axes.set_title("what does not learn")
        drawn.legend(loc="outside lower center", ncols=2)
    return drawn
