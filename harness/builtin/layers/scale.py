"""A learned gain."""

from harness.builtin.layers.common import bias_of, check_scalar
from harness.engine.context import Context
from harness.engine.contracts import Backward, Bind, Forward
from harness.ops import Array
from harness.registry.decorators import layer
from harness.registry.known import InitSpec


@layer()
def scale(init: float = 1.0, bias: InitSpec = False) -> Bind:
    """y = g x + b

    x, y (..., B, I), g, b (..., 1, I), learned; g starts at init and does not decay; b only where
    bias names an initializer.
    Reference: Touvron, Cord, Sablayrolles, Synnaeve and Jegou, ICCV 2021 (LayerScale: at the end of
    residual branches, from 0.1 or less).
    """
    check_scalar("scale", "init", init, lambda s: abs(s) < float("inf"), "must be a finite number")

    def bind(ctx: Context, I: int) -> tuple[Forward, int]:
        g, dg = ctx.param("g", (1, I), {"name": "constant", "value": init}, decay=False)
        b, db = bias_of(ctx, I, bias)
        xp = ctx.xp
        total = ctx.xp.add.reduce
        y = ctx.empty(I)
        t = ctx.empty(I)
        ctx.output_is_scratch = True  # backward does not read y
        x_seen: Array = None  # the x of the last forward

        def backward(dy: Array) -> Array:
            total(xp.multiply(dy, x_seen, out=t), axis=-2, out=dg, keepdims=True)
            if db is not None:
                total(dy, axis=-2, out=db, keepdims=True)
            return xp.multiply(dy, g, out=dy)

        def forward(x: Array, train: bool) -> tuple[Array, Backward]:
            nonlocal x_seen
            x_seen = x
            xp.multiply(x, g, out=y)
            if b is not None:
                xp.add(y, b, out=y)
            return y, backward

        return forward, I

    return bind
