"""Ingredients: rules that change a gradient or an update on its way through a composition."""

from collections.abc import Callable
from functools import partial
from itertools import groupby
from math import pi
from typing import Any

import numpy as np

from harness.builtin.updates.common import (
    State,
    arrays,
    below_one,
    check,
    norm,
    not_negative,
    part,
    positive,
    scalars,
    weights,
)
from harness.builtin.updates.elementwise import elementwise, plan
from harness.engine.arena import Arena
from harness.engine.contracts import Rule
from harness.errors import UsageError
from harness.expressions.formula import Formula
from harness.ops import Array
from harness.registry.decorators import update_rule
from harness.registry.known import RuleSpec, Scalar
from harness.registry.products import make


@update_rule()
def compose(*rules: RuleSpec) -> Rule:
    """u = r_k(... r_1(g))

    Each rule takes the update of the one before it, such as compose(clip_norm(1.0), sgd(0.1)).
    State is named by position: state["0"], state["1"], ...
    """
    made = [make("update_rule", rule) for rule in rules]
    if not made:
        raise UsageError(
            "compose: give at least one rule, such as compose(clip_norm(1.0), sgd(0.1))"
        )

    def init(arena: Arena) -> State:
        return {str(k): rule.init(arena) for k, rule in enumerate(made)}

    def update(u: Array, arena: Arena, state: State) -> None:
        for k, rule in enumerate(made):
            inner = state[str(k)]
            # The engine counts steps in the state of the whole rule alone.
            inner["step"] = state["step"]
            rule.update(u, arena, inner)

    def project(arena: Arena, state: State) -> None:
        for k, rule in enumerate(made):
            if rule.project:
                rule.project(arena, state[str(k)])

    averaging = _averaging(made)

    def evaluate(arena: Arena, state: State) -> Array:
        (k,) = averaging
        return made[k].evaluate(arena, state[str(k)])

    # The engine calls neither where no rule has one.
    projects = any(rule.project for rule in made)
    evaluates = evaluate if averaging else None
    return Rule(init, update, project if projects else None, evaluates, partial(_fuse, made))


def _averaging(made: list[Rule]) -> list[int]:
    """The place of the rule that keeps other parameters for evaluation, if there is one."""
    places = [k for k, rule in enumerate(made) if rule.evaluate]
    if len(places) > 1:
        raise UsageError(
            "compose: at most one rule may keep other parameters for evaluation; drop one of them"
        )
    for k in places:
        # What it keeps is of its own steps; ema and its kind see the parameters after each step.
        if not made[k].project and k < len(made) - 1:
            name, last = (_named(rule) for rule in (made[k], made[-1]))
            raise UsageError(
                f"compose: {name} keeps other parameters for evaluation, and so must be the last "
                f"rule, got {last} behind it; put it last"
            )
    return places


def _named(rule: Rule) -> str:
    return str(getattr(rule, "spec", {}).get("name", "a rule"))


def _fuse(made: list[Rule], arena: Arena, state: State) -> Callable[[Array], None]:
    """step(u), in which rules that are formulas are one loop with those beside them."""
    for k in range(len(made)):
        state[str(k)]["step"] = state["step"]
    stages: list[Callable[[Array], None]] = []
    for is_formula, group in groupby(enumerate(made), lambda pair: pair[1].formula is not None):
        rules = dict(group)
        if is_formula:
            stages += [
                _first(rule.formula.before, arena, state[str(k)])
                for k, rule in rules.items()
                if rule.formula.before is not None
            ]
            stages.append(_one_loop(rules, arena, state, adds=len(made) - 1 in rules))
        else:
            stages += [_stage(rule, arena, state[str(k)]) for k, rule in rules.items()]
    if made[-1].formula is None:
        stages.append(partial(_add_to, arena))

    def step(u: Array) -> None:
        for stage in stages:
            stage(u)

    return step


def _one_loop(
    rules: dict[int, Rule], arena: Arena, state: State, adds: bool
) -> Callable[[Array], None]:
    """run(u), which computes the formulas of some rules one after the other in one pass."""
    formulas = {f"r{k}": rule.formula for k, rule in rules.items()}
    named = {f"r{k}_{name}": part for k in rules for name, part in state[str(k)].items()}
    return plan(Formula.joined(formulas), arena, {**named, "step": state["step"]}, adds)


