"""Losses on differences from real targets, and on counts."""

from collections.abc import Callable
from math import log
from typing import Any

import numpy as np

from harness.builtin.losses.common import BindLoss, Forward, Predict, check_scalar, sum_of_terms
from harness.engine.context import Context
from harness.ops import Array
from harness.registry.decorators import loss
from harness.registry.known import Scalar


@loss()
def squared_error() -> BindLoss:
    """L = mean over the batch of sum_k (y_k - t_k)^2 / 2; dy = (y - t) / B

    y, t (..., B, O).
    The half makes dy the plain difference.
    PyTorch's mse_loss has no half, and its mean goes over the outputs as well.
    """

    def h(d: Array) -> tuple[Array, Array]:
        return 0.5 * d**2, d

    return on_differences(h)


# Expressions of a difference ----------------------------------------------------------------------


def on_differences(h: Callable[..., Any], **scalars: Any) -> BindLoss:
    """Make the loss L = mean over the batch of sum_k h(y_k - t_k).

    Parameters
    ----------
    h
        h(d, **scalars) is an expression of the difference, or that and its slope, as of an
        activation.
    scalars
        Its hyperparameters.
    """
    # A function of NumPy, such as np.abs, has no file.
    name = getattr(h, "__name__", repr(h))
    code = getattr(h, "__code__", None)
    origin = "where it is written" if code is None else code.co_filename

    def of_difference(y: Any, t: Any, **given: Any) -> Any:
        return h(y - t, **given)

    def bind(ctx: Context, O: int) -> tuple[Forward, Predict]:
        forward = sum_of_terms(ctx, O, of_difference, f"the loss of {name}", origin, **scalars)
        return forward, lambda y: y

    return bind


@loss()
def absolute_error() -> BindLoss:
    """L = mean over the batch of sum_k |y_k - t_k|; dy = sign(y - t) / B (0 at 0)

    y, t (..., B, O). Its best constant is the median, which outliers do not move.
    PyTorch's l1_loss, whose mean goes over the outputs as well: here they are summed.
    Reference: Bloomfield and Steiger, Least Absolute Deviations, 1983.
    """

    def h(d: Array) -> tuple[Array, Array]:
        return np.abs(d), np.sign(d)

    return on_differences(h)


@loss()
def huber(delta: Scalar = 1.0) -> BindLoss:
    """L = mean over the batch of sum_k h(y_k - t_k)

    h(d) = d^2 / 2 up to |d| = delta, and delta (|d| - delta / 2) beyond.
    y, t (..., B, O); dy = clip(y - t, -delta, delta) / B. PyTorch's huber_loss, whose mean goes
    over the outputs as well: here they are summed.
    Reference: Huber, Annals of Mathematical Statistics 35(1), 1964.
    """
    check_scalar("huber: delta", delta, lambda v: 0 < v < float("inf"), "a number above 0")

    def h(d: Array, delta: Array) -> tuple[Array, Array]:
        slope = np.clip(d, -delta, delta)
        return slope * (d - 0.5 * slope), slope

    return on_differences(h, delta=delta)


@loss()
def log_cosh() -> BindLoss:
    """L = mean over the batch of sum_k log cosh(y_k - t_k); dy = tanh(y - t) / B

    y, t (..., B, O). As half the square for small differences, as |y - t| - log 2 for large ones.
    Computed as log(1 + 2 sinh(d / 2)^2), which does not cancel, where |d| < 20.
    optax's log_cosh, summed over the outputs.
    Reference: Saleh and Saleh, Statistical properties of the log-cosh loss function, 2022
    (arXiv:2208.04564).
    """

    def h(d: Array) -> tuple[Array, Array]:
        size = np.abs(d)
        near = np.log1p(2.0 * np.sinh(0.5 * d) ** 2)
        return np.where(size < 20.0, near, size - log(2.0)), np.tanh(d)

    return on_differences(h)


@loss()
def quantile(q: Scalar = 0.5) -> BindLoss:
    """L = mean over the batch of sum_k max(q (t_k - y_k), (1 - q) (y_k - t_k))

    y, t (..., B, O); dy = -q / B where y < t, (1 - q) / B where y > t, and 0 where they are equal.
    Its best constant is the q-quantile; q = 0.5 is half the absolute error. Also known as pinball
    loss.
    Reference: Koenker and Bassett, Regression quantiles, Econometrica 46(1), 1978.
    """
    check_scalar("quantile: q", q, lambda v: 0 < v < 1, "in (0, 1)")

    def h(d: Array, q: Array) -> tuple[Array, Array]:
        slope = np.where(d > 0.0, 1.0 - q, np.where(d < 0.0, -q, 0.0))
        return np.maximum(-q * d, (1.0 - q) * d), slope

    return on_differences(h, q=q)


# Counts -------------------------------------------------------------------------------------------


@loss()
def poisson_nll() -> BindLoss:
    """L = mean over the batch of sum_k exp(y_k) - t_k y_k; dy = (exp(y) - t) / B

    y (..., B, O) logarithms of expected counts, t (..., B, O) counts, at least 0.
    Predictions are the expected counts, exp(y).
    exp(y) is taken at min(y, 80), so that it stays finite in float32.
    PyTorch's poisson_nll_loss, whose mean goes over the outputs as well: here they are summed.
    Reference: Nelder and Wedderburn, Generalized linear models, Journal of the Royal Statistical
    Society A 135(3), 1972.
    """

    def f(y: Array, t: Array) -> tuple[Array, Array]:
        expected = np.exp(np.minimum(y, 80.0))
        return expected - t * y, expected - t

    def bind(ctx: Context, O: int) -> tuple[Forward, Predict]:
        xp = ctx.xp

        def predict(y: Array) -> Array:
            xp.minimum(y, 80, out=y)
            return xp.exp(y, out=y)

        return sum_of_terms(ctx, O, f, "poisson_nll", __file__), predict

    return bind
