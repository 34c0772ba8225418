"""Rules with a step size for each parameter, from running means of its squared gradient."""

from typing import Any

import numpy as np

from harness.builtin.updates.common import State, below_one, not_negative, positive, wide
from harness.builtin.updates.elementwise import elementwise
from harness.engine.arena import Arena
from harness.engine.contracts import Rule
from harness.ops import Array
from harness.registry.decorators import update_rule
from harness.registry.known import Scalar


def check_adam(rule: str, learning_rate: Any, beta1: Any, beta2: Any, eps: Any) -> None:
    """UsageError unless these are hyperparameters of Adam."""
    positive(rule, learning_rate=learning_rate)
    below_one(rule, beta1=beta1, beta2=beta2)
    positive(rule, eps=eps)


def moments(g: Any, m: Any, v: Any, beta1: Any, beta2: Any) -> tuple[Any, Any]:
    """The running means of g and of its square."""
    return beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2


def deviation(v: Any, beta2: Any, step: Any) -> Any:
    """sqrt(v / (1 - beta2^step)), where only sqrt(v) is computed for each parameter"""
    return np.sqrt(v) * (1 / np.sqrt(1 - beta2**step))


@update_rule()
def adagrad(learning_rate: Scalar = 0.01, eps: Scalar = 1e-10) -> Rule:
    """v <- v + g^2, u = -learning_rate * g / (sqrt(v) + eps)

    v (..., n).
    PyTorch's lr_decay and initial_accumulator_value are left out: give the learning rate a
    schedule.
    Reference: Duchi, Hazan and Singer, JMLR 12, 2011.
    """
    positive("adagrad", learning_rate=learning_rate, eps=eps)

    def formula(g, v, *, learning_rate, eps):
        v = v + g**2
        return -learning_rate * g / (np.sqrt(v) + eps), v

    return elementwise(formula, learning_rate=learning_rate, eps=eps)


@update_rule()
def adadelta(learning_rate: Scalar = 1.0, rho: Scalar = 0.9, eps: Scalar = 1e-6) -> Rule:
    """u = -learning_rate * d, d = g sqrt((w + eps) / (v + eps))

    v <- rho v + (1 - rho) g^2, w <- rho w + (1 - rho) d^2.
    v, w (..., n).
    Reference: Zeiler, ADADELTA: an adaptive learning rate method, 2012.
    """
    positive("adadelta", learning_rate=learning_rate, eps=eps)
    below_one("adadelta", rho=rho)

    def formula(g, v, w, *, learning_rate, rho, eps):
        v = rho * v + (1 - rho) * g**2
        # w holds the squares of earlier steps alone: it has the units of a step, not of a gradient.
        d = g / np.sqrt(v + eps) * np.sqrt(w + eps)
        return -learning_rate * d, v, rho * w + (1 - rho) * d**2

    return elementwise(formula, learning_rate=learning_rate, rho=rho, eps=eps)


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

    def plain(g, v, *, learning_rate, alpha, eps):
        v = alpha * v + (1 - alpha) * g**2
        return -learning_rate * g / (np.sqrt(v) + eps), v

    def around_mean(g, v, m, *, learning_rate, alpha, eps):
        v = alpha * v + (1 - alpha) * g**2
        m = alpha * m + (1 - alpha) * g
        variance = np.maximum(v - m**2, 0)  # rounding may have made it negative
        return -learning_rate * g / (np.sqrt(variance) + eps), v, m

    return elementwise(
        around_mean if centered else plain, learning_rate=learning_rate, alpha=alpha, eps=eps
    )


@update_rule()
def adam(
    learning_rate: Scalar = 1e-3, beta1: Scalar = 0.9, beta2: Scalar = 0.999, eps: Scalar = 1e-8
) -> Rule:
    """u = -learning_rate * m' / (sqrt(v') + eps)

    m <- beta1 m + (1 - beta1) g, v <- beta2 v + (1 - beta2) g^2.
    m' = m / (1 - beta1^step), v' = v / (1 - beta2^step); m, v (..., n).
    Reference: Kingma and Ba, ICLR 2015.
    """
    check_adam("adam", learning_rate, beta1, beta2, eps)

    def formula(g, m, v, *, step, learning_rate, beta1, beta2, eps):
        m, v = moments(g, m, v, beta1, beta2)
        rate = learning_rate / (1 - beta1**step)
        return -rate * m / (deviation(v, beta2, step) + eps), m, v

    return elementwise(formula, learning_rate=learning_rate, beta1=beta1, beta2=beta2, eps=eps)


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
    check_adam("adamw", learning_rate, beta1, beta2, eps)

    def formula(g, m, v, *, theta, decays, step, learning_rate, beta1, beta2, eps, weight_decay):
        m, v = moments(g, m, v, beta1, beta2)
        rate = learning_rate / (1 - beta1**step)
        u = -rate * m / (deviation(v, beta2, step) + eps)
        return u - learning_rate * weight_decay * decays * theta, m, v

    return elementwise(
        formula,
        learning_rate=learning_rate,
        beta1=beta1,
        beta2=beta2,
        eps=eps,
        weight_decay=weight_decay,
    )


