"""The built-in update rules. A rule is Rule(init, update) over the flat arena (..., n):

init(arena) -> named state          allocated once; every scalar is (..., 1)
update(u, arena, state)             u (..., n): gradient in, update out, in place; the engine adds u to the parameters

The engine keeps state["step"], 1 at the first update. Rules compose: compose(clip_norm(1.0), weight_decay(1e-4), sgd(0.1)).
"""

from typing import Any

from harness.engine import Arena, Rule
from harness.errors import UsageError
from harness.ops import Array
from harness.registry import RuleSpec, Scalar, make, update_rule

State = dict[str, Any]


def _check(rule: str, name: str, value: Any, holds: Any, must: str) -> None:
    """Checks a number, or each of one per member; a schedule is checked where it is made."""
    for v in value if isinstance(value, list | tuple) else [value]:
        if isinstance(v, int | float) and not (holds(v) and v == v and abs(v) != float("inf")):
            raise UsageError(f"{rule}: {name} must be {must}, got {v!r}")
        if isinstance(v, bool) or not (isinstance(v, int | float | dict) or callable(v)):
            raise UsageError(f"{rule}: {name} must be a number {must}, or a schedule, got {v!r}")


def _rate(rule: str, learning_rate: Any) -> None:
    _check(rule, "learning_rate", learning_rate, lambda v: v > 0, "above 0")


def _decay(rule: str, **decays: Any) -> None:
    for name, value in decays.items():
        _check(rule, name, value, lambda v: 0 <= v < 1, "in [0, 1)")


@update_rule()
def sgd(learning_rate: Scalar = 0.1) -> Rule:
    """u = -learning_rate * g

    g is the gradient of the mean loss. Reference: Robbins and Monro, Ann. Math. Stat. 22, 1951.
    """
    _rate("sgd", learning_rate)

    def init(arena: Arena) -> State:
        return {"learning_rate": arena.scalar(learning_rate), "factor": arena.scalar(0.0)}

    def update(u: Array, arena: Arena, state: State) -> None:
        arena.xp.multiply(u, arena.xp.negative(state["learning_rate"], out=state["factor"]), out=u)

    return Rule(init, update)


@update_rule()
def momentum(learning_rate: Scalar = 0.1, decay: Scalar = 0.9) -> Rule:
    """v <- decay * v + g, u = -learning_rate * v

    v (..., n) is a sum, not an average (as in PyTorch). Reference: Polyak, USSR Comp. Math. 4, 1964.
    """
    _rate("momentum", learning_rate)
    _decay("momentum", decay=decay)

    def init(arena: Arena) -> State:
        scalars = {"learning_rate": arena.scalar(learning_rate), "decay": arena.scalar(decay)}
        return {"v": arena.zeros(), "factor": arena.scalar(0.0), **scalars}

    def update(u: Array, arena: Arena, state: State) -> None:
        xp, v = arena.xp, state["v"]
        xp.multiply(v, state["decay"], out=v)
        xp.add(v, u, out=v)
        xp.multiply(v, xp.negative(state["learning_rate"], out=state["factor"]), out=u)

    return Rule(init, update)


@update_rule()
def nesterov(learning_rate: Scalar = 0.1, decay: Scalar = 0.9) -> Rule:
    """v <- decay * v + g, u = -learning_rate * (g + decay * v)

    Reference: Nesterov, Soviet Math. Dokl. 27, 1983, in the form of Sutskever et al., ICML 2013 (as in PyTorch).
    """
    _rate("nesterov", learning_rate)
    _decay("nesterov", decay=decay)

    def init(arena: Arena) -> State:
        scalars = {"learning_rate": arena.scalar(learning_rate), "decay": arena.scalar(decay)}
        return {"v": arena.zeros(), "scratch": arena.zeros(), "factor": arena.scalar(0.0), **scalars}

    def update(u: Array, arena: Arena, state: State) -> None:
        xp, v, s = arena.xp, state["v"], state["scratch"]
        xp.multiply(v, state["decay"], out=v)
        xp.add(v, u, out=v)
        xp.multiply(v, state["decay"], out=s)
        xp.add(u, s, out=u)
        xp.multiply(u, xp.negative(state["learning_rate"], out=state["factor"]), out=u)

    return Rule(init, update)


