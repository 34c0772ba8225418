"""Rules and ingredients that are evaluated at other parameters than those that are trained."""

from typing import Any

from harness.builtin.updates.common import (
    State,
    add_decay,
    arrays,
    below_one,
    check,
    deviation,
    not_negative,
    positive,
    scalars,
    second_moment,
    whole,
    wide,
)
from harness.builtin.updates.elementwise import elementwise
from harness.engine.arena import Arena
from harness.engine.contracts import Rule
from harness.ops import Array
from harness.registry.decorators import update_rule
from harness.registry.known import Scalar


@update_rule()
def schedule_free_sgd(
    learning_rate: Scalar = 1.0, beta: Scalar = 0.9, weight_decay: Scalar = 0.0
) -> Rule:
    """z <- z - learning_rate * g(y), x <- (1 - c) x + c z, y = (1 - beta) z + beta x

    y is trained, x evaluated.
    c = l^2 / (sum of all l^2 so far), l the largest learning rate so far: 1 / step where it is
    constant. e = x - z (..., n) is all that is kept: e <- (1 - c)(e + d), u = beta * (change of e)
    - d, d = learning_rate * g. g includes weight_decay * y. The authors call beta momentum; for
    warm-up give the learning rate a schedule. The last rule of a composition. Reference: Defazio et
    al., The road less scheduled, NeurIPS 2024.
    """
    positive("schedule_free_sgd", learning_rate=learning_rate)
    below_one("schedule_free_sgd", beta=beta)
    not_negative("schedule_free_sgd", weight_decay=weight_decay)

    def init(arena: Arena) -> State:
        return {**_free_state(arena, learning_rate, weight_decay), "beta": arena.scalar(beta)}

    def update(u: Array, arena: Arena, state: State) -> None:
        add_decay(u, arena, state["weight_decay"], state["scratch"])
        _free(u, arena, state, state["beta"])

    return Rule(init, update, evaluate=_averaged)


@update_rule()
def schedule_free_adamw(
    learning_rate: Scalar = 2.5e-3,
    beta1: Scalar = 0.9,
    beta2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    weight_decay: Scalar = 0.0,
) -> Rule:
    """schedule_free_sgd with beta = beta1 on g / (sqrt(v') + eps) + weight_decay * y

    v' = v / (1 - beta2^step), v <- beta2 v + (1 - beta2) g^2; e, v (..., n).
    As in the authors' code; the paper puts the bias correction into the learning rate and so into
    c.
    Reference: Defazio et al., NeurIPS 2024.
    """
    positive("schedule_free_adamw", learning_rate=learning_rate, eps=eps)
    below_one("schedule_free_adamw", beta1=beta1, beta2=beta2)
    not_negative("schedule_free_adamw", weight_decay=weight_decay)

    def init(arena: Arena) -> State:
        numbers = {**scalars(arena, beta1=beta1, eps=eps), **wide(arena, beta2=beta2, power2=1.0)}
        follow = scalars(arena, b2=0.0, c2=0.0, root=0.0)
        return {
            **_free_state(arena, learning_rate, weight_decay),
            **arrays(arena, "v"),
            **numbers,
            **follow,
        }

    def update(u: Array, arena: Arena, state: State) -> None:
        xp = arena.xp
        second_moment(u, arena, state)
        xp.divide(u, deviation(xp, state["v"], state), out=u)
        add_decay(u, arena, state["weight_decay"], state["scratch"])
        _free(u, arena, state, state["beta1"])

    return Rule(init, update, evaluate=_averaged)


def _free_state(arena: Arena, learning_rate: Any, weight_decay: Any) -> State:
    numbers = scalars(
        arena, learning_rate=learning_rate, weight_decay=weight_decay, last=0.0, keep=0.0
    )
    return {**arrays(arena, "e", "scratch"), **numbers, **wide(arena, largest=0.0, total=0.0)}


def _free(u: Array, arena: Arena, state: State, beta: Array) -> None:
    """The step of y for a direction u.

    z and x are measured from y, so that nothing has to know where training began.
    """
    xp = arena.xp
    e = state["e"]
    s = state["scratch"]
    keep = state["keep"]
    last = state["last"]
    largest = state["largest"]
    total = state["total"]
    xp.maximum(largest, state["learning_rate"], out=largest)
    weight = largest * largest
    total += weight
    keep[...] = 1.0 - weight / xp.maximum(total, 1e-300)  # total is 0 where a warm-up begins at 0
    xp.multiply(u, state["learning_rate"], out=s)
    xp.add(e, s, out=u)
    # u holds the new e, and e is scratch until it is copied there.
    xp.multiply(u, keep, out=u)
    xp.multiply(e, last, out=e)
    xp.add(s, e, out=s)
    xp.copyto(e, u)
    xp.multiply(u, beta, out=u)
    xp.subtract(u, s, out=u)
    xp.copyto(last, beta)


def _averaged(arena: Arena, state: State) -> Array:
    """x = y + (1 - beta) e"""
    return arena.value + (1.0 - state["last"]) * state["e"]


