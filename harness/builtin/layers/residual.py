"""The residual connection around any layers."""

from typing import Any

from harness.engine.chain import chain
from harness.engine.context import Context
from harness.engine.contracts import Backward, Bind, Forward
from harness.errors import UsageError
from harness.ops import Array
from harness.registry.decorators import layer
from harness.registry.known import LayerSpec


@layer()
def residual(*layers: LayerSpec) -> Bind:
    """y = x + f(x), or x @ P + f(x) where f changes the number of features

    x (..., B, I), y (..., B, O), f the given layers one after the other, P (..., I, O) learned.
    Reference: He, Zhang, Ren and Sun, CVPR 2016 (the projection is their option B).
    """
    if not layers:
        raise UsageError(
            "residual: give at least one layer to go around, such as residual(dense(64), relu)"
        )
    body = chain(*layers)

    def bind(ctx: Context, I: int) -> tuple[Forward, int]:
        inner, O = body(ctx.child("body", input_needs_grad=ctx.input_needs_grad), I)
        P: Any = None
        if O != I:
            P, dP = ctx.param("P", (I, O), "glorot")
            PT = P.swapaxes(-1, -2)
        xp = ctx.xp
        matmul = ctx.ops.product(ctx.lead)
        y = ctx.empty(O)
        kept = ctx.empty(O)
        dx = ctx.empty(I)
        ctx.output_is_scratch = True  # backward does not read y
        x_seen: Array = None
        body_backward: Backward

        def backward(dy: Array) -> Array:
            kept[...] = dy  # the body may overwrite dy
            if P is not None:
                matmul(x_seen.swapaxes(-1, -2), dy, out=dP)
            through = body_backward(dy)
            if not ctx.input_needs_grad:
                return through
            around = kept
            if P is not None:
                around = matmul(kept, PT, out=dx)
            return xp.add(through, around, out=around)

        def forward(x: Array, train: bool) -> tuple[Array, Backward]:
            nonlocal x_seen, body_backward
            z, body_backward = inner(x, train)
            x_seen = x
            if P is None:
                return xp.add(x, z, out=y), backward
            matmul(x, P, out=y)
            return xp.add(y, z, out=y), backward

        return forward, O

    return bind
