"""Normalization over the batch."""

from harness.builtin.layers.common import check_scalar
from harness.engine.context import Context
from harness.engine.contracts import Backward, Bind, Forward
from harness.errors import UsageError
from harness.ops import Array
from harness.registry.decorators import layer
from harness.registry.known import Scalar


@layer()
def batch_norm(eps: Scalar = 1e-5, momentum: Scalar = 0.1, affine: bool = True) -> Bind:
    """y = g (x - mean) / sqrt(var + eps) + b

    mean and var are those of the batch in training, and the running ones in evaluation.
    x, y (..., B, I), g, b (..., 1, I), not trained where affine is False.
    As in PyTorch: running += momentum (new - running), and the running variance is the unbiased
    one.
    Needs B > 1 in training.
    Where the last batch of an epoch is a single row, which has no variance, that row is normalized
    by the running mean and var, which it leaves as they are.
    Reference: Ioffe and Szegedy, ICML 2015.
    """
    check_scalar("batch_norm", "eps", eps, lambda e: e > 0, "must be a number above 0")
    check_scalar(
        "batch_norm",
        "momentum",
        momentum,
        lambda m: 0 <= m <= 1,
        "weighs what is new and must lie in [0, 1]",
    )

    def bind(ctx: Context, I: int) -> tuple[Forward, int]:
        xp = ctx.xp
        total = ctx.xp.add.reduce
        B = ctx.batch
        small = ctx.scalar(eps)
        rate = ctx.scalar(momentum)
        g, dg = ctx.param("g", (1, I), "constant(1)", decay=False, train=affine)
        b, db = ctx.param("b", (1, I), "zeros", decay=False, train=affine)
        # h is the normalized x and s is 1 / sqrt(var + eps): backward reads both. t, r are scratch.
        h = ctx.empty(I)
        t = ctx.empty(I)
        y = ctx.empty(I)
        mean, var, s, r = (xp.empty_like(dg) for _ in range(4))
        running_mean = ctx.state("running_mean", (1, I))
        running_var = ctx.state("running_var", (1, I), init=1.0)
        # What the running means follow; the last factor makes the variance the unbiased one.
        follow = ((running_mean, mean, 1.0), (running_var, var, B / max(B - 1, 1)))
        ctx.output_is_scratch = True  # backward does not read y
        left_over = ctx.short and B == 1

        def average(a: Array, out: Array) -> Array:
            return xp.multiply(total(a, axis=-2, out=out, keepdims=True), 1 / B, out=out)

        def backward(dy: Array) -> Array:
            total(xp.multiply(dy, h, out=t), axis=-2, out=dg, keepdims=True)
            total(dy, axis=-2, out=db, keepdims=True)
            if not ctx.input_needs_grad:
                return dy
            # dx = g / sqrt(var + eps) (dy - mean(dy) - h mean(dy h)); the running mean and var of a
            # row that is left over do not depend on x, and so the means are not there.
            if not left_over:
                xp.subtract(dy, xp.multiply(h, xp.multiply(dg, 1 / B, out=r), out=t), out=dy)
                xp.subtract(dy, xp.multiply(db, 1 / B, out=r), out=dy)
            return xp.multiply(dy, xp.multiply(g, s, out=r), out=dy)

        def forward(x: Array, train: bool) -> tuple[Array, Backward]:
            by_batch = train and not left_over
            if by_batch and B < 2:
                raise UsageError(
                    "batch_norm: a training batch must have at least 2 rows, got 1; "
                    "use a larger batch"
                )
            divisor = running_var
            if by_batch:
                divisor = var
                xp.copyto(h, x)
                xp.subtract(h, average(h, mean), out=h)
                average(xp.multiply(h, h, out=t), var)
                for old, new, unbiased in follow:
                    xp.subtract(xp.multiply(new, unbiased, out=r), old, out=r)
                    xp.add(old, xp.multiply(r, rate, out=r), out=old)
            else:
                xp.subtract(x, running_mean, out=h)
            xp.sqrt(xp.add(divisor, small, out=s), out=s)
            xp.multiply(h, xp.divide(1.0, s, out=s), out=h)
            return xp.add(xp.multiply(h, g, out=y), b, out=y), backward

        return forward, I

    return bind
