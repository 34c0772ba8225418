"""Rules with a step size for each parameter, from running means of its squared gradient."""

from harness.builtin.updates.common import (
    State,
    add_decay,
    arrays,
    average,
    average_square,
    below_one,
    deviation,
    first_moment,
    moments,
    moments_state,
    not_negative,
    positive,
    scalars,
    wide,
)
from harness.engine.arena import Arena
from harness.engine.contracts import Rule
from harness.ops import Array
from harness.registry.decorators import update_rule
from harness.registry.known import Scalar


@update_rule()
def adagrad(learning_rate: Scalar = 0.01, eps: Scalar = 1e-10) -> Rule:
    """v <- v + g^2, u = -learning_rate * g / (sqrt(v) + eps)

    v (..., n).
    PyTorch's lr_decay and initial_accumulator_value are left out: give the learning rate a
    schedule.
    Reference: Duchi, Hazan and Singer, JMLR 12, 2011.
    """
    positive("adagrad", learning_rate=learning_rate, eps=eps)

    def init(arena: Arena) -> State:
        return {
            **arrays(arena, "v", "scratch"),
            **scalars(arena, learning_rate=learning_rate, eps=eps, factor=0.0),
        }

    def update(u: Array, arena: Arena, state: State) -> None:
        xp = arena.xp
        v = state["v"]
        s = state["scratch"]
        xp.multiply(u, u, out=s)
        xp.add(v, s, out=v)
        xp.sqrt(v, out=s)
        xp.add(s, state["eps"], out=s)
        xp.multiply(u, xp.negative(state["learning_rate"], out=state["factor"]), out=u)
        xp.divide(u, s, out=u)

    return Rule(init, update)


@update_rule()
def adadelta(learning_rate: Scalar = 1.0, rho: Scalar = 0.9, eps: Scalar = 1e-6) -> Rule:
    """u = -learning_rate * d, d = g sqrt((w + eps) / (v + eps))

    v <- rho v + (1 - rho) g^2, w <- rho w + (1 - rho) d^2.
    v, w (..., n).
    Reference: Zeiler, ADADELTA: an adaptive learning rate method, 2012.
    """
    positive("adadelta", learning_rate=learning_rate, eps=eps)
    below_one("adadelta", rho=rho)

    def init(arena: Arena) -> State:
        numbers = scalars(
            arena, learning_rate=learning_rate, rho=rho, eps=eps, take=0.0, factor=0.0
        )
        return {**arrays(arena, "v", "w", "scratch"), **numbers}

    def update(u: Array, arena: Arena, state: State) -> None:
        xp = arena.xp
        s = state["scratch"]
        rho = state["rho"]
        take = state["take"]
        eps = state["eps"]
        xp.subtract(1.0, rho, out=take)
        average_square(xp, state["v"], u, rho, take, s)
        xp.add(state["v"], eps, out=s)
        xp.sqrt(s, out=s)
        xp.divide(u, s, out=u)
        # w holds the squares of earlier steps alone: it has the units of a step, not of a gradient.
        xp.add(state["w"], eps, out=s)
        xp.sqrt(s, out=s)
        xp.multiply(u, s, out=u)
        average_square(xp, state["w"], u, rho, take, s)
        xp.multiply(u, xp.negative(state["learning_rate"], out=state["factor"]), out=u)

    return Rule(init, update)


@update_rule()
def rmsprop(
    learning_rate: Scalar = 0.01, alpha: Scalar = 0.99, eps: Scalar = 1e-8, centered: bool = False
) -> Rule:
    """u = -learning_rate * g / (sqrt(v) + eps), v <- alpha v + (1 - alpha) g^2

    centered: sqrt(v - m^2) in place of sqrt(v), m the running mean of g.
    v, and m if centered, (..., n).
    PyTorch's momentum is an ingredient here: compose(rmsprop(0.01), trace(0.9)).
    A variance that rounding makes negative counts as 0.
    Reference: Tieleman and Hinton, Coursera lecture 6.5, 2012; centered: Graves, Generating
    sequences with recurrent neural networks, 2013.
    """
    positive("rmsprop", learning_rate=learning_rate, eps=eps)
    below_one("rmsprop", alpha=alpha)

    def init(arena: Arena) -> State:
        numbers = scalars(
            arena, learning_rate=learning_rate, alpha=alpha, eps=eps, take=0.0, factor=0.0
        )
        means = arrays(arena, "m") if centered else {}
        return {**arrays(arena, "v", "scratch"), **means, **numbers}

    def update(u: Array, arena: Arena, state: State) -> None:
        xp = arena.xp
        v = state["v"]
        s = state["scratch"]
        alpha = state["alpha"]
        take = state["take"]
        xp.subtract(1.0, alpha, out=take)
        average_square(xp, v, u, alpha, take, s)
        if centered:
            average(xp, state["m"], u, alpha, take, s)
            xp.multiply(state["m"], state["m"], out=s)
            xp.subtract(v, s, out=s)
            xp.clip(s, 0.0, xp.inf, out=s)  # rounding may have made it negative
            v = s
        xp.sqrt(v, out=s)
        xp.add(s, state["eps"], out=s)
        xp.multiply(u, xp.negative(state["learning_rate"], out=state["factor"]), out=u)
        xp.divide(u, s, out=u)

    return Rule(init, update)


