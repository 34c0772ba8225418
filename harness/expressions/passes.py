"""A graph as NumPy passes over buffers that are ready."""

import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from harness.errors import UsageError
from harness.expressions.graph import Node, reachable
from harness.expressions.simplify import ufunc_of

Step = Callable[[], Any]

_OUT = 2  # the place of `out` among the arrays of an activation


def plan(xp: Any, root: Node, given: dict[int, int], z: Any) -> Callable[..., None]:
    """Make run(z, a, out) for arrays like z; it leaves the value of root in out.

    Parameters
    ----------
    xp
        The array module.
    root
        The node that is computed.
    given
        From the index of a node to 0, 1 or 2 where its value comes in z, a or out.
    z
        An array of the shape and type of all three.
    """
    if z.dtype.kind != "f":
        raise UsageError(f"an activation must be given floats, got {z.dtype}; convert z")
    return plan_many(xp, given, {_OUT: root}, z, 3)


def plan_many(
    xp: Any, inputs: dict[int, int], outputs: dict[int, Any], like: Any, count: int
) -> Callable[..., None]:
    """Make run(*arrays), which leaves the values of several nodes in arrays that it is given.

    All buffers are made here, and none in a run.

    Parameters
    ----------
    xp
        The array module.
    inputs
        From the index of a node to the place of the array in which its values come.
    outputs
        From the place of an array to the node whose values it is given. An array may come in and
        go out: it is read before it is written.
    like
        An array of their shape and type.
    count
        How many arrays there are.
    """
    registers = _Registers(xp, like, count)
    steps = _Planner(registers, inputs, outputs, like).steps()
    contents = registers.contents
    nothing = [None] * count

    def run(*arrays: Any) -> None:
        contents[:count] = arrays
        with np.errstate(all="ignore"):  # the branch that np.where does not take may overflow
            for step in steps:
                step()
        # The arrays of the caller are not kept alive.
        contents[:count] = nothing

    return run


class _Registers:
    """Numbers, arrays and buffers by their place in a list, which steps look up in each run.

    The first ones hold the arrays of the caller.
    """

    def __init__(self, xp: Any, like: Any, count: int) -> None:
        self.xp = xp
        self.contents: list[Any] = [like] * count
        self._free: defaultdict[Any, list[int]] = defaultdict(list)

    def put(self, content: Any) -> int:
        self.contents.append(content)
        return len(self.contents) - 1

    def kind(self, register: int) -> Any:
        array = self.contents[register]
        return array.shape, array.dtype

    def take(self, kind: Any) -> int:
        """A buffer of a shape and dtype that is free, or a new one."""
        free = self._free[kind]
        if free:
            return free.pop()
        return self.put(self.xp.empty(*kind))

    def release(self, register: int, kind: Any) -> None:
        self._free[kind].append(register)


