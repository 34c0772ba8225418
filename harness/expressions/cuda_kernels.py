"""A graph as one launch of a kernel on a GPU, over arrays of CuPy."""

from collections.abc import Callable, Mapping
from functools import partial
from operator import is_
from typing import Any

import numpy as np

from harness.expressions.arguments import lower_formula, scalar_of
from harness.expressions.backend import check_shape
from harness.expressions.cuda import lower
from harness.expressions.graph import Node
from harness.expressions.loops import Loop, Unlowered
from harness.ops import Array, ops_for

_NAMES = ("z", "a", "out")
_CALLED = {"z": "x", "a": "the output", "out": "dy"}  # as messages call them


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
        If no kernel computes the graph.
    """
    if given.get(root.index) == _NAMES.index("out"):
        return lambda *arrays: None  # it is there already
    names = {index: _NAMES[place] for index, place in given.items()}
    loop = lower(names, {"out": root}, z.dtype.name)
    scalars = [scalar_of(node, z.shape) for node in loop.scalars]
    called = {name: _CALLED[name] for name in loop.arrays}
    launch = _launcher(loop, called, {"out"}, z, scalars, z.shape[0] if z.ndim == 3 else 1)
    places = [_NAMES.index(name) for name in loop.arrays]
    return lambda *arrays: launch([arrays[place] for place in places])


def plan_with_row(root: Node, given: dict[int, int], row: Array, z: Array, a: Array) -> Any:
    """Make run(), which adds a row (..., 1, O) to z (..., B, O) and leaves the value of root in a.

    Parameters
    ----------
    root, given
        As of `plan`; the values come in z alone.
    row
        One for each member.
    z, a
        Arrays of one shape and type.

    Raises
    ------
    Unlowered
        If no kernel computes the graph.
    """
    (index,) = given
    loop = lower({index: "z"}, {"a": root}, z.dtype.name, add_row_to="z")
    scalars = [scalar_of(node, z.shape) for node in loop.scalars]
    members = z.shape[0] if z.ndim == 3 else 1
    launch = _launcher(loop, {"z": "z", "a": "a"}, {"z", "a"}, z, scalars, members, row=row)
    arrays = [{"z": z, "a": a}[name] for name in loop.arrays]
    return partial(launch, arrays)


def plan_arrays(
    inputs: dict[Node, str], outputs: dict[str, Any], like: Array
) -> Callable[..., None]:
    """Make run(**arrays), which leaves the values of some nodes in arrays.

    Parameters
    ----------
    inputs
        From a node to the name of the array in which its values come.
    outputs
        From the name of an array to the node, or the number, whose values it is given. An array
        may come in and go out.
    like
        An array (..., B, O) of the shape and type of all. One that is only read may be (B, O).

    Raises
    ------
    Unlowered
        If no kernel computes the graph.
    """
    names = {node.index: name for node, name in inputs.items()}
    loop = lower(names, outputs, like.dtype.name)
    scalars = [scalar_of(node, like.shape) for node in loop.scalars]
    called = {name: name for name in loop.arrays}
    members = like.shape[0] if like.ndim == 3 else 1
    launch = _launcher(loop, called, set(outputs), like, scalars, members)
    return lambda **arrays: launch([arrays[name] for name in loop.arrays])


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
        The arrays (..., n) themselves, all but u.
    decayed
        How many parameters decay; they come first.

    Raises
    ------
    Unlowered
        If no kernel computes the graph.
    """
    theta = arrays["theta"]
    loop, names = lower_formula(lower, read, new, theta.dtype.name)
    members = theta.shape[0] if theta.ndim == 2 else 1
    scalars = [node.args[0] for node in loop.scalars]
    called = dict(zip(loop.arrays, names, strict=True))
    written = {x for x, name in called.items() if name in new}
    launch = _launcher(loop, called, written, theta, scalars, members, decayed)
    first = next(iter(read))
    return lambda u: launch([u if name == first else arrays[name] for name in names])