@update_rule()
def adam(
    learning_rate: Scalar = 1e-3, beta1: Scalar = 0.9, beta2: Scalar = 0.999, eps: Scalar = 1e-8
) -> Rule:
    """u = -learning_rate * m' / (sqrt(v') + eps)

    m <- beta1 m + (1 - beta1) g, v <- beta2 v + (1 - beta2) g^2.
    m' = m / (1 - beta1^step), v' = v / (1 - beta2^step); m, v (..., n).
    Reference: Kingma and Ba, ICLR 2015.
    """
    positive("adam", learning_rate=learning_rate)
    below_one("adam", beta1=beta1, beta2=beta2)
    positive("adam", eps=eps)

    def init(arena: Arena) -> State:
        return {
            **moments_state(arena, beta1, beta2),
            **scalars(arena, learning_rate=learning_rate, eps=eps),
        }

    def update(u: Array, arena: Arena, state: State) -> None:
        xp = arena.xp
        moments(u, arena, state)
        # The corrections are numbers, in `factor` and in the root that `deviation` takes: m' and v'
        # themselves are never made.
        xp.multiply(state["m"], state["factor"], out=u)
        xp.divide(u, deviation(xp, state["v"], state), out=u)

    return Rule(init, update)


@update_rule()
def adamw(
    learning_rate: Scalar = 1e-3,
    beta1: Scalar = 0.9,
    beta2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    weight_decay: Scalar = 0.01,
) -> Rule:
    """u = adam(g) - learning_rate * weight_decay * theta, for the parameters that decay

    m, v (..., n) as in adam.
    PyTorch decays biases too.
    Reference: Loshchilov and Hutter, ICLR 2019.
    """
    not_negative("adamw", weight_decay=weight_decay)
    inner = adam(learning_rate, beta1, beta2, eps)

    def init(arena: Arena) -> State:
        return {**inner.init(arena), "weight_decay": arena.scalar(weight_decay)}

    def update(u: Array, arena: Arena, state: State) -> None:
        inner.update(u, arena, state)
        xp = arena.xp
        # adam is done with its factor, which holds the rate of the decay from here on.
        rate = state["factor"]
        xp.multiply(state["learning_rate"], state["weight_decay"], out=rate)
        add_decay(u, arena, xp.negative(rate, out=rate), state["scratch"])

    return Rule(init, update)


@update_rule()
def amsgrad(
    learning_rate: Scalar = 1e-3, beta1: Scalar = 0.9, beta2: Scalar = 0.999, eps: Scalar = 1e-8
) -> Rule:
    """m, v as in adam, w <- max(w, v), u = -learning_rate * m' / (sqrt(w / (1 - beta2^step)) + eps)

    m, v, w (..., n).
    PyTorch's Adam(amsgrad=True); the paper has no bias corrections.
    Reference: Reddi, Kale and Kumar, ICLR 2018.
    """
    inner = adam(learning_rate, beta1, beta2, eps)

    def init(arena: Arena) -> State:
        return {**inner.init(arena), **arrays(arena, "w")}

    def update(u: Array, arena: Arena, state: State) -> None:
        xp = arena.xp
        w = state["w"]
        moments(u, arena, state)
        # As in PyTorch the largest v is kept, and corrected afterwards.
        xp.maximum(w, state["v"], out=w)
        xp.multiply(state["m"], state["factor"], out=u)
        xp.divide(u, deviation(xp, w, state), out=u)

    return Rule(init, update)


@update_rule()
def adamax(
    learning_rate: Scalar = 2e-3, beta1: Scalar = 0.9, beta2: Scalar = 0.999, eps: Scalar = 1e-8
) -> Rule:
    """m as in adam, w <- max(beta2 w, |g| + eps), u = -learning_rate * m / (1 - beta1^step) / w

    m, w (..., n).
    Reference: Kingma and Ba, ICLR 2015, section 7.1; eps as in PyTorch.
    """
    positive("adamax", learning_rate=learning_rate)
    below_one("adamax", beta1=beta1, beta2=beta2)
    positive("adamax", eps=eps)

    def init(arena: Arena) -> State:
        numbers = scalars(
            arena, learning_rate=learning_rate, beta2=beta2, eps=eps, b1=0.0, c1=0.0, factor=0.0
        )
        return {
            **arrays(arena, "m", "w", "scratch"),
            **wide(arena, beta1=beta1, power1=1.0),
            **numbers,
        }

    def update(u: Array, arena: Arena, state: State) -> None:
        xp = arena.xp
        w = state["w"]
        s = state["scratch"]
        first_moment(u, arena, state)
        xp.abs(u, out=s)
        # eps is within the maximum: w is then above 0, and may be divided by.
        xp.add(s, state["eps"], out=s)
        xp.multiply(w, state["beta2"], out=w)
        xp.maximum(w, s, out=w)
        xp.multiply(state["m"], state["factor"], out=u)
        xp.divide(u, w, out=u)

    return Rule(init, update)


