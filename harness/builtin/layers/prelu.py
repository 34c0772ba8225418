"""The leaky relu whose slope is learned."""

from harness.builtin.layers.common import check_scalar
from harness.engine.context import Context
from harness.engine.contracts import Backward, Bind, Forward
from harness.ops import Array
from harness.registry.decorators import layer


@layer()
def prelu(init: float = 0.25, per_feature: bool = False) -> Bind:
    """y = max(x, 0) + slope min(x, 0), slope learned; the derivative at 0 is slope

    x, y (..., B, I), slope (..., 1, 1), or (..., 1, I) where per_feature; it starts at init and
    does not decay.
    PyTorch says num_parameters=1 or I instead of per_feature.
    Reference: He, Zhang, Ren and Sun, ICCV 2015.
    """
    check_scalar("prelu", "init", init, lambda s: abs(s) < float("inf"), "must be a finite number")

    def bind(ctx: Context, I: int) -> tuple[Forward, int]:
        xp = ctx.xp
        total = ctx.xp.add.reduce
        y = ctx.empty(I)
        m = ctx.empty(I)
        t = ctx.empty(I)
        start = {"name": "constant", "value": init}
        if per_feature:
            slope, dslope = ctx.param("slope", (1, I), start, decay=False)
            sums = dslope
        else:
            # The gradient is summed over the batch, and then over the features.
            slope, dslope = ctx.param("slope", (1, 1), start, decay=False)
            sums = xp.empty((*ctx.lead, 1, I), ctx.dtype)
        ctx.output_is_scratch = True  # backward does not read y
        x_seen: Array = None  # the x of the last forward

        def backward(dy: Array) -> Array:
            xp.multiply(xp.less_equal(x_seen, 0.0, out=m), dy, out=m)
            total(xp.multiply(m, x_seen, out=t), axis=-2, out=sums, keepdims=True)
            if not per_feature:
                total(sums, axis=-1, out=dslope, keepdims=True)
            xp.subtract(dy, m, out=dy)
            return xp.add(dy, xp.multiply(m, slope, out=m), out=dy)

        def forward(x: Array, train: bool) -> tuple[Array, Backward]:
            nonlocal x_seen
            x_seen = x
            xp.multiply(xp.minimum(x, 0.0, out=y), slope, out=y)
            return xp.add(y, xp.maximum(x, 0.0, out=m), out=y), backward

        return forward, I

    return bind
