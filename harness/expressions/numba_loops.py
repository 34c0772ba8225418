"""A graph as one compiled loop over the elements of arrays."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from harness.expressions.arguments import lower_formula, scalar_of
from harness.expressions.backend import flat, flattener, span_of
from harness.expressions.compiled import compile_loop
from harness.expressions.graph import Node
from harness.expressions.loops import lower
from harness.ops import Array

_NAMES = ("z", "a", "out")


def plan(root: Node, given: dict[int, int], z: Array) -> Callable[..., None]:
    """Make run(z, a, out) for arrays like z; it leaves the value of root in out.

    Parameters
    ----------
    root
        The node that is computed.
    given
        From the index of a node to 0, 1 or 2 where its value comes in z, a or out.

    Raises
    ------
    Unlowered
        If no compiled loop computes the graph.
    """
    loop = lower(
        {index: _NAMES[place] for index, place in given.items()}, {"out": root}, z.dtype.name
    )
    places = [_NAMES.index(name) for name in loop.arrays]
    shape = z.shape
    scalars = [flat(scalar_of(node, shape)) for node in loop.scalars]
    numbers = np.array(loop.numbers, np.float64)
    rest = (*scalars, numbers)
    kernel = compile_loop(loop, [z] * len(places), rest)
    flatteners = [
        (place, flattener("dy" if place == 2 else "x", z.dtype, shape)) for place in places
    ]
    at = places.index(2)

    def run(*arrays: Array) -> None:
        rows = [flatten(arrays[place]) for place, flatten in flatteners]
        kernel(*rows, *rest)
        if rows[at].base is None:  # a copy
            arrays[2][...] = rows[at].reshape(shape)

    return run


def plan_with_row(
    outputs: dict[int, Node],
    given: dict[int, int],
    row: Array,
    arrays: list[Any],
    sums: bool,
) -> Callable[..., None]:
    """Make run(*arrays), which does what a plan does and something with rows in the same call.

    Parameters
    ----------
    outputs
        From 0, 1 or 2, for z, a or out, to the node whose values are left there.
    given
        As of `plan`.
    row
        One row (..., 1, O) for each member.
    arrays
        z, a and out, None for those that come with each call, in flat form.
    sums
        False: the row is added to z (..., B, O) first. True: it is filled with the sums of out
        over the batch at the end.

    Raises
    ------
    Unlowered
        If no compiled loop computes the graph.
    """
    names = {index: _NAMES[place] for index, place in given.items()}
    option = {"sum_rows_of": "out"} if sums else {"add_row_to": "z"}
    new = {_NAMES[place]: node for place, node in outputs.items()}
    like = next(array for array in arrays if array is not None)
    loop = lower(names, new, like.dtype.name, **option)
    shape = like.shape
    rest: list[Any] = [flat(scalar_of(node, shape)) for node in loop.scalars]
    rest += [*span_of(row), np.array(loop.numbers, np.float64)]
    kernel = compile_loop(loop, [row] * len(loop.arrays), rest)
    places = [_NAMES.index(name) for name in loop.arrays]
    missing = [place for place in places if arrays[place] is None]
    kept = [None if arrays[place] is None else arrays[place].reshape(-1) for place in places]
    if not missing:
        return partial(kernel, *kept, *rest)
    (place,) = missing
    at = places.index(place)
    before = kept[:at]
    after = [*kept[at + 1 :], *rest]

    flatten = flattener("dy", like.dtype, shape)

    def run(array: Array) -> None:
        row = flatten(array)
        kernel(*before, row, *after)
        if row.base is None:  # a copy
            array[...] = row.reshape(shape)

    return run


def plan_into(
    inputs: dict[Node, str],
    outputs: dict[str, Any],
    written: dict[str, Array],
    come: tuple[str, ...],
) -> Callable[..., None]:
    """Make run(*arrays), which leaves the values of some nodes in arrays that stay.

    Parameters
    ----------
    inputs
        From a node to the name of the array in which its values come.
    outputs
        From the name of an array to the node, or the number, whose values it is given.
    written
        The arrays (..., B, O) of those names, of one shape and type.
    come
        The names of the arrays of a run, of that shape, in their order there.

    Raises
    ------
    Unlowered
        If no compiled loop computes the graph.
    """
    like = next(iter(written.values()))
    loop = lower({node.index: name for node, name in inputs.items()}, outputs, like.dtype.name)
    rest: list[Any] = [flat(scalar_of(node, like.shape)) for node in loop.scalars]
    rest.append(np.array(loop.numbers, np.float64))
    kernel = compile_loop(loop, [like] * len(loop.arrays), rest)
    flatteners = {name: flattener(name, like.dtype, like.shape) for name in come}
    rows = {name: flat(array) for name, array in written.items()}

    def run(*arrays: Array) -> None:
        for name, array in zip(come, arrays, strict=True):
            rows[name] = flatteners[name](array)
        kernel(*[rows[name] for name in loop.arrays], *rest)

    return run


def plan_formula(
    read: dict[str, Node], new: dict[str, Any], arrays: Mapping[str, Array], decayed: int
) -> Callable[[Array], None]:
    """Make run(u), which computes some nodes of a formula from u and from arrays that stay.

    Parameters
    ----------
    read
        The nodes of the arrays, by name; the first one is u.
    new
        What becomes of arrays, by name.
    arrays
        The arrays themselves, all but u.
    decayed
        How many parameters decay; they come first.

    Raises
    ------
    Unlowered
        If no compiled loop computes the graph, or passes take less time.
    """
    theta = arrays["theta"]
    loop, names = lower_formula(lower, read, new, theta.dtype.name)
    first = next(iter(read))
    others = [flat(arrays[name]) for name in names if name != first]
    rest: list[Any] = [flat(node.args[0]) for node in loop.scalars]
    rest.append(np.array(loop.numbers, np.float64))
    if loop.in_parts:
        rest += [theta.size // theta.shape[-1], decayed]
    at = names.index(first)
    before = others[:at]
    after = [*others[at:], *rest]
    kernel = compile_loop(loop, [theta] * len(loop.arrays), rest)

    shape = theta.shape
    flatten = flattener("u", theta.dtype, shape)

    def run(u: Array) -> None:
        row = flatten(u)
        kernel(*before, row, *after)
        if row.base is None:  # a copy
            u[...] = row.reshape(shape)

    return run