def _stage(rule: Rule, arena: Arena, state: State) -> Callable[[Array], None]:
    return lambda u: rule.update(u, arena, state)


def _first(
    before: Callable[[Arena, State], Any], arena: Arena, state: State
) -> Callable[[Array], None]:
    return lambda u: before(arena, state)


def _add_to(arena: Arena, u: Array) -> None:
    arena.xp.add(arena.value, u, out=arena.value)


@update_rule()
def scale(factor: Scalar = -0.1) -> Rule:
    """u = factor * g: as the last rule of a composition, factor is minus the learning rate"""
    check("scale", "factor", factor, lambda v: v != 0, "a number other than 0")
    return elementwise(lambda g, *, factor: factor * g, factor=factor)


@update_rule()
def trace(decay: Scalar = 0.9) -> Rule:
    """v <- decay * v + g, u = v: momentum as an ingredient

    v (..., n).
    After a whole rule it gives that rule's steps momentum: compose(rmsprop(0.01), trace(0.9)).
    """
    below_one("trace", decay=decay)

    def formula(g: Any, v: Any, *, decay: Any) -> Any:
        v = decay * v + g
        return v, v

    return elementwise(formula, decay=decay)


# Penalties and decay ------------------------------------------------------------------------------


@update_rule()
def weight_decay(rate: Scalar = 1e-4) -> Rule:
    """u = g + rate * theta, for the parameters that decay

    The gradient of an L2 penalty rate / 2 * |theta|^2.
    Weights decay, biases do not.
    Before a rule with momentum or adaptive steps this is L2; for decoupled decay see
    decoupled_weight_decay and adamw.
    """
    not_negative("weight_decay", rate=rate)
    return elementwise(
        lambda g, *, theta, decays, rate: g + rate * decays * theta,
        rate=rate,
    )


@update_rule()
def decoupled_weight_decay(rate: Scalar = 1e-4) -> Rule:
    """u = g - rate * theta, for the parameters that decay

    An ingredient after a whole rule, such as compose(adam(1e-3), decoupled_weight_decay(1e-5)):
    each step takes this share of the weights away, whatever the learning rate (lr * weight_decay of
    PyTorch's AdamW).
    With the schedule of the learning rate it is the paper's.
    Reference: Loshchilov and Hutter, ICLR 2019.
    """
    check("decoupled_weight_decay", "rate", rate, lambda v: 0 <= v < 1, "in [0, 1)")
    return elementwise(
        lambda g, *, theta, decays, rate: g - rate * decays * theta,
        rate=rate,
    )


@update_rule()
def l1(rate: Scalar = 1e-5) -> Rule:
    """u = g + rate * sign(theta), for the parameters that decay

    The gradient of a penalty rate * sum |theta|.
    The slope at 0 is 0.
    Reference: Tibshirani, J. Royal Stat. Soc. B 58, 1996.
    """
    not_negative("l1", rate=rate)
    return elementwise(
        lambda g, *, theta, decays, rate: g + rate * decays * np.sign(theta),
        rate=rate,
    )


@update_rule()
def max_norm(limit: Scalar = 3.0) -> Rule:
    """W[:, o] <- W[:, o] * min(1, limit / |W[:, o]|) after each step

    What goes into a unit has at most this norm.
    An ingredient, u = g. Every matrix of weights (..., I, O) that decays.
    Reference: Srivastava et al., JMLR 15, 2014.
    """
    positive("max_norm", limit=limit)

    def update(u: Array, arena: Arena, state: State) -> None:
        pass

    def project(arena: Arena, state: State) -> None:
        xp = arena.xp
        s = state["scratch"]
        limits = state["limit"]
        xp.multiply(arena.value[..., : arena.decayed], arena.value[..., : arena.decayed], out=s)
        for at, shape in weights(arena):
            W = part(arena.value, at, shape)
            most = limits.reshape(*limits.shape[:-1], *[1] * len(shape))
            length = norm(xp, part(s, at, shape), axis=-2)
            # Where the norm is within the limit, the factor is exactly 1.
            xp.multiply(W, most / xp.maximum(length, most), out=W)

    return Rule(
        lambda arena: {
            **scalars(arena, limit=limit),
            "scratch": arena.zeros()[..., : arena.decayed],
        },
        update,
        project,
    )


