"""Gated linear units."""

from harness.builtin.layers.common import check_units
from harness.builtin.layers.dense import dense
from harness.engine.chain import chain
from harness.engine.context import Context
from harness.engine.contracts import Backward, Bind, Forward
from harness.ops import Array
from harness.registry.decorators import layer
from harness.registry.known import ActivationSpec, InitSpec


@layer()
def glu(
    units: int,
    gate: ActivationSpec = "sigmoid",
    init: InitSpec = "glorot",
    bias: InitSpec = "zeros",
) -> Bind:
    """y = (x @ W + b) * f(x @ V + c), f the gate

    x (..., B, I), y (..., B, O), O = units; W, b are the parameters "value/W" and "value/b", V, c
    "gate/0/W" and "gate/0/b".
    gate is any activation; init and bias as in dense, for both.
    PyTorch's GLU has no weights: it takes the two halves of its input.
    Reference: Dauphin, Fan, Auli and Grangier, ICML 2017.
    """
    check_units("glu", units)
    value = dense(units, init=init, bias=bias)
    gated = chain(dense(units, init=init, bias=bias), gate)

    def bind(ctx: Context, I: int) -> tuple[Forward, int]:
        xp = ctx.xp
        needs = ctx.input_needs_grad
        value_forward, _ = value(ctx.child("value", input_needs_grad=needs), I)
        gate_forward, _ = gated(ctx.child("gate", input_needs_grad=needs), I)
        y = ctx.empty(units)
        da = ctx.empty(units)
        ctx.output_is_scratch = True  # backward does not read y
        # What the last forward left for backward.
        a: Array = None
        gate_a: Array = None
        value_backward: Backward
        gate_backward: Backward

        def backward(dy: Array) -> Array:
            xp.multiply(dy, gate_a, out=da)
            through_gate = gate_backward(xp.multiply(dy, a, out=dy))
            dx = value_backward(da)
            if needs:
                xp.add(dx, through_gate, out=dx)
            return dx

        def forward(x: Array, train: bool) -> tuple[Array, Backward]:
            nonlocal a, gate_a, value_backward, gate_backward
            a, value_backward = value_forward(x, train)
            gate_a, gate_backward = gate_forward(x, train)
            return xp.multiply(a, gate_a, out=y), backward

        return forward, units

    return bind


@layer()
def geglu(units: int, init: InitSpec = "glorot", bias: InitSpec = "zeros") -> Bind:
    """y = (x @ W + b) * gelu(x @ V + c)

    glu(units, gate="gelu").
    Reference: Shazeer, arXiv 2002.05202, 2020, who has no biases.
    """
    return glu(units, gate="gelu", init=init, bias=bias)


@layer()
def swiglu(units: int, init: InitSpec = "glorot", bias: InitSpec = "zeros") -> Bind:
    """y = (x @ W + b) * silu(x @ V + c)

    glu(units, gate="silu").
    Reference: Shazeer, arXiv 2002.05202, 2020, who has no biases.
    """
    return glu(units, gate="silu", init=init, bias=bias)
