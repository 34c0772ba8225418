"""Dropout of weights."""

from harness.builtin.layers.common import bias_of, check_rate, check_units
from harness.engine.context import Context
from harness.engine.contracts import Backward, Bind, Forward
from harness.ops import Array
from harness.registry.decorators import layer
from harness.registry.known import InitSpec, Scalar


@layer()
def dropconnect(
    units: int, rate: Scalar = 0.5, init: InitSpec = "glorot", bias: InitSpec = "zeros"
) -> Bind:
    """y = x @ (W * m / (1 - rate)) + b in training, y = x @ W + b in evaluation

    m ~ Bernoulli(1 - rate).
    x (..., B, I), W, m (..., I, O), b (..., 1, O), y (..., B, O), O = units.
    rate in [0, 1) is the probability to drop a weight; init and bias as in dense.
    Reference: Wan, Zeiler, Zhang, LeCun and Fergus, ICML 2013, who draw a mask for each example and
    sample in evaluation; here a step has one mask, and evaluation takes the mean.
    """
    check_units("dropconnect", units)
    check_rate("dropconnect", rate)

    def bind(ctx: Context, I: int) -> tuple[Forward, int]:
        W, dW = ctx.param("W", (I, units), init)
        b, db = bias_of(ctx, units, bias)
        xp = ctx.xp
        matmul = ctx.ops.product(ctx.lead)
        fill = ctx.random("mask")
        drop = ctx.scalar(rate)
        y = ctx.empty(units)
        m, V, keep = (ctx.ops.empty(W.shape, kind) for kind in (ctx.dtype, ctx.dtype, bool))
        # What is kept grows, so that the mean over masks is W and evaluation needs no mask.
        gain = 1 / (1 - drop)
        dx = ctx.empty(I) if ctx.input_needs_grad else None
        ctx.output_is_scratch = True  # backward does not read y
        x_seen: Array = None  # the x of the last forward

        def backward(dy: Array) -> Array:
            matmul(x_seen.swapaxes(-1, -2), dy, out=dW)
            xp.multiply(dW, m, out=dW)
            if db is not None:
                xp.add.reduce(dy, axis=-2, out=db, keepdims=True)
            if dx is None:  # nobody below wants it
                return dy
            return matmul(dy, V.swapaxes(-1, -2), out=dx)

        def forward(x: Array, train: bool) -> tuple[Array, Backward]:
            nonlocal x_seen
            x_seen = x
            weights = W
            if train:
                fill(m)
                xp.greater_equal(m, drop, out=keep)
                xp.multiply(keep, gain, out=m)
                weights = xp.multiply(W, m, out=V)
            matmul(x, weights, out=y)
            if b is not None:
                xp.add(y, b, out=y)
            return y, backward

        return forward, units

    return bind
