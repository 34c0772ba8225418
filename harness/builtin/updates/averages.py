"""Rules and ingredients that are evaluated at other parameters than those that are trained."""

from typing import Any

from harness.builtin.updates.adaptive import deviation
from harness.builtin.updates.common import (
    State,
    arrays,
    below_one,
    check,
    not_negative,
    positive,
    scalars,
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

    def step(g, e, *, learning_rate, beta, keep, last, weight_decay, theta, decays):
        return _free(g + weight_decay * decays * theta, e, learning_rate, beta, keep, last)

    return elementwise(
        step,
        before=_weigh,
        evaluate=_averaged,
        learning_rate=learning_rate,
        beta=beta,
        weight_decay=weight_decay,
        **_FREE,
    )


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

    def step(
        g, e, v, *, theta, decays, step, learning_rate, beta, beta2, eps, weight_decay, keep, last
    ):
        v = beta2 * v + (1 - beta2) * g**2
        d = g / (deviation(v, beta2, step) + eps) + weight_decay * decays * theta
        return *_free(d, e, learning_rate, beta, keep, last), v

    return elementwise(
        step,
        before=_weigh,
        evaluate=_averaged,
        learning_rate=learning_rate,
        beta=beta1,
        beta2=beta2,
        eps=eps,
        weight_decay=weight_decay,
        **_FREE,
    )


# The scalars of both that begin as 0 and are set before each step: c is 1 - keep, and `last` is the
# beta of the step before.
_FREE = {"keep": 0.0, "last": 0.0, "current": 0.0, "largest": 0.0, "total": 0.0}


def _free(d: Any, e: Any, learning_rate: Any, beta: Any, keep: Any, last: Any) -> tuple[Any, Any]:
    """The step of y for a direction d, and the new e.

    z and x are measured from y, so that nothing has to know where training began.
    """
    d = learning_rate * d
    new = keep * (e + d)
    return beta * new - (d + last * e), new


def _weigh(arena: Arena, state: State) -> None:
    """Sets what a step takes of the steps before it."""
    xp = arena.xp
    largest = state["largest"]
    total = state["total"]
    xp.maximum(largest, state["learning_rate"], out=largest)
    weight = largest * largest
    total += weight
    # total is 0 where a warm-up begins at 0
    state["keep"][...] = 1.0 - weight / xp.maximum(total, 1e-300)
    xp.copyto(state["last"], state["current"])
    xp.copyto(state["current"], state["beta"])


def _averaged(arena: Arena, state: State) -> Array:
    """x = y + (1 - beta) e"""
    share = (1.0 - state["current"]).astype(arena.value.dtype)
    return arena.value + share * state["e"]


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

    def step(g, d, *, alpha, back):
        d = d + g
        return g - back * (1 - alpha) * d, (1 - back) * d

    def before(arena: Arena, state: State) -> None:
        # A number and no branch, since on a GPU the step is not known here: 1 where the slow
        # parameters move, else 0.
        state["back"][...] = state["step"] % every == 0

    def evaluate(arena: Arena, state: State) -> Array:
        return arena.value - state["d"]

    return elementwise(step, before=before, evaluate=evaluate, alpha=alpha, back=0.0)
