"""What several rules share: checks of their arguments, named scalars, and the passes over m and v.

Everything here writes with out= into arrays of the state; whatever is made on the way is (..., 1).
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


def moments_state(arena: Arena, beta1: Any, beta2: Any) -> State:
    """What `moments` needs: m, v (..., n), a scratch, and scalars.

    The betas and their powers are kept in float64; the other scalars follow from them in each step.
    """
    powers = wide(arena, beta1=beta1, beta2=beta2, power1=1.0, power2=1.0)
    follow = scalars(arena, b1=0.0, c1=0.0, b2=0.0, c2=0.0, factor=0.0, root=0.0)
    return {**arrays(arena, "m", "v", "scratch"), **powers, **follow}


# Passes -------------------------------------------------------------------------------------------


def average(xp: Any, m: Array, g: Array, keep: Array, take: Array, scratch: Array) -> None:
    """m <- keep * m + take * g"""
    # g is still wanted by others, so that its product goes to the scratch.
    xp.multiply(m, keep, out=m)
    xp.multiply(g, take, out=scratch)
    xp.add(m, scratch, out=m)


def average_square(xp: Any, v: Array, g: Array, keep: Array, take: Array, scratch: Array) -> None:
    """v <- keep * v + take * g^2"""
    xp.multiply(v, keep, out=v)
    xp.multiply(g, g, out=scratch)
    xp.multiply(scratch, take, out=scratch)
    xp.add(v, scratch, out=v)


def second_moment(g: Array, arena: Arena, state: State) -> None:
    """v <- beta2 v + (1 - beta2) g^2, root = 1 / sqrt(1 - beta2^step)"""
    beta = state["beta2"]
    # In place: state["power2"] itself is multiplied.
    power = state["power2"]
    power *= beta
    state["b2"][...] = beta
    state["c2"][...] = 1.0 - beta
    state["root"][...] = 1.0 / arena.xp.sqrt(1.0 - power)
    average_square(arena.xp, state["v"], g, state["b2"], state["c2"], state["scratch"])


def first_moment(g: Array, arena: Arena, state: State) -> None:
    """m <- beta1 m + (1 - beta1) g, factor = -learning_rate / (1 - beta1^step)"""
    beta = state["beta1"]
    power = state["power1"]
    power *= beta
    state["b1"][...] = beta
    state["c1"][...] = 1.0 - beta
    state["factor"][...] = -state["learning_rate"] / (1.0 - power)
    average(arena.xp, state["m"], g, state["b1"], state["c1"], state["scratch"])


def moments(g: Array, arena: Arena, state: State) -> None:
    """Both moments of Adam; g is read only."""
    first_moment(g, arena, state)
    second_moment(g, arena, state)


def deviation(xp: Any, v: Array, state: State) -> Array:
    """scratch <- sqrt(v) * root + eps"""
    s = state["scratch"]
    xp.sqrt(v, out=s)
    xp.multiply(s, state["root"], out=s)
    xp.add(s, state["eps"], out=s)
    return s


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
