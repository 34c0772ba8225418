"""Rules that have no learning rate: how far to go is found out by betting."""

import numpy as np

from harness.builtin.updates.common import positive
from harness.builtin.updates.elementwise import elementwise
from harness.engine.contracts import Rule
from harness.registry.decorators import update_rule
from harness.registry.known import Scalar


@update_rule()
def cocob(alpha: Scalar = 100.0) -> Rule:
    """theta <- start + total / max(size + scale, alpha * scale) * (1 + reward / scale)

    u is the difference, start what theta was before the first step.
    scale <- max(scale, |g|), size <- size + |g|, total <- total - g and reward <- max(reward -
    (theta - start) g, 0), all from 0 on; where scale is still 0, nothing has moved.
    start, scale, size, total, reward (..., n).
    Each parameter bets a share of what it has won on the sign of its next gradient. There is no
    learning rate; the first step is 1 / alpha.
    What another rule has added to theta is lost at the next step; a penalty goes before this rule:
    compose(weight_decay, cocob).
    This is COCOB-Backprop.
    Reference: Orabona and Tommasi, Training deep networks without learning rates through coin
    betting, NeurIPS 2017.
    """
    positive("cocob", alpha=alpha)

    def formula(g, start, scale, size, total, reward, *, theta, step, alpha):
        start = np.where(step > 1, start, theta)  # arrays begin as zeros
        scale = np.maximum(scale, np.abs(g))
        size = size + np.abs(g)
        total = total - g
        reward = np.maximum(reward - (theta - start) * g, 0.0)
        # All else is 0 where scale is 0, so that any divisor does.
        unit = np.where(scale > 0, scale, 1.0)
        bet = total / np.maximum(size + unit, alpha * unit) * (1 + reward / unit)
        return start + bet - theta, start, scale, size, total, reward

    return elementwise(formula, alpha=alpha)
