"""Losses on the probabilities of a softmax."""

from collections.abc import Callable
from typing import Any

import numpy as np

from harness.builtin.losses.common import (
    Backward,
    BindLoss,
    Forward,
    Predict,
    check_classes,
    check_scalar,
)
from harness.engine.context import Context
from harness.expressions.backend import compiles, flat, flattener, float_row, launches
from harness.ops import Array
from harness.registry.decorators import loss
from harness.registry.known import Scalar


def _softmax(
    ops: Any, y: Array, top: Array, below: Array, e: Array, ones: Array, total: Array
) -> None:
    """top <- row maxima of y, below <- y - top, e <- exp(below), total <- row sums of e

    exp cannot overflow, for below is at most 0.
    ones (K, 1): a product with it sums short rows in a third of the time of a reduction.
    """
    xp = ops.xp
    y.max(axis=-1, out=top, keepdims=True)  # as a method: CuPy has no maximum.reduce
    xp.subtract(y, top, out=below)
    xp.exp(below, out=e)
    ops.matmul(e, ones, out=total)


def _to_probabilities(ctx: Context, O: int) -> Predict:
    """predict(y): y <- softmax(y)."""
    xp = ctx.xp
    top = ctx.empty(1)
    total = ctx.empty(1)
    ones = ctx.xp.ones((O, 1), ctx.dtype)

    def predict(y: Array) -> Array:
        _softmax(ctx.ops, y, top, y, y, ones, total)
        return xp.divide(y, total, out=y)

    if not compiles(xp, ctx.dtype):
        return predict

    from harness.expressions.written import compile_written, less_the_maximum, over_the_total

    row = np.empty(1, ctx.dtype)
    totals = flat(total)
    subtract = compile_written(less_the_maximum, [], row, totals)
    divide = compile_written(over_the_total, [], row, totals)
    shape = (*ctx.lead, ctx.batch, O)

    def predict_in_loops(y: Array) -> Array:
        row = float_row(y, ctx.dtype)
        # Others than the network itself may ask, with an array of another kind.
        if y.shape != shape or row.base is None:
            return predict(y)
        # Over rows as short as these a pass of NumPy takes five times as long; the bits are its.
        subtract(row, totals)
        xp.exp(row, out=row)
        ctx.ops.matmul(y, ones, out=total)
        divide(row, totals)
        return y

    return predict_in_loops


def _in_one_pass(
    xp: Any, e: Array, dy: Array, values: Array, scale: Any
) -> Callable[[Array, Array], None] | None:
    """run(y, t), which computes values and dy in one loop or kernel; None where passes do that."""
    if compiles(xp, e.dtype):
        from harness.expressions.written import compile_written, softmax_rows

        rest = tuple(map(flat, (e, dy, values, np.full(1, scale))))
        rows = compile_written(softmax_rows, ["exp"], *map(flat, (e, e)), *rest)
        flat_y = flattener("y", e.dtype, e.shape)
        flat_t = flattener("t", e.dtype, e.shape, e.shape[-2:])  # members may share their targets
        return lambda y, t: rows(flat_y(y), flat_t(t), *rest)
    if launches(xp, e.dtype):
        from harness.expressions.cuda_written import softmax_rows as on_gpu

        return on_gpu(dy, values, scale)
    return None


