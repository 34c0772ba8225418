"""Norms of gradients and updates, which are measured beside the training."""

from typing import Any

from harness.ops import Array


def write_norms(xp: Any, flat: Array, out: Array) -> None:
    """Write the Euclidean norms of vectors (..., n) into out (...)."""
    norms = out.reshape(-1)  # a view, also of a single number
    # A reduction over an axis of a larger array may add in another order. One vector after the
    # other gives the same bits in a population as alone.
    for place, vector in enumerate(flat.reshape(norms.size, flat.shape[-1])):
        norms[place] = xp.sqrt(vector.dot(vector))
