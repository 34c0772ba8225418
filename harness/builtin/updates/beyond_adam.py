"""Rules that each change one thing about adam: what is averaged, or in which order."""

import numpy as np

from harness.builtin.updates.adaptive import check_adam, deviation, moments
from harness.builtin.updates.common import below_one, not_negative
from harness.builtin.updates.elementwise import elementwise
from harness.engine.contracts import Rule
from harness.registry.decorators import update_rule
from harness.registry.known import Scalar


@update_rule()
def adabelief(
    learning_rate: Scalar = 1e-3, beta1: Scalar = 0.9, beta2: Scalar = 0.999, eps: Scalar = 1e-16
) -> Rule:
    """u = -learning_rate * m' / (sqrt(s') + eps), s <- beta2 s + (1 - beta2) (g - m)^2 + eps

    m as in adam; m' = m / (1 - beta1^step), s' = s / (1 - beta2^step).
    Steps are long where the gradient is as its mean m had it, and short where it surprises.
    m, s (..., n).
    Reference: Zhuang et al., AdaBelief optimizer, NeurIPS 2020.
    """
    check_adam("adabelief", learning_rate, beta1, beta2, eps)

    def formula(g, m, s, *, step, learning_rate, beta1, beta2, eps):
        m = beta1 * m + (1 - beta1) * g
        s = beta2 * s + (1 - beta2) * (g - m) ** 2 + eps
        rate = learning_rate / (1 - beta1**step)
        return -rate * m / (deviation(s, beta2, step) + eps), m, s

    return elementwise(formula, learning_rate=learning_rate, beta1=beta1, beta2=beta2, eps=eps)


@update_rule()
def yogi(
    learning_rate: Scalar = 0.01, beta1: Scalar = 0.9, beta2: Scalar = 0.999, eps: Scalar = 1e-3
) -> Rule:
    """v <- v - (1 - beta2) sign(v - g^2) g^2, u = -learning_rate * m' / (sqrt(v') + eps)

    m, m' and v' as in adam; m, v (..., n).
    v moves by the same amount in both directions, whereas adam forgets a large gradient quickly.
    m and v are corrected as in optax, though they begin at 0; the paper does not correct them.
    Reference: Zaheer, Reddi, Sachan, Kale and Kumar, Adaptive methods for nonconvex optimization,
    NeurIPS 2018.
    """
    check_adam("yogi", learning_rate, beta1, beta2, eps)

    def formula(g, m, v, *, step, learning_rate, beta1, beta2, eps):
        m = beta1 * m + (1 - beta1) * g
        square = g**2
        # Where v is below the square it goes up, and never down to less than 0.
        v = v - (1 - beta2) * np.sign(v - square) * square
        rate = learning_rate / (1 - beta1**step)
        return -rate * m / (deviation(v, beta2, step) + eps), m, v

    return elementwise(formula, learning_rate=learning_rate, beta1=beta1, beta2=beta2, eps=eps)


@update_rule()
def adan(
    learning_rate: Scalar = 1e-3,
    beta1: Scalar = 0.98,
    beta2: Scalar = 0.92,
    beta3: Scalar = 0.99,
    eps: Scalar = 1e-8,
    weight_decay: Scalar = 0.02,
) -> Rule:
    """d = (m' + beta2 c') / (sqrt(v') + eps), theta <- (theta - rate d) / (1 + rate weight_decay)

    rate = learning_rate, and u is the difference.
    c is the running mean of the change of the gradient, g - last (0 at the first step): m <- beta1
    m + (1 - beta1) g, c <- beta2 c + (1 - beta2) (g - last), v <- beta3 v + (1 - beta3) (g + beta2
    (g - last))^2.
    m', c' and v' are divided by 1 - beta^step, each with its own beta.
    m, c, v, last (..., n).
    Weights decay, biases do not.
    The betas are what is kept, as in the authors' code; in the paper they are what is taken.
    Reference: Xie, Zhou, Li, Lin and Yan, Adan: adaptive Nesterov momentum algorithm, 2022
    (arXiv:2208.06677).
    """
    check_adam("adan", learning_rate, beta1, beta2, eps)
    below_one("adan", beta3=beta3)
    not_negative("adan", weight_decay=weight_decay)

    def formula(
        g,
        m,
        c,
        v,
        last,
        *,
        theta,
        decays,
        step,
        learning_rate,
        beta1,
        beta2,
        beta3,
        eps,
        weight_decay,
    ):
        change = np.where(step > 1, g - last, 0.0)
        m = beta1 * m + (1 - beta1) * g
        c = beta2 * c + (1 - beta2) * change
        v = beta3 * v + (1 - beta3) * (g + beta2 * change) ** 2
        ahead = (1 / (1 - beta1**step)) * m + (beta2 / (1 - beta2**step)) * c
        d = ahead / (deviation(v, beta3, step) + eps)
        pull = learning_rate * weight_decay * decays
        return (-learning_rate * d - pull * theta) / (1 + pull), m, c, v, g

    return elementwise(
        formula,
        learning_rate=learning_rate,
        beta1=beta1,
        beta2=beta2,
        beta3=beta3,
        eps=eps,
        weight_decay=weight_decay,
    )