@update_rule()
def asgd(
    learning_rate: Scalar = 0.01,
    weight_decay: Scalar = 1e-4,
    alpha: Scalar = 0.75,
    t0: Scalar = 0.0,
) -> Rule:
    """u = -rate * (g + weight_decay * theta), mean the average of all theta after step t0

    rate = learning_rate / (1 + weight_decay * learning_rate * (step - 1))^alpha.
    theta is trained, mean evaluated; up to step t0 they are equal. mean (..., n).
    Weights decay, biases do not. The last rule of a composition.
    PyTorch's ASGD, which calls weight_decay lambd and counts t0 from the second step on, so that
    its t0 is one less; there it is 1e6, and the average has to be asked for. What it calls
    weight_decay is compose(weight_decay(rate), asgd) here.
    Reference: Polyak and Juditsky, SIAM J. Control Optim. 30, 1992; the learning rate: Bottou,
    Large-scale machine learning with stochastic gradient descent, COMPSTAT 2010.
    """
    positive("asgd", learning_rate=learning_rate)
    not_negative("asgd", weight_decay=weight_decay, alpha=alpha, t0=t0)

    def formula(g, *, theta, decays, step, learning_rate, weight_decay, alpha):
        rate = learning_rate / (1 + weight_decay * learning_rate * (step - 1)) ** alpha
        return -rate * (g + weight_decay * decays * theta)

    inner = elementwise(
        formula, learning_rate=learning_rate, weight_decay=weight_decay, alpha=alpha
    )

    def init(arena: Arena) -> State:
        numbers = {**wide(arena, t0=t0), **scalars(arena, weight=0.0)}
        return {**inner.init(arena), **arrays(arena, "mean", "scratch"), **numbers}

    def project(arena: Arena, state: State) -> None:
        xp = arena.xp
        weight = state["weight"]
        # Up to step t0 and right after it the weight is 1: the mean begins anew.
        weight[...] = 1.0 / xp.maximum(state["step"] - state["t0"], 1.0)
        _move_mean(arena, state, weight)

    def evaluate(arena: Arena, state: State) -> Array:
        # Before the first step there is no mean.
        return arena.xp.where(state["weight"] > 0, state["mean"], arena.value)

    return Rule(init, inner.update, project, evaluate, inner.fuse)


def _move_mean(arena: Arena, state: State, weight: Array) -> None:
    """mean <- mean + weight * (theta - mean)"""
    xp = arena.xp
    mean = state["mean"]
    s = state["scratch"]
    xp.subtract(arena.value, mean, out=s)
    xp.multiply(s, weight, out=s)
    xp.add(mean, s, out=mean)


@update_rule()
def ema(decay: Scalar = 0.999) -> Rule:
    """mean <- mean + (1 - decay) / (1 - decay^step) * (theta - mean) after each step

    theta is trained, mean evaluated.
    An ingredient, such as compose(adam(1e-3), ema(0.99)); u = g. mean (..., n): the parameters of k
    steps ago weigh in proportion to decay^k, and the weights sum to 1 from the first step on;
    PyTorch's average starts with all weight on the first parameters instead.
    Reference: Polyak and Juditsky, SIAM J. Control Optim. 30, 1992; corrected as in Kingma and Ba,
    ICLR 2015.
    """
    below_one("ema", decay=decay)

    def init(arena: Arena) -> State:
        powers = wide(arena, decay=decay, power=1.0)
        return {**arrays(arena, "mean", "scratch"), **powers, "weight": arena.scalar(0.0)}

    def update(u: Array, arena: Arena, state: State) -> None:
        power = state["power"]
        power *= state["decay"]  # in place, in the state itself

    def project(arena: Arena, state: State) -> None:
        weight = state["weight"]
        # In float64, rounded once: 1 - decay^step would lose digits in float32.
        weight[...] = (1.0 - state["decay"]) / (1.0 - state["power"])
        _move_mean(arena, state, weight)

    def evaluate(arena: Arena, state: State) -> Array:
        # Before the first step there is no mean.
        return arena.xp.where(state["power"] < 1.0, state["mean"], arena.value)

    return Rule(init, update, project, evaluate)


@update_rule()
def lookahead(every: int = 5, alpha: Scalar = 0.5) -> Rule:
    """every so many steps slow <- slow + alpha * (theta - slow), theta <- slow; slow is evaluated

    An ingredient, the last of a composition: compose(sgd(0.1), lookahead(5)).
    d = theta - slow (..., n); u = g between these steps.
    Reference: Zhang et al., Lookahead optimizer, NeurIPS 2019.
    """
    whole("lookahead", "every", every)
    check("lookahead", "alpha", alpha, lambda v: 0 < v <= 1, "in (0, 1]")

    def init(arena: Arena) -> State:
        return {**arrays(arena, "d", "scratch"), **scalars(arena, alpha=alpha, back=0.0)}

    def update(u: Array, arena: Arena, state: State) -> None:
        xp = arena.xp
        d = state["d"]
        s = state["scratch"]
        back = state["back"]
        xp.add(d, u, out=d)
        # A number and no branch, since on a GPU the step is not known here: 1 where the slow
        # parameters move, else 0.
        back[...] = state["step"] % every == 0
        xp.multiply(d, back * (1.0 - state["alpha"]), out=s)
        xp.subtract(u, s, out=u)
        xp.multiply(d, xp.subtract(1.0, back, out=back), out=d)

    def evaluate(arena: Arena, state: State) -> Array:
        return arena.value - state["d"]

    return Rule(init, update, evaluate=evaluate)