@update_rule()
def adam(learning_rate: Scalar = 1e-3, beta1: Scalar = 0.9, beta2: Scalar = 0.999, eps: Scalar = 1e-8) -> Rule:
    """m <- beta1 m + (1 - beta1) g, v <- beta2 v + (1 - beta2) g^2, u = -learning_rate * m' / (sqrt(v') + eps)

    m' = m / (1 - beta1^step), v' = v / (1 - beta2^step); m, v (..., n). Reference: Kingma and Ba, ICLR 2015.
    """
    _rate("adam", learning_rate)
    _decay("adam", beta1=beta1, beta2=beta2)
    _check("adam", "eps", eps, lambda v: v > 0, "above 0")

    def init(arena: Arena) -> State:
        # 1 - beta^step loses digits in float32, so the powers and what follows from them are kept in float64
        double = {k: arena.scalar(v, "float64") for k, v in {"beta1": beta1, "beta2": beta2}.items()}
        powers = {"power1": arena.scalar(1.0, "float64"), "power2": arena.scalar(1.0, "float64")}
        single = {k: arena.scalar(0.0) for k in ("b1", "c1", "b2", "c2", "factor", "root")}
        given = {"learning_rate": arena.scalar(learning_rate), "eps": arena.scalar(eps)}
        return {"m": arena.zeros(), "v": arena.zeros(), "scratch": arena.zeros(), **double, **powers, **single, **given}

    def update(u: Array, arena: Arena, state: State) -> None:
        xp, m, v, s = arena.xp, state["m"], state["v"], state["scratch"]
        beta1, beta2, power1, power2 = state["beta1"], state["beta2"], state["power1"], state["power2"]
        power1 *= beta1
        power2 *= beta2
        state["b1"][...], state["c1"][...] = beta1, 1.0 - beta1
        state["b2"][...], state["c2"][...] = beta2, 1.0 - beta2
        state["factor"][...] = -state["learning_rate"] / (1.0 - power1)
        state["root"][...] = 1.0 / xp.sqrt(1.0 - power2)
        xp.multiply(m, state["b1"], out=m)
        xp.multiply(u, state["c1"], out=s)
        xp.add(m, s, out=m)
        xp.multiply(v, state["b2"], out=v)
        xp.multiply(u, u, out=u)
        xp.multiply(u, state["c2"], out=u)
        xp.add(v, u, out=v)
        xp.sqrt(v, out=s)
        xp.multiply(s, state["root"], out=s)
        xp.add(s, state["eps"], out=s)
        xp.multiply(m, state["factor"], out=u)
        xp.divide(u, s, out=u)

    return Rule(init, update)


@update_rule()
def adamw(
    learning_rate: Scalar = 1e-3, beta1: Scalar = 0.9, beta2: Scalar = 0.999, eps: Scalar = 1e-8, decay: Scalar = 0.01
) -> Rule:
    """u = adam(g) - learning_rate * decay * theta, for the parameters that decay

    Reference: Loshchilov and Hutter, ICLR 2019.
    """
    _check("adamw", "decay", decay, lambda v: v >= 0, "0 or above")
    inner = adam(learning_rate, beta1, beta2, eps)

    def init(arena: Arena) -> State:
        return {**inner.init(arena), "decay": arena.scalar(decay)}

    def update(u: Array, arena: Arena, state: State) -> None:
        inner.update(u, arena, state)
        xp, k, s = arena.xp, arena.decayed, state["scratch"]
        factor = state["factor"]
        xp.multiply(state["learning_rate"], state["decay"], out=factor)
        xp.multiply(arena.value[..., :k], factor, out=s[..., :k])
        xp.subtract(u[..., :k], s[..., :k], out=u[..., :k])

    return Rule(init, update)


# Ingredients ------------------------------------------------------------------------------------------------------------


