"""A learned gain."""

from harness.builtin.layers.common import check_scalar
from harness.engine.context import Context
from harness.engine.contracts import Backward, Bind, Forward
from harness.ops import Array
from harness.registry.decorators import layer
from harness.registry.known import InitSpec


@layer()
def scale(init: float = 1.0, bias: InitSpec = False) -> Bind:
    """y = g x + b

    x, y (..., B, I), g, b (..., 1, I), learned; g starts at init and does not decay; b only where
    bias names an initializer. Reference: Touvron, Cord, Sablayrolles, Synnaeve and Jegou, ICCV 2021
    (LayerScale: at the end of residual branches, from 0.1 or less).
    """
    check_scalar("scale", "init", init, lambda s: abs(s) < float("inf"), "must be a finite number")

    def bind(ctx: Context, I: int) -> tuple[Forward, int]:
        g, dg = ctx.param("g", (1, I), {"name": "constant", "value": init}, decay=False)
        b, db = ctx.param("b", (1, I), bias, decay=False) if bias is not False else (None, None)
        xp = ctx.xp
        total = ctx.xp.add.reduce
        y = ctx.empty(I)
        t = ctx.empty(I)
        ctx.output_is_scratch = True
        seen: list[Array] = [None]

        def backward(dy: Array) -> Array:
            total(xp.multiply(dy, seen[0], out=t), axis=-2, out=dg, keepdims=True)
            if db is not None:
                total(dy, axis=-2, out=db, keepdims=True)
            return xp.multiply(dy, g, out=dy)

        def forward(x: Array, train: bool) -> tuple[Array, Backward]:
            seen[0] = x
            xp.multiply(x, g, out=y)
            return (y if b is None else xp.add(y, b, out=y)), backward

        return forward, I

    return bind
