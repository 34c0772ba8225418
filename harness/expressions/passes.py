"""A graph as NumPy passes over buffers that are ready."""

import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from harness.errors import UsageError
from harness.expressions.trace import SHAPES, Tracer, reachable, ufunc_of


def runner(root: Tracer, given: dict[int, int]) -> Callable[..., None]:
    """run(xp, z, a, out), which leaves root in out

    given: index of a node -> 0, 1, 2 if it comes in z, a, out.
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
    """The run of `_runner` for arrays like z."""
    if z.dtype.kind != "f":
        raise UsageError(f"an activation must be given floats, got {z.dtype}; convert z")
    regs: list[Any] = [z, z, z]  # registers: z, a, out, then numbers, arrays and buffers
    steps: list[Callable[[], Any]] = []
    place = dict(given)
    buffers = set[int]()
    free = defaultdict[Any, list[int]](list)
    nodes = reachable(root, given)
    last = {a.index: i for i, n in enumerate(nodes) for a in n.args if isinstance(a, Tracer)}

    def put(content: Any) -> int:
        regs.append(content)
        return len(regs) - 1

    def kind(r: int) -> Any:
        return regs[r].shape, regs[r].dtype

    for i, n in enumerate(nodes):
        if n.op == "array":
            place[n.index] = put(xp.asarray(n.args[0], dtype=bool if n.boolean else z.dtype))
            continue
        ins = [place[a.index] if isinstance(a, Tracer) else put(a) for a in n.args]
        wanted = (
            np.broadcast_shapes(*(np.shape(regs[r]) for r in ins)),
            np.dtype(bool) if n.boolean else z.dtype,
        )
        dying = {
            place[a.index] for a in n.args if isinstance(a, Tracer) and last[a.index] == i
        } & buffers
        # np.where fills its result in two strokes: the only operand that it may overwrite is the
        # one that comes first
        o = next(
            (r for r in (ins[2:] if n.op == "where" else ins) if r in dying and kind(r) == wanted),
            -1,
        )
        if n is root:
            o = 2
            if wanted[0] != z.shape:
                raise UsageError(
                    f"an activation must keep the shape {z.shape} of z, got "
                    f"{wanted[0]}; check its arrays"
                )
        elif o < 0:
            o = free[wanted].pop() if free[wanted] else put(xp.empty(*wanted))
            buffers.add(o)
        t = -1
        if n.op in _SCRATCH:
            t = free[wanted].pop() if free[wanted] else put(xp.empty(*wanted))
        for r in dying - {o}:
            free[kind(r)].append(r)
        place[n.index] = o
        steps += _steps(xp, n.op, regs, ins, o, t)
        if t >= 0:
            free[wanted].append(t)
    if given.get(root.index, 2) != 2:
        steps.append(lambda: xp.copyto(regs[2], regs[given[root.index]]))

    def run(*arrays: Any) -> None:
        regs[:3] = arrays
        with np.errstate(all="ignore"):  # the branch that np.where does not take may overflow
            for step in steps:
                step()
        regs[:3] = None, None, None

    return run


_SCRATCH = ("logaddexp", "log_expit", "where")


def _softplus(xp: Any, regs: list[Any], t: int) -> list[Callable[[], Any]]:
    """t <- log(1 + exp(-|t|))"""
    calls = (xp.absolute, xp.negative, xp.exp, xp.log1p)
    return [lambda f=f: f(regs[t], out=regs[t]) for f in calls]  # type: ignore[misc]


def _steps(
    xp: Any, op: str, regs: list[Any], ins: list[int], o: int, t: int
) -> list[Callable[[], Any]]:
    """The calls that leave op of the registers `ins` in register o

    t: scratch for the operations of _SCRATCH.
    """
    if op == "logaddexp":  # as max(u, v) + log(1 + exp(-|u - v|)), ten times faster than the ufunc
        i, j = ins
        return [
            lambda: xp.subtract(regs[i], regs[j], out=regs[t]),
            *_softplus(xp, regs, t),
            lambda: xp.maximum(regs[i], regs[j], out=regs[o]),
            lambda: xp.add(regs[o], regs[t], out=regs[o]),
        ]
    if op == "log_expit":  # min(u, 0) - log(1 + exp(-|u|))
        i = ins[0]
        return [
            lambda: xp.copyto(regs[t], regs[i]),
            *_softplus(xp, regs, t),
            lambda: xp.minimum(regs[i], 0.0, out=regs[o]),
            lambda: xp.subtract(regs[o], regs[t], out=regs[o]),
        ]
    if op != "where":
        f = ufunc_of(xp, op)
        i = ins[0]
        j = ins[-1]
        members = (
            len(regs[o]) if regs[o].ndim == 3 and np.shape(regs[j]) == (len(regs[o]), 1, 1) else 1
        )
        if op == "power" and xp is np and members > 1:
            # NumPy squares where all of an exponent is one 2, which has other bits than pow: so
            # each member as alone
            def row(r: int, p: int) -> Any:
                return regs[r][p] if np.ndim(regs[r]) else regs[r]

            return [lambda p=p: f(row(i, p), row(j, p), out=regs[o][p]) for p in range(members)]  # type: ignore[misc]
        return [
            (lambda: f(regs[i], out=regs[o]))
            if len(ins) == 1
            else (lambda: f(regs[i], regs[j], out=regs[o]))
        ]
    c, x, y = ins
    p = regs[x]
    q = regs[y]
    if isinstance(p, float) and isinstance(q, float) and math.isfinite(p) and math.isfinite(q):
        # two numbers: c * p + (c - 1) * -q, exactly, several times faster than a masked copy
        return [
            lambda: xp.copyto(regs[o], regs[c]),
            *([] if p == 1.0 else [lambda: xp.multiply(regs[o], p, out=regs[o])]),
            *([] if q == 0.0 else [lambda: xp.copyto(regs[t], regs[c])]),
            *([] if q == 0.0 else [lambda: xp.subtract(regs[t], 1.0, out=regs[t])]),
            *([] if q == 0.0 else [lambda: xp.multiply(regs[t], -q, out=regs[t])]),
            *([] if q == 0.0 else [lambda: xp.add(regs[o], regs[t], out=regs[o])]),
        ]
    even = regs[c].shape == regs[o].shape and np.shape(regs[x]) in ((), regs[o].shape)
    fill = [] if y == o else [lambda: xp.copyto(regs[o], regs[y])]
    if even and xp is np:  # twice as fast as a masked copy, but does not broadcast
        return [*fill, lambda: np.putmask(regs[o], regs[c], regs[x])]
    return [*fill, lambda: xp.copyto(regs[o], regs[x], where=regs[c])]