@loss()
def softmax_cross_entropy(label_smoothing: Scalar = 0.0) -> BindLoss:
    """L = mean over the batch of -sum_k s_k log p_k, p = softmax(y), s = (1 - e) t + e / K

    e = label_smoothing.
    y, t (..., B, K); rows of t sum to 1.
    dy = (p - s) / B, computed through log-sum-exp.
    PyTorch's cross_entropy.
    References: Bridle, NeurIPS 1989; Szegedy, Vanhoucke, Ioffe, Shlens and Wojna, CVPR 2016
    (smoothing).
    """
    check_scalar(
        "softmax_cross_entropy: label_smoothing", label_smoothing, lambda v: 0 <= v < 1, "in [0, 1)"
    )

    def bind(ctx: Context, O: int) -> tuple[Forward, Predict]:
        check_classes("softmax_cross_entropy", O)
        xp = ctx.xp
        scale = ctx.dtype.type(1.0 / ctx.batch)
        e = ctx.empty(O)
        dy = ctx.empty(O)
        top = ctx.empty(1)
        total = ctx.empty(1)
        values = ctx.empty(1)[..., 0]
        log = ctx.empty(1)
        ones = xp.ones((O, 1), ctx.dtype)
        loss_column = values[..., None]  # a view, into which a product can write
        smooth = ctx.scalar(label_smoothing)
        keep = 1 - smooth
        share = smooth / O
        # A member that smooths by 0 gets the bits of t, so that it may share a population with
        # others.
        soft = ctx.empty(O) if np.any(label_smoothing) else None
        target: Array = None  # s of the last forward

        def smoothed(t: Array) -> Array:
            xp.multiply(t, keep, out=soft)
            return xp.add(soft, share, out=soft)

        rows = _in_one_pass(xp, e, dy, values, scale)
        if rows is not None:

            def given() -> Array:
                return dy

            def in_one_pass(y: Array, t: Array) -> tuple[Array, Backward]:
                rows(y, t if soft is None else smoothed(t))
                return values, given

            return in_one_pass, _to_probabilities(ctx, O)

        def backward() -> Array:
            xp.divide(e, total, out=dy)
            xp.subtract(dy, target, out=dy)
            return xp.multiply(dy, scale, out=dy)

        def forward(y: Array, t: Array) -> tuple[Array, Backward]:
            nonlocal target
            target = t if soft is None else smoothed(t)
            _softmax(ctx.ops, y, top, dy, e, ones, total)
            xp.log(total, out=log)
            # -log p. The maximum of y is not added to both again: a large one has no digits for it.
            xp.subtract(log, dy, out=dy)
            xp.multiply(dy, target, out=dy)
            ctx.ops.matmul(dy, ones, out=loss_column)
            return values, backward

        return forward, _to_probabilities(ctx, O)

    return bind


@loss()
def focal(gamma: Scalar = 2.0) -> BindLoss:
    """L = mean over the batch of -sum_k t_k (1 - p_k)^gamma log p_k, p = softmax(y)

    y, t (..., B, K); rows of t sum to 1.
    The paper's alpha is class_weight.
    gamma >= 0; 0 is softmax_cross_entropy.
    With g_k = t_k (1 - p_k)^gamma (gamma p_k log p_k / (1 - p_k) - 1), dy_k = (g_k - p_k sum_j g_j)
    / B.
    Reference: Lin, Goyal, Girshick, He and Dollar, ICCV 2017.
    """
    check_scalar("focal: gamma", gamma, lambda v: 0 <= v < float("inf"), "a number of at least 0")

    def bind(ctx: Context, O: int) -> tuple[Forward, Predict]:
        check_classes("focal", O)
        xp = ctx.xp
        scale = ctx.dtype.type(1.0 / ctx.batch)
        exponent = ctx.scalar(gamma)
        ones = xp.ones((O, 1), ctx.dtype)
        least = ctx.dtype.type(xp.finfo(ctx.dtype).tiny)
        p, log, rest, factor, dy = (ctx.empty(O) for _ in range(5))
        top = ctx.empty(1)
        total = ctx.empty(1)
        values = ctx.empty(1)[..., 0]
        target: Array = None  # t of the last forward

        def backward() -> Array:
            xp.divide(log, rest, out=dy)
            xp.multiply(dy, p, out=dy)
            xp.multiply(dy, exponent, out=dy)
            xp.subtract(dy, 1, out=dy)
            xp.multiply(dy, factor, out=dy)
            xp.multiply(dy, target, out=dy)
            xp.add.reduce(dy, axis=-1, out=top, keepdims=True)
            xp.multiply(p, top, out=p)
            xp.subtract(dy, p, out=dy)
            return xp.multiply(dy, scale, out=dy)

        def forward(y: Array, t: Array) -> tuple[Array, Backward]:
            nonlocal target
            target = t
            _softmax(ctx.ops, y, top, log, p, ones, total)
            xp.divide(p, total, out=p)
            xp.log(total, out=total)
            xp.subtract(log, total, out=log)
            xp.expm1(log, out=rest)  # 1 - p to all its digits
            xp.negative(rest, out=rest)
            # backward divides by 1 - p, which may be 0; its power stays nearly 0 all the same.
            xp.maximum(rest, least, out=rest)
            # Not by power, which squares by other means where all exponents are 2: a member alone
            # would get other bits than in a population.
            xp.log(rest, out=factor)
            xp.multiply(factor, exponent, out=factor)
            xp.exp(factor, out=factor)
            xp.multiply(factor, log, out=dy)
            xp.multiply(dy, t, out=dy)
            xp.add.reduce(dy, axis=-1, out=values)
            return xp.negative(values, out=values), backward

        return forward, _to_probabilities(ctx, O)

    return bind