class _Planner:
    """Goes through the nodes once, operands first, and gives each a register for its value.

    A buffer is used again as soon as no later node reads it.
    """

    def __init__(
        self, registers: _Registers, inputs: dict[int, int], outputs: dict[int, Any], like: Any
    ) -> None:
        self._registers = registers
        self._inputs = inputs
        self._outputs = outputs
        self._like = like
        self._register_of = dict(inputs)  # by the index of a node
        self._buffers: set[int] = set()
        self._cast: dict[int, int] = {}  # scalars in the type of the arrays, by register
        nodes = {node.index: node for root in outputs.values() for node in reachable(root, inputs)}
        self._nodes = [nodes[index] for index in sorted(nodes)]
        # The position of the last node that reads each node; outputs are read at the end.
        self._last_reader = {
            operand.index: position
            for position, node in enumerate(self._nodes)
            for operand in node.args
            if isinstance(operand, Node)
        }
        roots = [root.index for root in outputs.values() if isinstance(root, Node)]
        self._is_root = set(roots)
        self._goes_to = {
            root.index: place
            for place, root in outputs.items()
            if isinstance(root, Node) and roots.count(root.index) == 1
        }

    def steps(self) -> list[Step]:
        """The calls that leave the values of the outputs in their arrays."""
        steps: list[Step] = []
        for position, node in enumerate(self._nodes):
            if node.op == "array":
                self._register_of[node.index] = self._constant(node)
            else:
                steps += self._steps_of(node, position)
        sources = {place: self._operand(root) for place, root in self._outputs.items()}
        moves = {place: source for place, source in sources.items() if place != source}
        writes: list[Step] = []
        for place, source in moves.items():
            # What comes in one array may go out in another, whose first values go elsewhere again.
            is_overwritten = source in moves
            aside = self._registers.take(self._registers.kind(source)) if is_overwritten else source
            if is_overwritten:
                steps.append(self._copy(aside, source))
            writes.append(self._copy(place, aside))
        return steps + writes

    def _copy(self, to: int, source: int) -> Step:
        contents = self._registers.contents
        copyto = self._registers.xp.copyto
        return lambda: copyto(contents[to], contents[source])

    def _constant(self, node: Node) -> int:
        content = node.args[0]
        # A scalar in float64 stays so, and keeps its digits until it meets the arrays.
        wide = content.dtype == np.float64 and content.size < self._like.size
        dtype = bool if node.boolean else content.dtype if wide else self._like.dtype
        return self._registers.put(self._registers.xp.asarray(content, dtype=dtype))

    def _steps_of(self, node: Node, position: int) -> list[Step]:
        registers = self._registers
        operands = [self._operand(argument) for argument in node.args]
        shapes = [np.shape(registers.contents[operand]) for operand in operands]
        shape = np.broadcast_shapes(*shapes)
        casts: list[Step] = []
        dtype = self._dtype(operands, shape)
        operands = [self._in_dtype(operand, dtype, casts) for operand in operands]
        kind = (shape, np.dtype(bool) if node.boolean else dtype)
        dying = self._dying(node, position)
        out = self._out(node, operands, dying, kind, position)
        scratch = registers.take(kind) if node.op in _NEED_SCRATCH else -1
        for register in dying - {out}:
            registers.release(register, registers.kind(register))
        self._register_of[node.index] = out
        steps = _steps(registers.xp, node.op, registers.contents, operands, out, scratch)
        if scratch >= 0:
            registers.release(scratch, kind)
        return casts + steps

    def _dtype(self, operands: list[int], shape: tuple[int, ...]) -> Any:
        """The type of a result: float64 where all operands are scalars in float64."""
        dtypes = {getattr(self._registers.contents[operand], "dtype", None) for operand in operands}
        narrow = shape == self._like.shape or np.float64 not in dtypes
        return self._like.dtype if narrow else np.dtype(np.float64)

    def _in_dtype(self, register: int, dtype: Any, casts: list[Step]) -> int:
        """A register that holds a scalar in the type of the arrays, written anew in each run."""
        content = self._registers.contents[register]
        if getattr(content, "dtype", np.dtype(bool)) in (dtype, np.dtype(bool)):
            return register
        if register not in self._cast:
            self._cast[register] = self._registers.take((content.shape, dtype))
        target = self._cast[register]
        casts.append(self._copy(target, register))
        return target

    def _operand(self, argument: Any) -> int:
        if isinstance(argument, Node):
            return self._register_of[argument.index]
        return self._registers.put(argument)

    def _dying(self, node: Node, position: int) -> set[int]:
        """The buffers that no node after this one reads."""
        return self._buffers & {
            self._register_of[operand.index]
            for operand in node.args
            if isinstance(operand, Node)
            and self._last_reader[operand.index] == position
            and operand.index not in self._is_root
        }

    def _out(
        self, node: Node, operands: list[int], dying: set[int], kind: Any, position: int
    ) -> int:
        """Where the value of a node goes: its array, the buffer of an operand, or another one."""
        if node.index in self._goes_to:
            self._check_shape(kind[0])
            place = self._goes_to[node.index]
            if self._is_read(place, operands, node, position):
                return place
        # np.where fills its result in two strokes: the only operand that it may overwrite is the
        # one that comes first.
        candidates = operands[2:] if node.op == "where" else operands
        for register in candidates:
            if register in dying and self._registers.kind(register) == kind:
                return register
        register = self._registers.take(kind)
        self._buffers.add(register)
        return register

    def _is_read(self, place: int, operands: list[int], node: Node, position: int) -> bool:
        """Whether nothing after a node reads what an array of the caller held before.

        With one output alone the caller takes care of that.
        """
        if len(self._outputs) == 1:
            return True
        readers = [
            self._last_reader.get(index, -1)
            for index, register in self._inputs.items()
            if register == place
        ]
        held = any(
            self._inputs.get(getattr(root, "index", -1)) == place for root in self._outputs.values()
        )
        if held or max(readers, default=-1) > position:
            return False
        return node.op not in _NEED_SCRATCH or place not in operands

    def _check_shape(self, shape: tuple[int, ...]) -> None:
        if shape != self._like.shape:
            raise UsageError(
                f"an expression must keep the shape {self._like.shape} of z, got {shape}; check "
                f"its arrays"
            )


_NEED_SCRATCH = ("logaddexp", "log_expit", "where")