@update_rule()
def compose(*rules: RuleSpec) -> Rule:
    """u = r_k(... r_1(g)): each rule takes the update of the one before it, such as compose(clip_norm(1.0), sgd(0.1))

    State is named by position: state["0"], state["1"], ...
    """
    made = [make("update_rule", r) for r in rules]
    if not made:
        raise UsageError("compose: give at least one rule, such as compose(clip_norm(1.0), sgd(0.1))")

    def init(arena: Arena) -> State:
        return {str(k): rule.init(arena) for k, rule in enumerate(made)}

    def update(u: Array, arena: Arena, state: State) -> None:
        for k, rule in enumerate(made):
            inner = state[str(k)]
            inner["step"] = state["step"]
            rule.update(u, arena, inner)

    def project(arena: Arena, state: State) -> None:
        for k, rule in enumerate(made):
            if rule.project:
                rule.project(arena, state[str(k)])

    averages = [(str(k), r.evaluate) for k, r in enumerate(made) if r.evaluate]
    if len(averages) > 1:
        raise UsageError("compose: at most one rule may keep other parameters for evaluation; drop one of them")
    evaluate = (lambda arena, state: averages[0][1](arena, state[averages[0][0]])) if averages else None
    return Rule(init, update, project if any(r.project for r in made) else None, evaluate)


@update_rule()
def scale(factor: Scalar = -0.1) -> Rule:
    """u = factor * g: as the last rule of a composition, factor is minus the learning rate"""
    _check("scale", "factor", factor, lambda v: v != 0, "a number other than 0")

    def update(u: Array, arena: Arena, state: State) -> None:
        arena.xp.multiply(u, state["factor"], out=u)

    return Rule(lambda arena: {"factor": arena.scalar(factor)}, update)


@update_rule()
def trace(decay: Scalar = 0.9) -> Rule:
    """v <- decay * v + g, u = v: momentum as an ingredient"""
    _decay("trace", decay=decay)

    def update(u: Array, arena: Arena, state: State) -> None:
        xp, v = arena.xp, state["v"]
        xp.multiply(v, state["decay"], out=v)
        xp.add(v, u, out=v)
        xp.copyto(u, v)

    return Rule(lambda arena: {"v": arena.zeros(), "decay": arena.scalar(decay)}, update)


@update_rule()
def weight_decay(rate: Scalar = 1e-4) -> Rule:
    """u = g + rate * theta, for the parameters that decay: the gradient of an L2 penalty rate / 2 * |theta|^2

    Weights decay, biases do not. Before a rule with momentum or adaptive steps this is L2, not decoupled decay: see adamw.
    """
    _check("weight_decay", "rate", rate, lambda v: v >= 0, "0 or above")

    def init(arena: Arena) -> State:
        return {"rate": arena.scalar(rate), "scratch": arena.zeros()[..., : arena.decayed]}

    def update(u: Array, arena: Arena, state: State) -> None:
        xp, k, s = arena.xp, arena.decayed, state["scratch"]
        xp.multiply(arena.value[..., :k], state["rate"], out=s)
        xp.add(u[..., :k], s, out=u[..., :k])

    return Rule(init, update)


@update_rule()
def clip_norm(limit: Scalar = 1.0) -> Rule:
    """u = g * min(1, limit / |g|), |g| the Euclidean norm over all parameters

    Reference: Pascanu, Mikolov and Bengio, ICML 2013.
    """
    _check("clip_norm", "limit", limit, lambda v: v > 0, "above 0")

    def init(arena: Arena) -> State:
        return {"limit": arena.scalar(limit), "norm": arena.scalar(0.0), "scratch": arena.zeros()}

    def update(u: Array, arena: Arena, state: State) -> None:
        xp, norm = arena.xp, state["norm"]
        xp.multiply(u, u, out=state["scratch"])
        xp.add.reduce(state["scratch"], axis=-1, out=norm, keepdims=True)
        xp.sqrt(norm, out=norm)
        xp.maximum(norm, state["limit"], out=norm)
        xp.divide(state["limit"], norm, out=norm)  # 1 where the norm is within the limit, exactly
        xp.multiply(u, norm, out=u)

    return Rule(init, update)


@update_rule()
def clip_value(limit: Scalar = 1.0) -> Rule:
    """u = min(max(g, -limit), limit), elementwise"""
    _check("clip_value", "limit", limit, lambda v: v > 0, "above 0")

    def update(u: Array, arena: Arena, state: State) -> None:
        arena.xp.minimum(u, state["limit"], out=u)
        arena.xp.maximum(u, arena.xp.negative(state["limit"], out=state["below"]), out=u)

    return Rule(lambda arena: {"limit": arena.scalar(limit), "below": arena.scalar(0.0)}, update)