# Gradients ----------------------------------------------------------------------------------------


@update_rule()
def clip_norm(limit: Scalar = 1.0) -> Rule:
    """u = g * min(1, limit / |g|), |g| the Euclidean norm over all parameters

    PyTorch's clip_grad_norm_, which adds 1e-6 to |g|.
    Reference: Pascanu, Mikolov and Bengio, ICML 2013.
    """
    positive("clip_norm", limit=limit)

    def init(arena: Arena) -> State:
        return {**arrays(arena, "scratch"), **scalars(arena, limit=limit, norm=0.0)}

    def update(u: Array, arena: Arena, state: State) -> None:
        xp = arena.xp
        length = state["norm"]
        xp.multiply(u, u, out=state["scratch"])
        xp.add.reduce(state["scratch"], axis=-1, out=length, keepdims=True)
        xp.sqrt(length, out=length)
        xp.maximum(length, state["limit"], out=length)
        # Where the norm is within the limit, this is exactly 1.
        xp.divide(state["limit"], length, out=length)
        xp.multiply(u, length, out=u)

    return Rule(init, update)


@update_rule()
def clip_value(limit: Scalar = 1.0) -> Rule:
    """u = min(max(g, -limit), limit), elementwise

    PyTorch's clip_grad_value_.
    """
    positive("clip_value", limit=limit)
    return elementwise(
        lambda g, *, limit: np.minimum(np.maximum(g, -limit), limit),
        limit=limit,
    )


@update_rule()
def centralize() -> Rule:
    """u[:, o] = g[:, o] - mean(g[:, o]): the gradient of what goes into a unit has mean 0

    Every matrix of weights (..., I, O) that decays; no state.
    Reference: Yong et al., Gradient centralization, ECCV 2020.
    """

    def update(u: Array, arena: Arena, state: State) -> None:
        xp = arena.xp
        for at, shape in weights(arena):
            g = part(u, at, shape)
            mean = xp.add.reduce(g, axis=-2, keepdims=True)
            xp.divide(mean, shape[-2], out=mean)
            xp.subtract(g, mean, out=g)

    return Rule(lambda arena: {}, update)


@update_rule()
def gradient_noise(eta: Scalar = 0.01, gamma: Scalar = 0.55) -> Rule:
    """u = g + N(0, eta / step^gamma)

    The second argument of N is the variance; the noise differs for each parameter, step, seed and
    epoch.
    radius, angle (..., n / 2).
    Reference: Neelakantan et al., Adding gradient noise improves learning for very deep networks,
    2015.
    """
    not_negative("gradient_noise", eta=eta, gamma=gamma)

    def init(arena: Arena) -> State:
        # Asked for here, so that the engine seeds the stream before the first step.
        arena.random("gradient_noise")
        lead = arena.value.shape[:-1]
        half = (arena.value.shape[-1] + 1) // 2
        pair = {
            name: arena.xp.zeros((*lead, half), arena.value.dtype)
            for name in ("radius", "angle", "scratch")
        }
        return {**pair, **scalars(arena, eta=eta, gamma=gamma)}

    def update(u: Array, arena: Arena, state: State) -> None:
        xp = arena.xp
        r = state["radius"]
        angle = state["angle"]
        s = state["scratch"]
        fill = arena.random("gradient_noise")
        half = r.shape[-1]
        rest = u.shape[-1] - r.shape[-1]
        fill(r)
        fill(angle)
        # Box and Muller: two uniform numbers give two normal ones, one for each half of u.
        xp.negative(r, out=r)
        xp.log1p(r, out=r)  # log(1 - r): a uniform number may be 0, and never is 1
        xp.multiply(r, -2.0, out=r)
        xp.multiply(r, state["eta"] / state["step"] ** state["gamma"], out=r)
        xp.sqrt(r, out=r)
        xp.multiply(angle, 2.0 * pi, out=angle)
        xp.cos(angle, out=s)
        xp.multiply(s, r, out=s)
        xp.add(u[..., :half], s, out=u[..., :half])
        xp.sin(angle, out=s)
        xp.multiply(s, r, out=s)
        xp.add(u[..., half:], s[..., :rest], out=u[..., half:])

    return Rule(init, update)