@update_rule()
def nadam(
    learning_rate: Scalar = 2e-3,
    beta1: Scalar = 0.9,
    beta2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    momentum_decay: Scalar = 4e-3,
) -> Rule:
    """u = -learning_rate * ((1 - mu) / (1 - M) * g + n / (1 - M n) * m) / (sqrt(v') + eps)

    m, v as in adam.
    mu = beta1 * (1 - 0.96^(step * momentum_decay) / 2), n the same one step later, M the product of
    all mu so far; m, v (..., n).
    Reference: Dozat, ICLR workshop 2016 (as in PyTorch).
    """
    inner = adam(learning_rate, beta1, beta2, eps)
    not_negative("nadam", momentum_decay=momentum_decay)

    def init(arena: Arena) -> State:
        extra = wide(arena, momentum_decay=momentum_decay, product=1.0)
        return {**inner.init(arena), **extra, "ahead": arena.scalar(0.0)}

    def update(u: Array, arena: Arena, state: State) -> None:
        xp = arena.xp
        s = state["scratch"]
        product = state["product"]
        step = state["step"].astype("float64")
        moments(u, arena, state)
        rate = state["momentum_decay"]
        mu = state["beta1"] * (1.0 - 0.5 * 0.96 ** (step * rate))
        following = state["beta1"] * (1.0 - 0.5 * 0.96 ** ((step + 1.0) * rate))
        product *= mu
        state["factor"][...] = -state["learning_rate"] * (1.0 - mu) / (1.0 - product)
        state["ahead"][...] = -state["learning_rate"] * following / (1.0 - product * following)
        xp.multiply(u, state["factor"], out=u)
        xp.multiply(state["m"], state["ahead"], out=s)
        xp.add(u, s, out=u)
        xp.divide(u, deviation(xp, state["v"], state), out=u)

    return Rule(init, update)


@update_rule()
def radam(
    learning_rate: Scalar = 1e-3, beta1: Scalar = 0.9, beta2: Scalar = 0.999, eps: Scalar = 1e-8
) -> Rule:
    """u = -learning_rate * m' * (r sqrt(1 - beta2^step) / (sqrt(v) + eps) if rho > 5 else 1)

    m, v as in adam.
    rho = R - 2 step beta2^step / (1 - beta2^step), R = 2 / (1 - beta2) - 1, r^2 = (rho-4)(rho-2) R
    / ((R-4)(R-2) rho); m, v (..., n).
    The bound 5 as in PyTorch; the paper has 4.
    Reference: Liu et al., ICLR 2020.
    """
    inner = adam(learning_rate, beta1, beta2, eps)

    def init(arena: Arena) -> State:
        return {**inner.init(arena), **scalars(arena, slope=0.0, offset=0.0)}

    def update(u: Array, arena: Arena, state: State) -> None:
        xp = arena.xp
        s = state["scratch"]
        beta = state["beta2"]
        step = state["step"].astype("float64")  # 1 - beta2^step would lose digits in float32
        moments(u, arena, state)
        left = 1.0 - state["power2"]
        most = 2.0 / (1.0 - beta) - 1.0
        rho = most - 2.0 * step * state["power2"] / left
        rectified = rho > 5.0
        # Where rho is not above 5, r is not used: any number does that raises no warning.
        rho = xp.maximum(rho, 5.0)
        most = xp.maximum(most, 5.0)
        r = xp.sqrt((rho - 4.0) * (rho - 2.0) * most / ((most - 4.0) * (most - 2.0) * rho))
        # Both forms are m' / (slope * sqrt(v) + offset), the second one with slope 0 and offset 1:
        # members of a population may differ in the form.
        state["factor"][...] = (
            -state["learning_rate"]
            / (1.0 - state["power1"])
            * xp.where(rectified, r * xp.sqrt(left), 1.0)
        )
        state["slope"][...] = rectified
        state["offset"][...] = xp.where(rectified, state["eps"], 1.0)
        xp.sqrt(state["v"], out=s)
        xp.multiply(s, state["slope"], out=s)
        xp.add(s, state["offset"], out=s)
        xp.multiply(state["m"], state["factor"], out=u)
        xp.divide(u, s, out=u)

    return Rule(init, update)
