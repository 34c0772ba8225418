"""Normalization over the batch."""

from harness.engine import Backward, Bind, Context, Forward
from harness.errors import UsageError
from harness.layers.common import check_scalar
from harness.ops import Array
from harness.registry import Scalar, layer


@layer()
def batch_norm(eps: Scalar = 1e-5, momentum: Scalar = 0.1, affine: bool = True) -> Bind:
    """y = g (x - mean) / sqrt(var + eps) + b, mean and var of the batch in training, the running ones in evaluation

    x, y (..., B, I), g, b (..., 1, I), left out where affine is False. running <- running + momentum (batch's - running), whose var
    is the unbiased one, as in PyTorch. Needs B >= 2 in training. Reference: Ioffe and Szegedy, ICML 2015.
    """
    check_scalar("batch_norm", "eps", eps, lambda e: e > 0, "must be a number above 0")
    check_scalar("batch_norm", "momentum", momentum, lambda m: 0 <= m <= 1, "weighs the new batch and must lie in [0, 1]")

    def bind(ctx: Context, I: int) -> tuple[Forward, int]:
        xp, total, B, needs = ctx.xp, ctx.xp.add.reduce, ctx.batch, ctx.input_needs_grad
        g, dg = ctx.param("g", (1, I), "constant(1)", decay=False) if affine else (None, xp.empty((*ctx.lead, 1, I), ctx.dtype))
        b, db = ctx.param("b", (1, I), "zeros", decay=False) if affine else (None, xp.empty_like(dg))
        running = ctx.state("running_mean", (1, I)), ctx.state("running_var", (1, I), init=1.0)
        h, t, y, small, rate = ctx.empty(I), ctx.empty(I), ctx.empty(I), ctx.scalar(eps), ctx.scalar(momentum)
        mean, var, s, r = (xp.empty_like(dg) for _ in range(4))
        ctx.output_is_scratch = True

        def backward(dy: Array) -> Array:
            total(xp.multiply(dy, h, out=t), axis=-2, out=dg, keepdims=True)
            total(dy, axis=-2, out=db, keepdims=True)
            if needs:  # dx = g s (dy - mean(dy) - h mean(dy h))
                xp.subtract(dy, xp.multiply(db, 1 / B, out=r), out=dy)
                xp.subtract(dy, xp.multiply(h, xp.multiply(dg, 1 / B, out=r), out=t), out=dy)
                xp.multiply(dy, s if g is None else xp.multiply(g, s, out=r), out=dy)
            return dy

        def forward(x: Array, train: bool) -> tuple[Array, Backward]:
            if train:
                if B < 2:
                    raise UsageError("batch_norm: training needs at least 2 examples in a batch, got 1; use a larger batch")
                xp.copyto(h, x)
                xp.multiply(total(h, axis=-2, out=mean, keepdims=True), 1 / B, out=mean)
                xp.subtract(h, mean, out=h)
                xp.multiply(total(xp.multiply(h, h, out=t), axis=-2, out=var, keepdims=True), 1 / B, out=var)
                for old, new, unbiased in zip(running, (mean, var), (1.0, B / (B - 1)), strict=True):
                    xp.multiply(xp.subtract(xp.multiply(new, unbiased, out=r), old, out=r), rate, out=r)
                    xp.add(old, r, out=old)
            else:
                xp.subtract(x, running[0], out=h)
            xp.sqrt(xp.add(var if train else running[1], small, out=s), out=s)
            xp.multiply(h, xp.divide(1.0, s, out=s), out=h)
            return (xp.add(xp.multiply(h, g, out=y), b, out=y) if affine else xp.multiply(h, 1.0, out=y)), backward

        return forward, I

    return bind
