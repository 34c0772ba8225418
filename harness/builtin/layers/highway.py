"""The gated connection around any layers."""

from harness.builtin.layers.dense import dense
from harness.engine.chain import chain
from harness.engine.context import Context
from harness.engine.contracts import Backward, Bind, Forward
from harness.errors import UsageError
from harness.ops import Array
from harness.registry.decorators import layer
from harness.registry.known import InitSpec, LayerSpec


def _unchanged(dy: Array) -> Array:
    return dy


@layer()
def highway(*layers: LayerSpec, bias: InitSpec = "constant(-1)") -> Bind:
    """y = t f(x) + (1 - t) x, t = sigmoid(x @ W + b)

    x @ P stands in place of x where f changes the number of features.
    x (..., B, I), y, t (..., B, O), f the given layers one after the other; W, P (..., I, O) and b
    (..., 1, O) are the parameters "gate/W", "carry/W" and "gate/b".
    bias initializes b; below 0 much of x is carried on.
    Reference: Srivastava, Greff and Schmidhuber, NeurIPS 2015 (without P).
    """
    if not layers:
        raise UsageError(
            "highway: give at least one layer to go around, such as highway(dense(64), relu)"
        )
    body = chain(*layers)

    def bind(ctx: Context, I: int) -> tuple[Forward, int]:
        xp = ctx.xp
        needs = ctx.input_needs_grad
        inner, O = body(ctx.child("body", input_needs_grad=needs), I)
        gate, _ = dense(O, init="glorot", bias=bias)(ctx.child("gate", input_needs_grad=needs), I)
        carry = None
        if O != I:
            project = dense(O, init="glorot", bias=False)
            carry, _ = project(ctx.child("carry", input_needs_grad=needs), I)
        t, d, y, g, k = (ctx.empty(O) for _ in range(5))
        ctx.output_is_scratch = True  # backward does not read y
        # Those of the last forward. Where nothing is projected, dx of the carried part is its dy.
        body_backward: Backward
        gate_backward: Backward
        carry_backward: Backward = _unchanged

        def backward(dy: Array) -> Array:
            xp.subtract(1.0, t, out=k)
            xp.multiply(dy, xp.multiply(d, t, out=g), out=g)
            # dt = dy (f(x) - x), sigmoid' = t (1 - t)
            gated = gate_backward(xp.multiply(g, k, out=g))
            carried = carry_backward(xp.multiply(dy, k, out=k))
            # The last, since the body may overwrite its dy.
            through = body_backward(xp.multiply(dy, t, out=dy))
            if not needs:
                return through
            return xp.add(xp.add(carried, gated, out=carried), through, out=carried)

        def forward(x: Array, train: bool) -> tuple[Array, Backward]:
            nonlocal body_backward, gate_backward, carry_backward
            z, gate_backward = gate(x, train)
            xp.tanh(xp.multiply(z, 0.5, out=t), out=t)  # sigmoid(z) = (1 + tanh(z / 2)) / 2
            xp.multiply(xp.add(t, 1.0, out=t), 0.5, out=t)
            c = x
            if carry is not None:
                c, carry_backward = carry(x, train)
            h, body_backward = inner(x, train)
            xp.subtract(h, c, out=d)
            return xp.add(xp.multiply(d, t, out=y), c, out=y), backward

        return forward, O

    return bind
