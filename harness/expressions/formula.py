"""A formula over several arrays and scalars: what an update rule does to each parameter."""

import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from harness.errors import UsageError
from harness.expressions import passes
from harness.expressions.backend import compiles, launches
from harness.expressions.graph import Graph, Node, number
from harness.expressions.trace import Tracer, operand
from harness.expressions.words import lines
from harness.ops import Array

# What a formula may ask for by keyword besides its own scalars.
THETA = "theta"
DECAYS = "decays"
STEP = "step"


class Formula:
    """A function of arrays and scalars, in the words of NumPy, that is traced and not called.

    Attributes
    ----------
    arrays
        The names of the arrays that it reads, the first of which is the gradient; it returns
        the update, and after it the new values of the others in this order.
    scalars
        The names of its keywords, `theta` and `decays` among them.
    before
        before(arena, state) sets scalars before each step; None for nothing. Whoever runs the
        formula calls it.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.before: Callable[[Any, dict[str, Any]], Any] | None = None
        parameters = inspect.signature(function).parameters.values()
        self.arrays = tuple(p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD)
        self.scalars = tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)
        if not self.arrays or len(self.arrays) + len(self.scalars) < len(parameters):
            raise UsageError(
                f"a formula must take the gradient and its arrays by position, and its scalars as "
                f"keywords after a *, got {inspect.signature(function)}; write it as "
                f"def step(g, m, *, learning_rate)"
            )

    @classmethod
    def joined(cls, formulas: Mapping[str, "Formula"]) -> "Formula":
        """Return one formula of several: each takes the update of the one before it.

        Parameters
        ----------
        formulas
            By what is put before the names of their arrays and scalars: v of the formula "1" is
            1_v in the one that is returned. `theta`, `decays` and `step` are the same for all.
        """

        def new_name(key: str, name: str) -> str:
            return name if name in (THETA, DECAYS, STEP) else f"{key}_{name}"

        def step(u: Any, *arrays: Any, **scalars: Any) -> tuple[Any, ...]:
            left = list(arrays)
            changed: list[Any] = []
            for key, formula in formulas.items():
                own = [left.pop(0) for _ in formula.arrays[1:]]
                keywords = {name: scalars[new_name(key, name)] for name in formula.scalars}
                u, *new = formula._traced([u, *own], keywords).values()
                changed += new
            return u, *changed

        one = cls.__new__(cls)
        one._function = step
        pairs = formulas.items()
        one.arrays = ("u", *(f"{key}_{name}" for key, each in pairs for name in each.arrays[1:]))
        scalars = [new_name(key, name) for key, each in pairs for name in each.scalars]
        one.scalars = tuple(dict.fromkeys(scalars))
        return one

    def plan(
        self,
        xp: Any,
        arrays: Mapping[str, Array],
        scalars: Mapping[str, Array],
        decayed: int,
        adds: bool,
    ) -> Callable[[Array], None]:
        """Make run(u): the gradient in, the update out; the other arrays get their new values.

        Parameters
        ----------
        xp
            The array module.
        arrays
            The arrays (..., n) by name, and the parameters as "theta". They are the same in each
            run, and so is what holds the scalars.
        scalars
            The scalars (..., 1) by name, read anew in each run.
        decayed
            How many of the n parameters decay; they come first.
        adds
            Whether the update is added to the parameters too.
        """
        dtype = arrays[THETA].dtype
        if compiles(xp, dtype) or launches(xp, dtype):
            from harness.expressions.loops import Unlowered

            # Of a scalar some functions are known to SciPy alone.
            with suppress(Unlowered):
                return self._plan(xp, arrays, scalars, decayed, adds, compiled=True)
        return self._plan(xp, arrays, scalars, decayed, adds, compiled=False)

    def _plan(
        self,
        xp: Any,
        arrays: Mapping[str, Array],
        scalars: Mapping[str, Array],
        decayed: int,
        adds: bool,
        compiled: bool,
    ) -> Callable[[Array], None]:
        """What `plan` makes, in one loop or kernel, or in passes of the array module."""
        theta = arrays[THETA]
        graph = Graph(Tracer)
        read = {name: graph.intern("input", name) for name in (*self.arrays, THETA)}
        given = {name: operand(graph, array) for name, array in scalars.items()}
        if DECAYS in self.scalars:
            given[DECAYS] = _decays(graph, xp, theta, decayed, compiled)
        if THETA in self.scalars:
            given[THETA] = read[THETA]
        keywords = {name: given[name] for name in self.scalars}
        new = self._traced([read[name] for name in self.arrays], keywords)
        if adds:
            new[THETA] = read[THETA] + new[self.arrays[0]]
        names = list(read)
        if compiled:
            if xp is np:
                from harness.expressions.numba_loops import plan_formula
            else:
                from harness.expressions.cuda_kernels import plan_formula

            return plan_formula(read, new, arrays, decayed)
        run = passes.plan_many(
            xp,
            {node.index: names.index(name) for name, node in read.items()},
            {names.index(name): root for name, root in new.items()},
            theta,
            len(names),
        )
        rest = [arrays[name] for name in names[1:]]
        return lambda u: run(u, *rest)

    def words(self) -> list[str]:
        """Return what is computed in a step, one line each; m' is what becomes of m."""
        graph = Graph(Tracer)
        read = [graph.intern("input", name) for name in self.arrays]
        keywords = {name: graph.intern("input", name) for name in self.scalars}
        new = self._traced(read, keywords)
        update = new.pop(self.arrays[0])
        return lines({**{f"{name}'": node for name, node in new.items()}, "u": update})

    def _traced(self, arrays: list[Node], keywords: dict[str, Any]) -> dict[str, Any]:
        """The update and the new values of the arrays, by name."""
        returned = self._function(*arrays, **keywords)
        values = returned if isinstance(returned, tuple) else (returned,)
        if len(values) != len(self.arrays):
            raise UsageError(
                f"a formula of {', '.join(self.arrays)} must return {len(self.arrays)} values, the "
                f"update first, got {len(values)}; return what each array becomes, in this order"
            )
        return {name: number(value) for name, value in zip(self.arrays, values, strict=True)}


def _decays(graph: Graph, xp: Any, theta: Array, decayed: int, compiled: bool) -> Node:
    """1 for the parameters that decay, else 0."""
    if compiled:  # a loop runs in two parts, with a number for each; a kernel knows by the place
        return graph.intern("decays")
    mask = xp.zeros(theta.shape[-1], theta.dtype)
    mask[:decayed] = 1.0
    return graph.intern("array", mask)
