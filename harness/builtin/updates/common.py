"""What several rules share: checks of their arguments, named scalars, and a few passes.

Passes write with out= into arrays of the state; whatever is made on the way is (..., 1).
"""

from collections.abc import Callable
from typing import Any

from harness import checks
from harness.engine.arena import Arena
from harness.errors import UsageError
from harness.ops import Array

State = dict[str, Any]

# Checks: a number, or each of one per member; a schedule is checked where it is made --------------


def check(rule: str, name: str, value: Any, holds: Callable[[float], bool], must: str) -> None:
    """UsageError unless every number given for an argument is finite and `holds`.

    `must` says the same in words.
    """
    values = value if isinstance(value, list | tuple) else [value]
    for v in values:
        if isinstance(v, dict) or callable(v):  # a schedule
            continue
        if not checks.is_real(v):
            raise UsageError(
                f"{rule}: {name} must be a number {must}, or a schedule, got {checks.shown(v)}"
            )
        finite = "" if checks.is_finite(v) else "finite and "
        checks.real(f"{rule}: {name}", v, holds, f"must be {finite}{must}")


def positive(rule: str, **arguments: Any) -> None:
    """UsageError unless each of these arguments is above 0."""
    for name, value in arguments.items():
        check(rule, name, value, lambda v: v > 0, "above 0")


def not_negative(rule: str, **arguments: Any) -> None:
    """UsageError unless each of these arguments is 0 or above."""
    for name, value in arguments.items():
        check(rule, name, value, lambda v: v >= 0, "0 or above")


def below_one(rule: str, **arguments: Any) -> None:
    """UsageError unless each of these arguments is in [0, 1)."""
    for name, value in arguments.items():
        check(rule, name, value, lambda v: 0 <= v < 1, "in [0, 1)")


def whole(rule: str, name: str, value: Any) -> None:
    """UsageError unless the value is a whole number above 0."""
    checks.whole(f"{rule}: {name}", value, 1)


# State --------------------------------------------------------------------------------------------


def scalars(arena: Arena, **arguments: Any) -> State:
    """Named (..., 1) in the dtype of the parameters."""
    return {name: arena.scalar(value) for name, value in arguments.items()}


def wide(arena: Arena, **arguments: Any) -> State:
    """Named (..., 1) in float64, for powers and sums.

    1 - beta^step would lose digits in float32.
    """
    return {name: arena.scalar(value, "float64") for name, value in arguments.items()}


def arrays(arena: Arena, *names: str) -> State:
    """Named zeros (..., n)."""
    return {name: arena.zeros() for name in names}


# Passes -------------------------------------------------------------------------------------------


def add_decay(u: Array, arena: Arena, rate: Array, scratch: Array) -> None:
    """u <- u + rate * theta for the parameters that decay; rate (..., 1)"""
    xp = arena.xp
    # The parameters that decay come first.
    k = arena.decayed
    xp.multiply(arena.value[..., :k], rate, out=scratch[..., :k])
    xp.add(u[..., :k], scratch[..., :k], out=u[..., :k])


def norm(xp: Any, squares: Array, axis: int | tuple[int, ...] = -1) -> Array:
    """The square root of the sum along an axis, which stays with length 1."""
    return xp.sqrt(xp.add.reduce(squares, axis=axis, keepdims=True))


def weights(arena: Arena) -> list[tuple[slice, tuple[int, ...]]]:
    """Where the matrices of weights (..., I, O) lie.

    They are the parameters that decay and have more than one input.
    """
    return [
        (at, shape)
        for at, shape in arena.slices.values()
        # The parameters that decay come first. One input is a row, such as a gain.
        if at.stop <= arena.decayed and len(shape) > 1 and shape[-2] > 1
    ]


def part(flat: Array, at: slice, shape: tuple[int, ...]) -> Array:
    """One parameter (..., *shape) of an array (..., n), a view."""
    return flat[..., at].reshape(*flat.shape[:-1], *shape)
