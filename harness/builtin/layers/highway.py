"""The gated connection around any layers."""

from harness.builtin.layers.dense import dense
from harness.engine.chain import chain
from harness.engine.context import Context
from harness.engine.contracts import Backward, Bind, Forward
from harness.errors import UsageError
from harness.ops import Array
from harness.registry.decorators import layer
from harness.registry.known import InitSpec, LayerSpec


@layer()
def highway(*layers: LayerSpec, bias: InitSpec = "constant(-1)") -> Bind:
    """y = t f(x) + (1 - t) x, t = sigmoid(x @ W + b); x @ P in place of x where f changes the
    number of features

    x (..., B, I), y, t (..., B, O), f the given layers one after the other; W, P (..., I, O) and b
    (..., 1, O) are the parameters "gate/W", "carry/W" and "gate/b". bias initializes b; below 0
    much of x is carried on. Reference: Srivastava, Greff and Schmidhuber, NeurIPS 2015 (without P).
    """
    if not layers:
        raise UsageError(
            "highway: give at least one layer to go around, such as highway(dense(64), relu)"
        )
    body = chain(*layers)

    def bind(ctx: Context, I: int) -> tuple[Forward, int]:
        xp, needs = ctx.xp, ctx.input_needs_grad
        inner, O = body(ctx.child("body", input_needs_grad=needs), I)
        gate, _ = dense(O, init="glorot", bias=bias)(ctx.child("gate", input_needs_grad=needs), I)
        carry = (
            dense(O, init="glorot", bias=False)(ctx.child("carry", input_needs_grad=needs), I)[0]
            if O != I
            else None
        )
        t, d, y, g, k = (ctx.empty(O) for _ in range(5))
        ctx.output_is_scratch = True
        backs: list[Backward] = [lambda dy: dy] * 3

        def backward(dy: Array) -> Array:
            xp.subtract(1.0, t, out=k)
            xp.multiply(dy, xp.multiply(d, t, out=g), out=g)
            gated = backs[1](xp.multiply(g, k, out=g))  # dt = dy (f(x) - x), sigmoid' = t (1 - t)
            carried = backs[2](xp.multiply(dy, k, out=k))
            through = backs[0](xp.multiply(dy, t, out=dy))
            return (
                xp.add(xp.add(carried, gated, out=carried), through, out=carried)
                if needs
                else through
            )

        def forward(x: Array, train: bool) -> tuple[Array, Backward]:
            z, backs[1] = gate(x, train)
            xp.tanh(xp.multiply(z, 0.5, out=t), out=t)  # sigmoid(z) = (1 + tanh(z / 2)) / 2
            xp.multiply(xp.add(t, 1.0, out=t), 0.5, out=t)
            c = x
            if carry is not None:
                c, backs[2] = carry(x, train)
            h, backs[0] = inner(x, train)
            xp.subtract(h, c, out=d)
            return xp.add(xp.multiply(d, t, out=y), c, out=y), backward

        return forward, O

    return bind
