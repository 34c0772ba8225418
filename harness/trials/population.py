"""How many networks of one shape are worth training as one batched computation."""

from collections.abc import Iterator
from typing import Any

from harness.config import Config

# Multiplications in a training step at most -> members of a population
POPULATIONS = ((300_000, 8), (3_000_000, 4))


def population_that_pays(config: Config, inputs: int = 784) -> int:
    """How many networks of this shape to train as one batched computation: the least that gains
    most of what there is.

    Measured (docs/benchmarks.md): what decides is how much there is to multiply in a step, beside
    what NumPy takes for each call. inputs: features of the data, for a config whose sizes do not
    say it.
    """
    if config.batch == "full":
        return 1
    width, products = config.inputs or inputs, 0
    for units in _units(config.layers):
        width, products = units, products + config.batch * width * units
    return next((members for most, members in POPULATIONS if products <= most), 1)


def _units(value: Any) -> Iterator[int]:
    """The units of all layers in a config's specs, those within others too, from input to
    output.
    """
    if isinstance(value, dict) and isinstance(value.get("units"), int):
        yield value["units"]
    for each in (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    ):
        yield from _units(each)
