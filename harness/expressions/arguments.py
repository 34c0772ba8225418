"""What a loop or a kernel is called with: arrays by safe names, and scalars."""

from collections.abc import Callable
from typing import Any

import numpy as np

from harness.errors import UsageError
from harness.expressions.graph import Node
from harness.expressions.loops import Loop, Unlowered
from harness.ops import Array


def lower_formula(
    lower: Callable[..., Loop], read: dict[str, Node], new: dict[str, Any], dtype: str
) -> tuple[Loop, list[str]]:
    """Return the loop of a formula, and the names of its arrays in its order.

    In the source they have other names: those that a user has given may be taken there.
    """
    safe = {name: f"x{place}" for place, name in enumerate(read)}
    inputs = {node.index: safe[name] for name, node in read.items()}
    loop = lower(inputs, {safe[name]: root for name, root in new.items()}, dtype)
    return loop, [name for x in loop.arrays for name in read if safe[name] == x]


def scalar_of(node: Node, shape: tuple[int, ...]) -> Array:
    """Return the array of a hyperparameter, which has one number for each member or one for all.

    Parameters
    ----------
    node
        An "array", such as (1, 1), or (P, 1, 1) for a population.
    shape
        Of the arrays (..., B, O) beside it.

    Raises
    ------
    UsageError
        If it does not keep the shape.
    Unlowered
        If it is no scalar.
    """
    array = node.args[0]
    members = shape[0] if len(shape) == 3 else 1
    try:
        np.broadcast_shapes(array.shape, shape)
    except ValueError:
        raise UsageError(
            f"an expression must keep the shape {shape} of z, got an array {array.shape}; check "
            f"its arrays"
        ) from None
    if len(array.shape) > len(shape) or array.size not in (1, members):
        raise Unlowered(f"an array {array.shape}")
    if array.size > 1 and array.shape != (members, *[1] * (len(shape) - 1)):
        raise Unlowered(f"an array {array.shape}")
    return array
