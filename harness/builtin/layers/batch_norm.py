"""Normalization over the batch."""

from harness.builtin.layers.common import check_scalar
from harness.engine.context import Context
from harness.engine.contracts import Backward, Bind, Forward
from harness.errors import UsageError
from harness.expressions.normal_passes import normalizer
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
        B = ctx.batch
        small = ctx.scalar(eps)
        g, dg = ctx.param("g", (1, I), "constant(1)", decay=False, train=affine)
        b, db = ctx.param("b", (1, I), "zeros", decay=False, train=affine)
        # h is the normalized x and s is 1 / sqrt(var + eps): backward reads both.
        h = ctx.empty(I)
        t = ctx.empty(I)
        y = ctx.empty(I)
        mean, var, s = (xp.empty_like(dg) for _ in range(3))
        running_mean = ctx.state("running_mean", (1, I))
        running_var = ctx.state("running_var", (1, I), init=1.0)
        columns = {"g": g, "b": b, "dg": dg, "db": db, "mean": mean, "var": var, "s": s}
        columns |= {"running_mean": running_mean, "running_var": running_var}
        ctx.output_is_scratch = True  # backward does not read y
        numbers = [small, ctx.scalar(momentum)]
        columnwise = normalizer(xp, ctx.dtype).columns
        normalize, pull = columnwise(columns, h, y, t, numbers, B / max(B - 1, 1))
        left_over = ctx.short and B == 1

        def backward_of_running(dy: Array) -> Array:
            """They do not depend on x, and so only the factors stay."""
            xp.add.reduce(xp.multiply(dy, h, out=t), axis=-2, out=dg, keepdims=True)
            xp.add.reduce(dy, axis=-2, out=db, keepdims=True)
            return xp.multiply(dy, xp.multiply(g, s, out=mean), out=dy)

        def forward(x: Array, train: bool) -> tuple[Array, Backward]:
            if train and not left_over:
                if B < 2:
                    raise UsageError(
                        "batch_norm: a training batch must have at least 2 rows, got 1; "
                        "use a larger batch"
                    )
                normalize(x)
                return y, pull
            xp.sqrt(xp.add(running_var, small, out=s), out=s)
            xp.divide(1.0, s, out=s)
            xp.multiply(xp.subtract(x, running_mean, out=h), s, out=h)
            return xp.add(xp.multiply(h, g, out=y), b, out=y), backward_of_running

        return forward, I

    return bind
