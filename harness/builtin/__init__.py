"""What comes with the harness, registered by name: activations, layers, update rules, losses and
the rest.

Importing this room registers all of it.
"""

from harness.builtin import (
    activations,
    datasets,
    initializers,
    layers,
    losses,
    metrics,
    schedules,
    updates,
)

__all__ = [
    "activations",
    "datasets",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "schedules",
    "updates",
]