def _launcher(
    loop: Loop,
    called: dict[str, str],
    written: set[str],
    like: Array,
    scalars: list[Array],
    members: int,
    decayed: int = 0,
    row: Array = None,
) -> Callable[[list[Array]], None]:
    """Return launch(arrays) for the arrays of a loop, in its order, which are like one of them.

    `called` has what errors call each, and `written` the names of those that it writes.
    """
    ops = ops_for("gpu")
    kernel = ops.kernel(loop.source)
    n = like.size // members
    chunks = max(1, min(-(-n // ops.THREADS), ops.BLOCKS // members))
    rest = [argument for scalar in scalars for argument in pointer(ops, scalar, members)]
    rest += [np.float64(number) for number in loop.numbers]
    rest += [np.int64(n), np.int64(chunks)]
    if loop.in_parts:
        rest.append(np.int64(decayed))
    if row is not None:
        # As a parameter it lies in the arena, one member behind the other.
        step = row.strides[0] // row.dtype.itemsize if row.ndim == 3 else 0
        rest += [row, np.int64(step), np.int64(row.shape[-1])]
    kinds = [(called[name], name in written) for name in loop.arrays]

    nothing: list[Any] = [None] * len(kinds)
    seen = nothing  # the arrays of the last launch, which mostly come again
    ready: tuple[Any, ...] = ()

    def launch(arrays: list[Array]) -> None:
        nonlocal seen, ready
        if all(map(is_, arrays, seen)):
            kernel(members * chunks, ready)
            return
        arguments, copies = _plain(ops, arrays, kinds, like, n)
        ready = (*arguments, *rest)
        # A copy is of what an array holds now, and must be made anew.
        seen = nothing if copies else arrays
        kernel(members * chunks, ready)
        for array, plain, is_written in copies:
            if is_written:
                array[...] = plain

    return launch


def _plain(
    ops: Any, arrays: list[Array], kinds: list[tuple[str, bool]], like: Array, n: int
) -> tuple[list[Any], list[tuple[Array, Array, bool]]]:
    """Arrays as arguments, and the copies among them, with the array and whether it is written."""
    arguments = []
    copies = []
    for array, (name, is_written) in zip(arrays, kinds, strict=True):
        shared = not is_written and _is_shared(array, like)
        if not shared:
            check_shape(name, array, like.shape)
        plain = array[0] if shared and array.ndim == like.ndim else array
        plain = in_rows(ops, plain, like.dtype)
        arguments.append(plain)
        if not is_written:
            arguments.append(np.int64(0 if shared else n))
        if plain is not array:
            copies.append((array, plain, is_written))
    return arguments, copies


def in_rows(ops: Any, array: Array, dtype: Any) -> Array:
    """Return an array as a kernel takes it: the same one, or a copy where it lies in another way.

    Parameters
    ----------
    ops
        The operations of the GPU.
    array
        Any.
    dtype
        What the kernel reads.
    """
    if array.flags.c_contiguous and array.dtype == dtype:
        return array
    return ops.asarray(array, dtype)


def pointer(ops: Any, scalar: Array, members: int) -> list[Any]:
    """Return a scalar and its step from member to member, as arguments.

    The kernel reads it where it lies, so that it sees what becomes of it.

    Parameters
    ----------
    ops
        The operations of the GPU.
    scalar
        One number, or one for each member.
    members
        How many there are.

    Raises
    ------
    Unlowered
        If it is no scalar.
    """
    if scalar.size not in (1, members) or not scalar.flags.c_contiguous:
        raise Unlowered(f"an array {scalar.shape}")
    return [ops.asarray(scalar), np.int64(scalar.size > 1)]


def _is_shared(array: Array, like: Array) -> bool:
    """Whether the members of a population have one array (B, O) together, as it is or broadcast."""
    if like.ndim < 3:
        return False
    return array.shape == like.shape[1:] or (array.shape == like.shape and not array.strides[0])