@update_rule()
def ademamix(
    learning_rate: Scalar = 1e-3,
    beta1: Scalar = 0.9,
    beta2: Scalar = 0.999,
    beta3: Scalar = 0.9999,
    alpha: Scalar = 5.0,
    eps: Scalar = 1e-8,
    weight_decay: Scalar = 0.0,
) -> Rule:
    """u = -learning_rate * ((m' + alpha slow) / (sqrt(v') + eps) + weight_decay * theta)

    m, v, m' and v' as in adam, slow <- beta3 slow + (1 - beta3) g, a mean over far more steps.
    m, v, slow (..., n).
    Weights decay, biases do not.
    The paper raises alpha and beta3 slowly: give them schedules, such as alpha="linear(0.0, 5.0)".
    Reference: Pagliardini, Ablin and Grangier, The AdEMAMix optimizer, ICLR 2025.
    """
    check_adam("ademamix", learning_rate, beta1, beta2, eps)
    below_one("ademamix", beta3=beta3)
    not_negative("ademamix", alpha=alpha, weight_decay=weight_decay)

    def formula(
        g,
        m,
        v,
        slow,
        *,
        theta,
        decays,
        step,
        learning_rate,
        beta1,
        beta2,
        beta3,
        alpha,
        eps,
        weight_decay,
    ):
        m, v = moments(g, m, v, beta1, beta2)
        slow = beta3 * slow + (1 - beta3) * g
        mixed = m * (1 / (1 - beta1**step)) + alpha * slow
        d = mixed / (deviation(v, beta2, step) + eps)
        return -learning_rate * (d + weight_decay * decays * theta), m, v, slow

    return elementwise(
        formula,
        learning_rate=learning_rate,
        beta1=beta1,
        beta2=beta2,
        beta3=beta3,
        alpha=alpha,
        eps=eps,
        weight_decay=weight_decay,
    )


@update_rule()
def simplified_ademamix(
    learning_rate: Scalar = 1e-3,
    beta1: Scalar = 0.99,
    beta2: Scalar = 0.95,
    alpha: Scalar = 0.0,
    eps: Scalar = 1e-8,
) -> Rule:
    """m <- beta1 m + g, u = -learning_rate * (m + alpha g) / (sqrt(v') + eps), v' as in adam

    m, v (..., n).
    m is a sum and no mean: where g stays, a step is 1 / (1 - beta1) + alpha times that of adam.
    Reference: Morwani, Vyas, Zhang and Kakade, Connections between schedule-free optimizers,
    AdEMAMix, and accelerated SGD variants, 2025 (arXiv:2502.02431).
    """
    check_adam("simplified_ademamix", learning_rate, beta1, beta2, eps)
    not_negative("simplified_ademamix", alpha=alpha)

    def formula(g, m, v, *, step, learning_rate, beta1, beta2, alpha, eps):
        m = beta1 * m + g
        v = beta2 * v + (1 - beta2) * g**2
        return -learning_rate * (m + alpha * g) / (deviation(v, beta2, step) + eps), m, v

    return elementwise(
        formula, learning_rate=learning_rate, beta1=beta1, beta2=beta2, alpha=alpha, eps=eps
    )