@update_rule()
def amsgrad(
    learning_rate: Scalar = 1e-3, beta1: Scalar = 0.9, beta2: Scalar = 0.999, eps: Scalar = 1e-8
) -> Rule:
    """m, v as in adam, w <- max(w, v), u = -learning_rate * m' / (sqrt(w / (1 - beta2^step)) + eps)

    m, v, w (..., n).
    PyTorch's Adam(amsgrad=True); the paper has no bias corrections.
    Reference: Reddi, Kale and Kumar, ICLR 2018.
    """
    check_adam("amsgrad", learning_rate, beta1, beta2, eps)

    def formula(g, m, v, w, *, step, learning_rate, beta1, beta2, eps):
        m, v = moments(g, m, v, beta1, beta2)
        w = np.maximum(w, v)  # as in PyTorch the largest v is kept, and corrected afterwards
        rate = learning_rate / (1 - beta1**step)
        return -rate * m / (deviation(w, beta2, step) + eps), m, v, w

    return elementwise(formula, learning_rate=learning_rate, beta1=beta1, beta2=beta2, eps=eps)


@update_rule()
def adamax(
    learning_rate: Scalar = 2e-3, beta1: Scalar = 0.9, beta2: Scalar = 0.999, eps: Scalar = 1e-8
) -> Rule:
    """m as in adam, w <- max(beta2 w, |g| + eps), u = -learning_rate * m / (1 - beta1^step) / w

    m, w (..., n).
    Reference: Kingma and Ba, ICLR 2015, section 7.1; eps as in PyTorch.
    """
    check_adam("adamax", learning_rate, beta1, beta2, eps)

    def formula(g, m, w, *, step, learning_rate, beta1, beta2, eps):
        m = beta1 * m + (1 - beta1) * g
        # eps is within the maximum: w is then above 0, and may be divided by.
        w = np.maximum(beta2 * w, np.abs(g) + eps)
        return -learning_rate / (1 - beta1**step) * m / w, m, w

    return elementwise(formula, learning_rate=learning_rate, beta1=beta1, beta2=beta2, eps=eps)


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
    check_adam("nadam", learning_rate, beta1, beta2, eps)
    not_negative("nadam", momentum_decay=momentum_decay)

    def formula(g, m, v, *, step, learning_rate, beta1, beta2, eps, mu, following, product):
        m, v = moments(g, m, v, beta1, beta2)
        now = learning_rate * (1 - mu) / (1 - product)
        ahead = learning_rate * following / (1 - product * following)
        return -(now * g + ahead * m) / (deviation(v, beta2, step) + eps), m, v

    inner = elementwise(
        formula,
        learning_rate=learning_rate,
        beta1=beta1,
        beta2=beta2,
        eps=eps,
        mu=0.0,
        following=0.0,
        product=1.0,
    )

    def init(arena: Arena) -> State:
        return {**inner.init(arena), **wide(arena, momentum_decay=momentum_decay)}

    def count(state: State) -> None:
        """mu of this step and of the following one, and the product of all mu so far"""
        step = state["step"].astype("float64")
        rate = state["momentum_decay"]
        state["mu"][...] = state["beta1"] * (1.0 - 0.5 * 0.96 ** (step * rate))
        state["following"][...] = state["beta1"] * (1.0 - 0.5 * 0.96 ** ((step + 1.0) * rate))
        # In place: state["product"] itself is multiplied.
        product = state["product"]
        product *= state["mu"]

    def update(u: Array, arena: Arena, state: State) -> None:
        count(state)
        inner.update(u, arena, state)

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
    check_adam("radam", learning_rate, beta1, beta2, eps)

    def formula(g, m, v, *, step, learning_rate, beta1, beta2, eps):
        m, v = moments(g, m, v, beta1, beta2)
        left = 1 - beta2**step
        most = 2 / (1 - beta2) - 1
        rho = most - 2 * step * beta2**step / left
        rectified = rho > 5
        # Where rho is not above 5, r is not used: any number does that raises no warning.
        rho = np.maximum(rho, 5)
        most = np.maximum(most, 5)
        r = np.sqrt((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho))
        rate = learning_rate / (1 - beta1**step) * np.where(rectified, r * np.sqrt(left), 1.0)
        # Members of a population may differ in the form: here it is one, m / (slope sqrt(v) + c).
        slope = np.where(rectified, 1.0, 0.0)
        offset = np.where(rectified, eps, 1.0)
        return -rate * m / (slope * np.sqrt(v) + offset), m, v

    return elementwise(formula, learning_rate=learning_rate, beta1=beta1, beta2=beta2, eps=eps)
