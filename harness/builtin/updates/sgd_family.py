"""Rules that follow the gradient, its running sum, or its sign."""

import numpy as np

from harness.builtin.updates.common import below_one, check, not_negative, positive
from harness.builtin.updates.elementwise import elementwise
from harness.engine.contracts import Rule
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

    def formula(g, *, learning_rate):
        return -learning_rate * g

    return elementwise(formula, learning_rate=learning_rate)


@update_rule()
def momentum(learning_rate: Scalar = 0.1, decay: Scalar = 0.9) -> Rule:
    """v <- decay * v + g, u = -learning_rate * v

    v (..., n) is a sum, not an average: PyTorch's SGD(momentum=decay), but for its learning rate of
    1e-3. The same as compose(trace(decay), scale(-learning_rate)) in fewer passes.
    Reference: Polyak, USSR Comp. Math. 4, 1964.
    """
    positive("momentum", learning_rate=learning_rate)
    below_one("momentum", decay=decay)

    def formula(g, v, *, learning_rate, decay):
        # The learning rate is no part of v, which stays a sum of gradients where the rate changes.
        v = decay * v + g
        return -learning_rate * v, v

    return elementwise(formula, learning_rate=learning_rate, decay=decay)


@update_rule()
def nesterov(learning_rate: Scalar = 0.1, decay: Scalar = 0.9) -> Rule:
    """v <- decay * v + g, u = -learning_rate * (g + decay * v)

    v (..., n).
    PyTorch's SGD(momentum=decay, nesterov=True), but for its learning rate of 1e-3.
    Reference: Nesterov, Soviet Math. Dokl. 27, 1983, in the form of Sutskever et al., ICML 2013.
    """
    positive("nesterov", learning_rate=learning_rate)
    below_one("nesterov", decay=decay)

    def formula(g, v, *, learning_rate, decay):
        v = decay * v + g
        return -learning_rate * (g + decay * v), v

    return elementwise(formula, learning_rate=learning_rate, decay=decay)


@update_rule()
def optimistic_gradient_descent(learning_rate: Scalar = 0.05, optimism: Scalar = 1.0) -> Rule:
    """u = -learning_rate * (g + optimism * (g - last)), last the gradient of the step before

    last (..., n); g itself at the first step.
    It foresees that the gradient will change as it has just changed, which keeps a game of two
    players, such as min max x y, from going in circles. Where the curvature is h, it goes down for
    learning rates below 2 / (h (1 + 2 optimism)), at optimism = 1 a third of those of sgd.
    In the paper alpha is the learning rate, and beta is learning_rate * optimism; optax has its
    alpha = 1, and beta = optimism.
    Reference: Mokhtari, Ozdaglar and Pattathil, A unified analysis of extra-gradient and optimistic
    gradient methods for saddle point problems, AISTATS 2020; with optimism = 1 Daskalakis, Ilyas,
    Syrgkanis and Zeng, Training GANs with optimism, ICLR 2018.
    """
    positive("optimistic_gradient_descent", learning_rate=learning_rate)
    not_negative("optimistic_gradient_descent", optimism=optimism)

    def formula(g, last, *, step, learning_rate, optimism):
        change = np.where(step > 1, g - last, 0.0)
        return -learning_rate * (g + optimism * change), g

    return elementwise(formula, learning_rate=learning_rate, optimism=optimism)


@update_rule()
def signsgd(learning_rate: Scalar = 1e-3) -> Rule:
    """u = -learning_rate * sign(g)

    With momentum (Signum): compose(trace(0.9), signsgd(1e-3)).
    Reference: Bernstein et al., signSGD, ICML 2018.
    """
    positive("signsgd", learning_rate=learning_rate)

    def formula(g, *, learning_rate):
        return -learning_rate * np.sign(g)

    return elementwise(formula, learning_rate=learning_rate)


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

    def formula(g, m, *, theta, decays, learning_rate, beta1, beta2, weight_decay):
        direction = np.sign(beta1 * m + (1 - beta1) * g) + weight_decay * decays * theta
        return -learning_rate * direction, beta2 * m + (1 - beta2) * g

    return elementwise(
        formula, learning_rate=learning_rate, beta1=beta1, beta2=beta2, weight_decay=weight_decay
    )


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
    last, the sign as it was compared (..., n).
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

    def formula(g, size, last, *, step, learning_rate, eta_minus, eta_plus, smallest, largest):
        size = np.where(step > 1, size, 1.0)  # arrays begin as zeros
        sign = np.sign(g)
        stays = sign * last  # 1 where the sign has stayed, -1 where it has changed, else 0
        size = size * np.where(stays > 0, eta_plus, np.where(stays < 0, eta_minus, 1.0))
        size = np.clip(size, smallest, largest)
        sign = np.where(stays < 0, 0.0, sign)
        return -learning_rate * size * sign, size, sign

    return elementwise(
        formula,
        learning_rate=learning_rate,
        eta_minus=eta_minus,
        eta_plus=eta_plus,
        smallest=smallest,
        largest=largest,
    )
