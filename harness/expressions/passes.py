"""A graph as NumPy passes over buffers that are ready."""

import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from harness.errors import UsageError
from harness.expressions.trace import SHAPES, Tracer, reachable, ufunc_of

Step = Callable[[], Any]

# The registers that the caller fills for each run; those after them hold numbers, arrays, buffers.
_OUT = 2
_OF_CALLER = 3


def runner(root: Tracer, given: dict[int, int]) -> Callable[..., None]:
    """Makes run(xp, z, a, out), which leaves the value of root in out.

    Parameters
    ----------
    root
        The node that is computed.
    given
        From the index of a node to 0, 1 or 2 where its value comes in z, a or out.
    """
    plans: dict[Any, Callable[..., None]] = {}

    def run(xp: Any, z: Any, a: Any, out: Any) -> None:
        key = (xp, z.shape, z.dtype)
        if key not in plans:
            if len(plans) >= SHAPES:
                plans.clear()
            plans[key] = _plan(xp, root, given, z)
        plans[key](z, a, out)

    return run


def _plan(xp: Any, root: Tracer, given: dict[int, int], z: Any) -> Callable[..., None]:
    """The run for arrays like z: all buffers are made here, and none later."""
    if z.dtype.kind != "f":
        raise UsageError(f"an activation must be given floats, got {z.dtype}; convert z")
    registers = _Registers(xp, z)
    steps = _Planner(registers, root, given, z).steps()
    contents = registers.contents

    def run(*arrays: Any) -> None:
        contents[:_OF_CALLER] = arrays
        with np.errstate(all="ignore"):  # the branch that np.where does not take may overflow
            for step in steps:
                step()
        # The arrays of the caller are not kept alive.
        contents[:_OF_CALLER] = None, None, None

    return run


class _Registers:
    """Numbers, arrays and buffers by their place in a list, which steps look up in each run."""

    def __init__(self, xp: Any, z: Any) -> None:
        self.xp = xp
        self.contents: list[Any] = [z] * _OF_CALLER
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

    def __init__(self, registers: _Registers, root: Tracer, given: dict[int, int], z: Any) -> None:
        self._registers = registers
        self._root = root
        self._given = given
        self._z = z
        self._register_of = dict(given)  # by the index of a node
        self._buffers: set[int] = set()
        self._nodes = reachable(root, given)
        # The position of the last node that reads each node.
        self._last_reader = {
            operand.index: position
            for position, node in enumerate(self._nodes)
            for operand in node.args
            if isinstance(operand, Tracer)
        }

    def steps(self) -> list[Step]:
        """The calls that leave the value of the root in out."""
        steps: list[Step] = []
        for position, node in enumerate(self._nodes):
            if node.op == "array":
                self._register_of[node.index] = self._constant(node)
            else:
                steps += self._steps_of(node, position)
        contents = self._registers.contents
        source = self._given.get(self._root.index, _OUT)
        if source != _OUT:  # the root itself is given
            copyto = self._registers.xp.copyto
            steps.append(lambda: copyto(contents[_OUT], contents[source]))
        return steps

    def _constant(self, node: Tracer) -> int:
        dtype = bool if node.boolean else self._z.dtype
        return self._registers.put(self._registers.xp.asarray(node.args[0], dtype=dtype))

    def _steps_of(self, node: Tracer, position: int) -> list[Step]:
        registers = self._registers
        operands = [self._operand(argument) for argument in node.args]
        shapes = (np.shape(registers.contents[operand]) for operand in operands)
        dtype = np.dtype(bool) if node.boolean else self._z.dtype
        kind = (np.broadcast_shapes(*shapes), dtype)
        dying = self._dying(node, position)
        out = self._out(node, operands, dying, kind)
        scratch = registers.take(kind) if node.op in _NEED_SCRATCH else -1
        for register in dying - {out}:
            registers.release(register, registers.kind(register))
        self._register_of[node.index] = out
        steps = _steps(registers.xp, node.op, registers.contents, operands, out, scratch)
        if scratch >= 0:
            registers.release(scratch, kind)
        return steps

    def _operand(self, argument: Any) -> int:
        if isinstance(argument, Tracer):
            return self._register_of[argument.index]
        return self._registers.put(argument)

    def _dying(self, node: Tracer, position: int) -> set[int]:
        """The buffers that no node after this one reads."""
        return self._buffers & {
            self._register_of[operand.index]
            for operand in node.args
            if isinstance(operand, Tracer) and self._last_reader[operand.index] == position
        }

    def _out(self, node: Tracer, operands: list[int], dying: set[int], kind: Any) -> int:
        """Where the value of a node goes: out, the buffer of an operand, or another buffer."""
        if node is self._root:
            self._check_shape(kind[0])
            return _OUT
        # np.where fills its result in two strokes: the only operand that it may overwrite is the
        # one that comes first.
        candidates = operands[2:] if node.op == "where" else operands
        for register in candidates:
            if register in dying and self._registers.kind(register) == kind:
                return register
        register = self._registers.take(kind)
        self._buffers.add(register)
        return register

    def _check_shape(self, shape: tuple[int, ...]) -> None:
        if shape != self._z.shape:
            raise UsageError(
                f"an activation must keep the shape {self._z.shape} of z, got {shape}; check its "
                f"arrays"
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
    if _is_finite_number(regs[x]) and _is_finite_number(regs[y]):
        return _where_of_numbers(xp, regs, c, regs[x], regs[y], o, t)
    fill = [] if y == o else [lambda: xp.copyto(regs[o], regs[y])]
    is_even = regs[c].shape == regs[o].shape and np.shape(regs[x]) in ((), regs[o].shape)
    if is_even and xp is np:  # twice as fast as a masked copy, but does not broadcast
        return [*fill, lambda: np.putmask(regs[o], regs[c], regs[x])]
    return [*fill, lambda: xp.copyto(regs[o], regs[x], where=regs[c])]


def _is_finite_number(value: Any) -> bool:
    return isinstance(value, float) and math.isfinite(value)


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
