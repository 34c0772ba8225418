"""What the losses share: their types, and checks of arguments and outputs."""

from collections.abc import Callable
from typing import Any

from harness import checks
from harness.engine.context import Context
from harness.errors import UsageError
from harness.expressions.terms import plan_terms
from harness.ops import Array

Backward = Callable[[], Array]
Forward = Callable[[Array, Array], tuple[Array, Backward]]
Predict = Callable[[Array], Array]
BindLoss = Callable[[Context, int], tuple[Forward, Predict]]


def check_scalar(name: str, value: Any, holds: Callable[[float], bool], must: str) -> None:
    """UsageError unless the number, or each of the numbers of a population, `holds`."""
    checks.reals(name, value, holds, f"must be {must}")


def check_classes(name: str, O: int) -> None:
    """UsageError unless there is an output for each of at least two classes."""
    if O < 2:
        raise UsageError(
            f"{name} needs at least 2 outputs, got {O}; give the last layer one unit per class, or "
            f"use binary_cross_entropy for two classes"
        )


def sum_of_terms(
    ctx: Context, O: int, f: Callable[..., Any], name: str, origin: str, **scalars: Any
) -> Forward:
    """Make the forward of L = mean over the batch of sum_k f(y_k, t_k).

    Parameters
    ----------
    f
        f(y, t, **scalars) is an expression of outputs and targets, or that and its slope by y.
    name, origin
        What f is called in errors, and the file where it is written.
    scalars
        Its hyperparameters.
    """
    xp = ctx.xp
    scale = ctx.dtype.type(1.0 / ctx.batch)
    given = {key: ctx.scalar(value) for key, value in scalars.items()}
    terms = ctx.empty(O)
    dy = ctx.empty(O)
    values = ctx.empty(1)[..., 0]
    measure = plan_terms(xp, f, given, terms, dy, scale, name, origin)

    def backward() -> Array:
        return dy  # it has been computed with the terms

    def forward(y: Array, t: Array) -> tuple[Array, Backward]:
        measure(y, t)
        return xp.add.reduce(terms, axis=-1, out=values), backward

    return forward