@update_rule()
def adopt(
    learning_rate: Scalar = 1e-3, beta1: Scalar = 0.9, beta2: Scalar = 0.9999, eps: Scalar = 1e-6
) -> Rule:
    """m <- beta1 m + (1 - beta1) clip(g / max(sqrt(v), eps), -c, c), u = -learning_rate * m

    v <- beta2 v + (1 - beta2) g^2 only after that, so that g is divided by what it had no part in:
    it converges with every beta2.
    c = (step - 1)^(1/4).
    At the first step v <- g^2, and nothing moves.
    m, v (..., n).
    Reference: Taniguchi et al., ADOPT: modified Adam can converge with any beta2 with the optimal
    rate, NeurIPS 2024.
    """
    check_adam("adopt", learning_rate, beta1, beta2, eps)

    def formula(g, m, v, *, step, learning_rate, beta1, beta2, eps):
        bound = (step - 1) ** 0.25
        normed = np.clip(g / np.maximum(np.sqrt(v), eps), -bound, bound)
        m = beta1 * m + (1 - beta1) * normed  # 0 at the first step, whose bound is 0
        kept = np.where(step > 1, beta2, 0.0)
        return -learning_rate * m, m, kept * v + (1 - kept) * g**2

    return elementwise(formula, learning_rate=learning_rate, beta1=beta1, beta2=beta2, eps=eps)


@update_rule()
def acprop(
    learning_rate: Scalar = 1e-3, beta1: Scalar = 0.9, beta2: Scalar = 0.999, eps: Scalar = 1e-8
) -> Rule:
    """u = -learning_rate * g / (sqrt(s') + eps), then s <- beta2 s + (1 - beta2) (g - m)^2 + eps

    m as in adam, s' = s / (1 - beta2^(step - 1)).
    s is that of adabelief, but g is divided by what it had no part in.
    At the first step, which has nothing to divide by, u = -learning_rate * g as in optax.
    eps is that of the authors' experiments; with optax's 1e-16 a parameter leaps when it gets its
    first gradient after many that were 0.
    m, s (..., n).
    m is that after the step, as in the paper; optax takes the one before, which makes its steps
    beta1 times as long.
    Reference: Zhuang et al., Momentum centering and asynchronous update for adaptive gradient
    methods, NeurIPS 2021.
    """
    check_adam("acprop", learning_rate, beta1, beta2, eps)

    def formula(g, m, s, *, step, learning_rate, beta1, beta2, eps):
        # Before the first step there is no s; a power of 1 raises no warning there.
        divisor = deviation(s, beta2, np.maximum(step - 1, 1)) + eps
        m = beta1 * m + (1 - beta1) * g
        u = -learning_rate * g / np.where(step > 1, divisor, 1.0)
        return u, m, beta2 * s + (1 - beta2) * (g - m) ** 2 + eps

    return elementwise(formula, learning_rate=learning_rate, beta1=beta1, beta2=beta2, eps=eps)


@update_rule()
def optimistic_adam(
    learning_rate: Scalar = 1e-3,
    beta1: Scalar = 0.9,
    beta2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    optimism: Scalar = 1.0,
) -> Rule:
    """u = -learning_rate * (d + optimism * (d - last)), d = m' / (sqrt(v') + eps)

    m, v, m' and v' as in adam; last is the d of the step before, and d itself at the first step.
    m, v, last (..., n).
    In the paper optimism is 1, and last is 0 at the first step, which is then twice as long.
    optax's optimism is learning_rate * optimism here; its m' looks ahead as that of nadam, unless
    nesterov=False.
    Reference: Daskalakis, Ilyas, Syrgkanis and Zeng, Training GANs with optimism, ICLR 2018.
    """
    check_adam("optimistic_adam", learning_rate, beta1, beta2, eps)
    not_negative("optimistic_adam", optimism=optimism)

    def formula(g, m, v, last, *, step, learning_rate, beta1, beta2, eps, optimism):
        m, v = moments(g, m, v, beta1, beta2)
        d = (1 / (1 - beta1**step)) * m / (deviation(v, beta2, step) + eps)
        change = np.where(step > 1, d - last, 0.0)
        return -learning_rate * (d + optimism * change), m, v, d

    return elementwise(
        formula,
        learning_rate=learning_rate,
        beta1=beta1,
        beta2=beta2,
        eps=eps,
        optimism=optimism,
    )
