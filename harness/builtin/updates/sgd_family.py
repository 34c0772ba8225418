"""Rules that follow the gradient, its running sum, or its sign."""

from typing import Any

from harness.builtin.updates.common import (
    State,
    add_decay,
    arrays,
    below_one,
    check,
    not_negative,
    positive,
    scalars,
)
from harness.engine.arena import Arena
from harness.engine.contracts import Rule
from harness.ops import Array
from harness.registry.decorators import update_rule
from harness.registry.known import Scalar


@update_rule()
def sgd(learning_rate: Scalar = 0.1) -> Rule:
    """u = -learning_rate * g

    g is the gradient of the mean loss.
    PyTorch's SGD, but for its learning rate of 1e-3.
    Reference: Robbins and Monro, Ann. Math. Stat. 22, 1951.
    """
    positive("sgd", learning_rate=learning_rate)

    def init(arena: Arena) -> State:
        return scalars(arena, learning_rate=learning_rate, factor=0.0)

    def update(u: Array, arena: Arena, state: State) -> None:
        # The number is negated, and not u, which would be one more pass over all parameters.
        factor = arena.xp.negative(state["learning_rate"], out=state["factor"])
        arena.xp.multiply(u, factor, out=u)

    return Rule(init, update)


@update_rule()
def momentum(learning_rate: Scalar = 0.1, decay: Scalar = 0.9) -> Rule:
    """v <- decay * v + g, u = -learning_rate * v

    v (..., n) is a sum, not an average: PyTorch's SGD(momentum=decay), but for its learning rate of
    1e-3. The same as compose(trace(decay), scale(-learning_rate)) in fewer passes.
    Reference: Polyak, USSR Comp. Math. 4, 1964.
    """
    positive("momentum", learning_rate=learning_rate)
    below_one("momentum", decay=decay)

    def init(arena: Arena) -> State:
        return {
            **arrays(arena, "v"),
            **scalars(arena, learning_rate=learning_rate, decay=decay, factor=0.0),
        }

    def update(u: Array, arena: Arena, state: State) -> None:
        xp = arena.xp
        v = state["v"]
        # The learning rate is no part of v, which stays a sum of gradients where the rate changes.
        xp.multiply(v, state["decay"], out=v)
        xp.add(v, u, out=v)
        xp.multiply(v, xp.negative(state["learning_rate"], out=state["factor"]), out=u)

    return Rule(init, update)


@update_rule()
def nesterov(learning_rate: Scalar = 0.1, decay: Scalar = 0.9) -> Rule:
    """v <- decay * v + g, u = -learning_rate * (g + decay * v)

    v (..., n).
    PyTorch's SGD(momentum=decay, nesterov=True), but for its learning rate of 1e-3.
    Reference: Nesterov, Soviet Math. Dokl. 27, 1983, in the form of Sutskever et al., ICML 2013.
    """
    positive("nesterov", learning_rate=learning_rate)
    below_one("nesterov", decay=decay)

    def init(arena: Arena) -> State:
        numbers = scalars(arena, learning_rate=learning_rate, decay=decay, factor=0.0)
        return {**arrays(arena, "v", "scratch"), **numbers}

    def update(u: Array, arena: Arena, state: State) -> None:
        xp = arena.xp
        look_ahead(u, xp, state)
        xp.multiply(u, xp.negative(state["learning_rate"], out=state["factor"]), out=u)

    return Rule(init, update)


def look_ahead(u: Array, xp: Any, state: State) -> None:
    """v <- decay * v + u, u <- u + decay * v"""
    v = state["v"]
    s = state["scratch"]
    xp.multiply(v, state["decay"], out=v)
    xp.add(v, u, out=v)
    xp.multiply(v, state["decay"], out=s)
    xp.add(u, s, out=u)


@update_rule()
def signsgd(learning_rate: Scalar = 1e-3) -> Rule:
    """u = -learning_rate * sign(g)

    With momentum (Signum): compose(trace(0.9), signsgd(1e-3)).
    Reference: Bernstein et al., signSGD, ICML 2018.
    """
    positive("signsgd", learning_rate=learning_rate)

    def init(arena: Arena) -> State:
        return {
            **arrays(arena, "scratch"),
            **scalars(arena, learning_rate=learning_rate, factor=0.0),
        }

    def update(u: Array, arena: Arena, state: State) -> None:
        xp = arena.xp
        s = state["scratch"]
        xp.sign(u, out=s)  # not in place, where NumPy takes eight times as long
        xp.multiply(s, xp.negative(state["learning_rate"], out=state["factor"]), out=u)

    return Rule(init, update)


