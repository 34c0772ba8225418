"""Two halves of a dense layer's output, of which one gates the other, in one loop each way."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy import float32 as f

from harness.engine.contracts import Backward, Forward
from harness.expressions.arguments import scalar_of
from harness.expressions.backend import compiles, flat, flattener, span_of
from harness.expressions.compiled import compile_loop
from harness.expressions.fuse import Affine, Pointwise
from harness.expressions.loops import Loop, Unlowered, Writer, head, refuse_functions
from harness.expressions.written import compile_written
from harness.ops import Array


class _Halves(Writer):
    """Writes a loop over rows of which the left half is u and the right half is z.

    To both the loop adds a row first, which is the bias. They lie in one array, `both`, and `y` and
    `a` are arrays of the size of a half.
    """

    def loop(self) -> Loop:
        """Return what has been written."""
        return replace(super().loop(), arrays=("both", "y", "a"), has_row=True)

    def _source(self, arrays: tuple[str, ...], stores: list[str]) -> str:
        scalars = [f"s{k}" for k in range(len(self._scalars))]
        # The arrays of the graph are u, z, y and a; those of the loop are these.
        arguments = ["both", "y", "a", *(f"{scalar}_" for scalar in scalars)]
        arguments += ["row", "row_step", "columns", "numbers"]
        lines = [*head(self._dtype, self._fast), f"def kernel({', '.join(arguments)}):"]
        lines += [f"    k{place} = f(numbers[{place}])" for place in range(len(self._numbers))]
        lines += [
            "    half = columns // 2",
            "    members = (row.size - columns) // row_step + 1",
            "    rows = y.size // (members * half)",
            "    for p in range(members):",
            *self._loads_of_scalars(scalars),
            *(f"        {line}" for line in self._per_member),
        ]
        for index, name in self._names.items():
            if index not in self._varies:
                lines.append(f"        e_{name} = f({name})")
        lines += [
            "        row_u = row[p * row_step : p * row_step + half]",
            "        row_z = row[p * row_step + half : p * row_step + columns]",
            "        for r in range(p * rows, p * rows + rows):",
            "            u_ = both[r * columns : r * columns + half]",
            "            z_ = both[r * columns + half : r * columns + columns]",
            "            y_ = y[r * half : r * half + half]",
            "            a_ = a[r * half : r * half + half]",
            "            for i in range(half):",
            "                u_i = u_[i] + row_u[i]",
            "                z_i = z_[i] + row_z[i]",
        ]
        lines += [f"                {line}" for line in [*self._per_element, *stores]]
        return "\n".join(lines) + "\n"


def pull_gated(dy: Any, a: Any, both: Any, row: Any, step: Any, columns: Any) -> None:
    """both = [u, slope] (P, B, 2 O) <- [dy a, dy u slope]; row (P, 2 O) <- its sums over the batch

    `span_of` says what row, step and columns are.
    """
    half = columns // 2
    members = (row.size - columns) // step + 1
    rows = dy.size // (members * half)
    for p in range(members):
        total = row[p * step : p * step + columns]
        total[:] = f(0.0)
        for r in range(p * rows, p * rows + rows):
            line = both[r * columns : r * columns + columns]
            value = both[r * columns : r * columns + half]
            slope = both[r * columns + half : r * columns + columns]
            gradient = dy[r * half : r * half + half]
            gate = a[r * half : r * half + half]
            for j in range(half):
                # What was read is overwritten with its gradient, u last, since both need it.
                slope[j] = gradient[j] * value[j] * slope[j]
                value[j] = gradient[j] * gate[j]
            for j in range(columns):
                total[j] += line[j]


def gated(xp: Any, linear: Forward, gate: Forward, y: Array) -> Forward | None:
    """Return the forward of y = u f(z), [u, z] the output of a dense layer; None without loops.

    Its backward overwrites u and f'(z), and can be called once after each forward.

    Parameters
    ----------
    xp
        The array module.
    linear, gate
        The forward of the dense layer, and that of f as a layer.
    y
        A buffer (..., B, O).
    """
    affine: Affine | None = getattr(linear, "affine", None)
    pointwise: Pointwise | None = getattr(gate, "pointwise", None)
    if affine is None or pointwise is None or not compiles(xp, y.dtype):
        return None
    try:
        activate = _activation(affine, pointwise, y)
    except Unlowered:
        return None
    if activate is None:
        return None
    products = affine.products
    gradients = affine.gradients
    both = affine.y
    rest = (flat(pointwise.a), flat(both), *span_of(affine.db))
    pull = compile_written(pull_gated, [], flat(y), *rest)
    flatten = flattener("dy", y.dtype, y.shape)

    def backward(dy: Array) -> Array:
        pull(flatten(dy), *rest)
        return gradients(both)

    def forward(x: Array, train: bool) -> tuple[Array, Backward]:
        products(x)
        activate()
        return y, backward

    return forward


def _activation(affine: Affine, gate: Pointwise, y: Array) -> Callable[[], None] | None:
    """Return run(): [u, z] <- affine.y + b; a <- f(z), y <- u a, affine.y <- [u, f'(z)].

    None where f, the gate, is no expression; Unlowered where no compiled loop computes it.
    """
    graph = getattr(gate.value, "graph", None)
    slope: Any = getattr(gate.pullback, "slope", None)
    if graph is None or slope is None:
        return None
    root, given = graph
    u = root.graph.intern("input", "u")
    outputs = {"y": root.graph.intern("multiply", u, root), "a": root, "u": u, "z": slope}
    inputs = {**dict.fromkeys(given, "z"), u.index: "u"}
    refuse_functions(inputs, outputs, y.dtype.name)
    loop = _Halves(inputs, outputs, y.dtype.name).loop()
    scalars = [flat(scalar_of(node, y.shape)) for node in loop.scalars]
    numbers = np.array(loop.numbers, np.float64)
    rest = [*scalars, *span_of(affine.b), numbers]
    kernel = compile_loop(loop, [y] * len(loop.arrays), rest)
    return partial(kernel, flat(affine.y), flat(y), flat(gate.a), *rest)
