"""Rules that do the same to each parameter: their mathematics is one formula."""

from collections.abc import Callable
from functools import partial
from typing import Any

from harness.builtin.updates.common import State, wide
from harness.engine.arena import Arena
from harness.engine.contracts import Rule
from harness.errors import PluginError, UsageError
from harness.expressions.formula import DECAYS, STEP, THETA, Formula
from harness.ops import Array

# For so many networks the plan of a rule is kept; a rule is seldom used for more than one.
_PLANS = 8


def elementwise(
    step: Callable[..., Any],
    *,
    before: Callable[[Arena, State], Any] | None = None,
    evaluate: Callable[[Arena, State], Array] | None = None,
    **scalars: Any,
) -> Rule:
    """Make the update rule that a formula says, for one parameter of the network.

    Parameters
    ----------
    step
        step(g, *arrays, *, ...) in the words of NumPy, where g is the gradient. It returns the
        update u, which is added to the parameter, and after it what each of the arrays becomes.
        The arrays (..., n) are state, and begin as zeros. Its keywords are the scalars, or `step`
        (how many steps there have been, this one among them), `theta` (the parameter itself) and
        `decays` (1 for a parameter that decays, which is a weight, else 0).
    before
        before(arena, state) sets scalars of the state, in place, before each step: those that hang
        on what they were before.
    evaluate
        evaluate(arena, state) -> the parameters (..., n) to evaluate with; None where they are
        those that are trained.
    scalars
        The hyperparameters that it takes by keyword: a number, a schedule, or one of them for each
        member of a population. They are state (..., 1) in float64, and what the formula makes of
        scalars alone is computed in float64, once a step. Those that the formula does not take are
        there for `before` and `evaluate`.

    Returns
    -------
    Rule
        Which computes the formula in one pass over the parameters, where kernels are compiled.

    Raises
    ------
    UsageError
        If the formula does something that is not elementwise, returns another number of values, is
        not given a scalar that it takes, or has one name for two things.

    Examples
    --------
    >>> def step(g, v, *, learning_rate, decay):
    ...     v = decay * v + g
    ...     return -learning_rate * v, v
    >>> rule = elementwise(step, learning_rate=0.1, decay=0.9)
    """
    formula = Formula(step)
    _check_names(formula, scalars)
    first = None if before is None else _in_place(before)
    formula.before = first
    plans: dict[int, tuple[State, Callable[[Array], None]]] = {}

    def init(arena: Arena) -> State:
        zeros = {name: arena.zeros() for name in formula.arrays[1:]}
        return {**zeros, **wide(arena, **scalars)}

    def update(u: Array, arena: Arena, state: State) -> None:
        kept = plans.get(id(state))
        if kept is None or kept[0] is not state:
            if len(plans) >= _PLANS:
                plans.clear()
            # The plan keeps the state alive, so that its id stays its own.
            kept = plans[id(state)] = state, plan(formula, arena, state, False)
        if first is not None:
            first(arena, state)
        kept[1](u)

    def fuse(arena: Arena, state: State) -> Callable[[Array], None]:
        run = plan(formula, arena, state, True)
        return run if first is None else _after(partial(first, arena, state), run)

    rule = Rule(init, update, evaluate=evaluate, fuse=fuse)
    rule.formula = formula
    return rule


def _check_names(formula: Formula, scalars: dict[str, Any]) -> None:
    """UsageError unless each scalar is given, and each name stands for one thing."""
    arrays = {*formula.arrays, THETA}
    given = {*scalars, STEP, DECAYS}
    twice = sorted(arrays & given | scalars.keys() & {STEP, DECAYS})
    if twice:
        raise UsageError(
            f"a formula must have one name for each thing, got {', '.join(twice)} for an array and "
            f"a scalar, or for what the harness gives; name one of them otherwise"
        )
    missing = [name for name in formula.scalars if name not in {*given, THETA}]
    if missing:
        raise UsageError(
            f"a formula must be given all of its scalars, got none for {', '.join(missing)}; write "
            f"elementwise(step, {missing[0]}=...)"
        )


def _in_place(before: Callable[[Arena, State], Any]) -> Callable[[Arena, State], Any]:
    """The same, but PluginError where it puts another array into the state, which nobody reads."""

    def checked(arena: Arena, state: State) -> None:
        arrays = dict(state)
        before(arena, state)
        for name, array in arrays.items():
            if state[name] is not array:
                raise PluginError(
                    f"before() of a rule must set scalars in place, got another array for {name}; "
                    f"write state[{name!r}][...] = ..."
                )

    return checked


def _after(first: Callable[[], Any], run: Callable[[Array], None]) -> Callable[[Array], None]:
    def step(u: Array) -> None:
        first()
        run(u)

    return step


def plan(formula: Formula, arena: Arena, state: State, adds: bool) -> Callable[[Array], None]:
    """Make run(u), which computes a formula over the parameters of an arena and their state."""
    arrays = {name: state[name] for name in formula.arrays[1:]}
    numbers = {name: state[name] for name in formula.scalars if name in state}
    return formula.plan(arena.xp, {**arrays, THETA: arena.value}, numbers, arena.decayed, adds)
