"""What comes with the harness, registered by name.

Activations, layers, update rules, losses, initializers, schedules, metrics and data sets.

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
