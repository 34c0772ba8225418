"""Two bound layers as one: a dense layer and the activation on it, whose loops run together.

The results are those of the two layers one after the other. What is saved is passes over memory
and calls from Python.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.expressions.backend import compiles, launches
from harness.expressions.graph import Graph, Node
from harness.expressions.written import bias_gradient
from harness.ops import Array, ops_for

# Where a graph's values come from or go to: z and out of `value`, z and da of `pullback`.
_Z, _OUT = 0, 2


@dataclass(frozen=True)
class Affine:
    """What a bound dense layer offers to be fused: it stands at its forward as `affine`.

    Attributes
    ----------
    products
        products(x): y <- x W, without the bias.
    gradients
        gradients(dy) -> dx, which writes dW and leaves db to others.
    y, b, db
        Its output (..., B, O), its bias (..., 1, O) and the gradient of that.
    """

    products: Callable[[Array], None]
    gradients: Callable[[Array], Array]
    y: Array
    b: Array
    db: Array


def affine(
    xp: Any,
    products: Callable[[Array], None],
    gradients: Callable[[Array], Array],
    y: Array,
    b: Array,
    db: Array,
) -> Affine | None:
    """Return what a dense layer offers; b and db are None where it has no bias.

    A loop adds zeros then, and leaves the sums where nobody reads them. Where no loops are compiled
    there is nothing to offer.
    """
    if b is not None:
        return Affine(products, gradients, y, b, db)
    if not compiles(xp, y.dtype):
        return None
    shape = (*y.shape[:-2], 1, y.shape[-1])
    return Affine(products, gradients, y, xp.zeros(shape, y.dtype), xp.empty(shape, y.dtype))


@dataclass(frozen=True)
class Pointwise:
    """What a bound activation offers to be fused: it stands at its forward as `pointwise`.

    Attributes
    ----------
    value, pullback
        Its in-place pair.
    a
        Its output (..., B, O).
    """

    value: Callable[..., None]
    pullback: Callable[..., None]
    a: Array


def _da_times_z() -> tuple[Node, dict[int, int]]:
    """Return the graph of a pullback for which the slope lies in the place of z."""
    graph = Graph(Node)
    z = graph.intern("z")
    da = graph.intern("da")
    return graph.intern("multiply", da, z), {z.index: _Z, da.index: _OUT}


def fuse(xp: Any, lower: Any, upper: Any) -> Any:
    """Return one forward for two layers, or None where they do not fit together.

    Parameters
    ----------
    xp
        The array module.
    lower, upper
        The forward of a layer, and of the one on top of it.
    """
    affine = getattr(lower, "affine", None)
    pointwise = getattr(upper, "pointwise", None)
    if affine is None or pointwise is None:
        return None
    if launches(xp, affine.y.dtype):
        return _fused_on_gpu(xp, affine, pointwise)
    if not compiles(xp, affine.y.dtype):
        return None
    value = getattr(pointwise.value, "graph", None)
    pullback = getattr(pointwise.pullback, "graph", None)
    if value is None or pullback is None:
        return None
    from harness.expressions.loops import Unlowered, costs
    from harness.expressions.numba_loops import plan_with_row

    z = affine.y
    a = pointwise.a
    root, given = value
    outputs = {_OUT: root}
    pulled, pulled_from = pullback
    slope = pointwise.pullback.slope  # type: ignore[attr-defined]
    if costs(slope, pulled_from):
        # What the value has computed, such as an exp, serves the slope in the same loop. That
        # takes the place of z, which nobody else reads.
        outputs[_Z] = slope
        pulled, pulled_from = _da_times_z()
    try:
        activate = plan_with_row(outputs, given, affine.b, [z, None, a], sums=False)
        pull = plan_with_row({_OUT: pulled}, pulled_from, affine.db, [z, a, None], sums=True)
    except Unlowered:
        return None
    products = affine.products
    gradients = affine.gradients

    def backward(dy: Array) -> Array:
        pull(dy)
        return gradients(dy)

    def forward(x: Array, train: bool) -> tuple[Array, Callable[[Array], Array]]:
        products(x)
        activate()
        return a, backward

    return forward


def _fused_on_gpu(xp: Any, affine: Affine, pointwise: Pointwise) -> Any:
    """The same with a kernel that adds the bias and activates."""
    from harness.expressions.cuda_kernels import plan_with_row
    from harness.expressions.loops import Unlowered

    graph = getattr(pointwise.value, "graph", None)
    if graph is None:
        return None
    root, given = graph
    z = affine.y
    a = pointwise.a
    try:
        activate = plan_with_row(root, given, affine.b, z, a)
    except Unlowered:
        return None
    products = affine.products
    gradients = affine.gradients
    pullback = pointwise.pullback
    sum_bias = bias_gradient(xp, ops_for("gpu").matmul, z, affine.db)

    def backward(dy: Array) -> Array:
        pullback(xp, z, a, dy)
        sum_bias(dy)
        return gradients(dy)

    def forward(x: Array, train: bool) -> tuple[Array, Callable[[Array], Array]]:
        products(x)
        activate()
        return a, backward

    return forward


def fuse_all(
    xp: Any, forwards: list[Any], lowest: int, layers: list[Any], paths: list[str]
) -> tuple[list[Any], int, list[Any], list[str]]:
    """Return the same layers, where two that can be one are one, under the name of the lower one.

    Parameters
    ----------
    xp
        The array module.
    forwards, layers, paths
        The forwards of a chain of layers, their specs and their paths, which are changed in place.
    lowest
        The position of the lowest layer that needs a gradient.
    """
    k = 0
    while k + 1 < len(forwards):
        # Where the gradient ends between two layers, they stay apart.
        one = None if lowest == k + 1 else fuse(xp, forwards[k], forwards[k + 1])
        if one is not None:
            forwards[k : k + 2] = [one]
            del layers[k + 1], paths[k + 1]
            if lowest > k:
                lowest -= 1
        k += 1
    return forwards, lowest, layers, paths