@update_rule()
def lion(
    learning_rate: Scalar = 1e-4,
    beta1: Scalar = 0.9,
    beta2: Scalar = 0.99,
    weight_decay: Scalar = 0.0,
) -> Rule:
    """u = -learning_rate * (sign(beta1 m + (1 - beta1) g) + weight_decay * theta)

    m <- beta2 m + (1 - beta2) g.
    m (..., n).
    Weights decay, biases do not.
    Reference: Chen et al., Symbolic discovery of optimization algorithms, NeurIPS 2023.
    """
    positive("lion", learning_rate=learning_rate)
    below_one("lion", beta1=beta1, beta2=beta2)
    not_negative("lion", weight_decay=weight_decay)

    def init(arena: Arena) -> State:
        numbers = scalars(
            arena, learning_rate=learning_rate, beta1=beta1, beta2=beta2, weight_decay=weight_decay
        )
        return {**arrays(arena, "m", "scratch"), **numbers, **scalars(arena, take=0.0, factor=0.0)}

    def update(u: Array, arena: Arena, state: State) -> None:
        xp = arena.xp
        m = state["m"]
        s = state["scratch"]
        factor = state["factor"]
        xp.subtract(1.0, state["beta2"], out=state["take"])
        # beta1 m + (1 - beta1) g = g + beta1 (m - g): with one scratch, while g is still needed.
        xp.subtract(m, u, out=s)
        xp.multiply(s, state["beta1"], out=s)
        xp.add(s, u, out=s)
        xp.multiply(m, state["beta2"], out=m)
        xp.multiply(u, state["take"], out=u)
        xp.add(m, u, out=m)
        xp.sign(s, out=u)
        add_decay(u, arena, state["weight_decay"], s)
        xp.multiply(u, xp.negative(state["learning_rate"], out=factor), out=u)

    return Rule(init, update)


@update_rule()
def rprop(
    learning_rate: Scalar = 0.01,
    eta_minus: Scalar = 0.5,
    eta_plus: Scalar = 1.2,
    smallest: Scalar = 1e-4,
    largest: Scalar = 5000.0,
) -> Rule:
    """u = -learning_rate * size * sign(g)

    size <- clip(size * (eta_plus | eta_minus | 1), smallest, largest).
    size (..., n) starts at 1, grows by eta_plus where the sign of g stays and shrinks by eta_minus
    where it changes; there g counts as 0, this time and when the next sign is compared.
    sign (..., n).
    Meant for batch="full".
    smallest and largest are multiples of the learning rate: PyTorch bounds the step itself by 1e-6
    and 50, the same at its learning rate 0.01.
    Reference: Riedmiller and Braun, ICNN 1993.
    """
    positive(
        "rprop",
        learning_rate=learning_rate,
        eta_minus=eta_minus,
        smallest=smallest,
        largest=largest,
    )
    below_one("rprop", eta_minus=eta_minus)
    check("rprop", "eta_plus", eta_plus, lambda v: v > 1, "above 1")

    def init(arena: Arena) -> State:
        size = arena.zeros()  # the arena makes no ones
        size += 1.0
        numbers = scalars(
            arena, learning_rate=learning_rate, eta_minus=eta_minus, eta_plus=eta_plus, factor=0.0
        )
        bounds = scalars(arena, smallest=smallest, largest=largest)
        return {"size": size, **arrays(arena, "sign", "scratch"), **numbers, **bounds}

    def update(u: Array, arena: Arena, state: State) -> None:
        xp = arena.xp
        size = state["size"]
        sign = state["sign"]
        s = state["scratch"]
        xp.sign(u, out=s)
        xp.copyto(u, s)  # the size of a gradient plays no part from here on
        xp.multiply(s, sign, out=s)  # 1 where the sign has stayed, -1 where it has changed, else 0
        # The last sign has been used, and its array is free.
        factors = sign
        xp.clip(s, 0.0, 1.0, out=factors)
        xp.multiply(factors, state["eta_plus"] - 1.0, out=factors)
        xp.add(factors, 1.0, out=factors)
        xp.multiply(size, factors, out=size)
        xp.clip(s, -1.0, 0.0, out=s)
        xp.add(s, 1.0, out=factors)
        xp.multiply(u, factors, out=u)  # 0 where the sign has changed
        xp.multiply(s, 1.0 - state["eta_minus"], out=s)
        xp.add(s, 1.0, out=s)
        xp.multiply(size, s, out=size)
        xp.clip(size, state["smallest"], state["largest"], out=size)
        xp.copyto(sign, u)
        xp.multiply(u, size, out=u)
        xp.multiply(u, xp.negative(state["learning_rate"], out=state["factor"]), out=u)

    return Rule(init, update)
