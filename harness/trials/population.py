"""How many networks of one shape are worth training as one batched computation."""

from collections.abc import Iterator
from typing import Any

from harness.config import Config

# Multiplications in a training step at most -> members of a population
POPULATIONS = ((300_000, 8), (3_000_000, 4), (10_000_000, 2))


def population_that_pays(config: Config, inputs: int = 784) -> int:
    """How many networks of this shape to train as one batched computation.

    It is the smallest number that gains most of what there is to gain. Measured
    (docs/benchmarks.md): what decides is how much there is to multiply in a step, beside what
    NumPy takes for each call.

    Parameters
    ----------
    config : Config
        A config of the shape.
    inputs : int
        Features of the data, for a config whose sizes do not say it.
    """
    if config.batch == "full":
        return 1
    width = config.inputs or inputs
    products = 0
    for units in _units(config.layers):
        products += config.batch * width * units
        width = units
    return next((members for most, members in POPULATIONS if products <= most), 1)


def _units(spec: Any) -> Iterator[int]:
    """The units of all layers in specs, those within others too, from input to output."""
    if isinstance(spec, list):
        for inner in spec:
            yield from _units(inner)
    elif isinstance(spec, dict):
        if isinstance(spec.get("units"), int):
            yield spec["units"]
        for inner in spec.values():
            yield from _units(inner)