def _steps(xp: Any, op: str, regs: list[Any], operands: list[int], o: int, t: int) -> list[Step]:
    """The calls that leave op of the operands in register o; t: scratch for _NEED_SCRATCH."""
    if op == "logaddexp":
        return _logaddexp(xp, regs, operands, o, t)
    if op == "log_expit":
        return _log_expit(xp, regs, operands[0], o, t)
    if op == "where":
        return _where(xp, regs, operands, o, t)
    return _ufunc(xp, op, regs, operands, o)


def _softplus(xp: Any, regs: list[Any], t: int) -> list[Step]:
    """t <- log(1 + exp(-|t|))"""
    calls = (xp.absolute, xp.negative, xp.exp, xp.log1p)
    return [lambda f=f: f(regs[t], out=regs[t]) for f in calls]  # type: ignore[misc]


def _logaddexp(xp: Any, regs: list[Any], operands: list[int], o: int, t: int) -> list[Step]:
    """max(u, v) + log(1 + exp(-|u - v|)), ten times faster than the ufunc"""
    i, j = operands
    return [
        lambda: xp.subtract(regs[i], regs[j], out=regs[t]),
        *_softplus(xp, regs, t),
        lambda: xp.maximum(regs[i], regs[j], out=regs[o]),
        lambda: xp.add(regs[o], regs[t], out=regs[o]),
    ]


def _log_expit(xp: Any, regs: list[Any], i: int, o: int, t: int) -> list[Step]:
    """min(u, 0) - log(1 + exp(-|u|))"""
    return [
        lambda: xp.copyto(regs[t], regs[i]),
        *_softplus(xp, regs, t),
        lambda: xp.minimum(regs[i], 0.0, out=regs[o]),
        lambda: xp.subtract(regs[o], regs[t], out=regs[o]),
    ]


def _ufunc(xp: Any, op: str, regs: list[Any], operands: list[int], o: int) -> list[Step]:
    f = ufunc_of(xp, op)
    i = operands[0]
    j = operands[-1]
    if len(operands) == 1:
        return [lambda: f(regs[i], out=regs[o])]
    members = 1
    if regs[o].ndim == 3 and np.shape(regs[j]) == (len(regs[o]), 1, 1):
        members = len(regs[o])
    if op != "power" or xp is not np or members == 1:
        return [lambda: f(regs[i], regs[j], out=regs[o])]

    # NumPy squares where all of an exponent is one 2, which has other bits than pow. So each member
    # is computed as if it were alone.
    def row(register: int, p: int) -> Any:
        return regs[register][p] if np.ndim(regs[register]) else regs[register]

    rows = range(members)
    return [lambda p=p: f(row(i, p), row(j, p), out=regs[o][p]) for p in rows]  # type: ignore[misc]


def _where(xp: Any, regs: list[Any], operands: list[int], o: int, t: int) -> list[Step]:
    c, x, y = operands
    if _is_ordinary(regs[x]) and _is_ordinary(regs[y]):
        return _where_of_numbers(xp, regs, c, regs[x], regs[y], o, t)
    fill = [] if y == o else [lambda: xp.copyto(regs[o], regs[y])]
    is_even = regs[c].shape == regs[o].shape and np.shape(regs[x]) in ((), regs[o].shape)
    if is_even and xp is np:  # twice as fast as a masked copy, but does not broadcast
        return [*fill, lambda: np.putmask(regs[o], regs[c], regs[x])]
    return [*fill, lambda: xp.copyto(regs[o], regs[x], where=regs[c])]


def _is_ordinary(value: Any) -> bool:
    """Whether a value is a number that a sum of products gives back: finite, and not -0."""
    if not isinstance(value, float) or not math.isfinite(value):
        return False
    return value != 0.0 or math.copysign(1.0, value) > 0.0


def _where_of_numbers(
    xp: Any, regs: list[Any], c: int, p: float, q: float, o: int, t: int
) -> list[Step]:
    """c * p + (c - 1) * -q, exactly, and several times faster than a masked copy"""
    steps: list[Step] = [lambda: xp.copyto(regs[o], regs[c])]
    if p != 1.0:
        steps.append(lambda: xp.multiply(regs[o], p, out=regs[o]))
    if q != 0.0:
        steps += [
            lambda: xp.copyto(regs[t], regs[c]),
            lambda: xp.subtract(regs[t], 1.0, out=regs[t]),
            lambda: xp.multiply(regs[t], -q, out=regs[t]),
            lambda: xp.add(regs[o], regs[t], out=regs[o]),
        ]
    return steps
