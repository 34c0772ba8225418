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
    "gate/0/W" and "gate/0/b". gate is any activation; init and bias as in dense, for both.
    PyTorch's GLU has no weights: it takes the two halves of its input. Reference: Dauphin, Fan,
    Auli and Grangier, ICML 2017.
    """
    check_units("glu", units)
    value, gated = (
        dense(units, init=init, bias=bias),
        chain(dense(units, init=init, bias=bias), gate),
    )

    def bind(ctx: Context, I: int) -> tuple[Forward, int]:
        xp, needs = ctx.xp, ctx.input_needs_grad
        one, _ = value(ctx.child("value", input_needs_grad=needs), I)
        other, _ = gated(ctx.child("gate", input_needs_grad=needs), I)
        y, da = ctx.empty(units), ctx.empty(units)
        ctx.output_is_scratch = True
        arrays: list[Array] = [None, None]
        backs: list[Backward] = [lambda dy: dy] * 2

        def backward(dy: Array) -> Array:
            xp.multiply(dy, arrays[1], out=da)
            through_gate = backs[1](xp.multiply(dy, arrays[0], out=dy))
            dx = backs[0](da)
            return xp.add(dx, through_gate, out=dx) if needs else dx

        def forward(x: Array, train: bool) -> tuple[Array, Backward]:
            (arrays[0], backs[0]), (arrays[1], backs[1]) = one(x, train), other(x, train)
            return xp.multiply(arrays[0], arrays[1], out=y), backward

        return forward, units

    return bind


@layer()
def geglu(units: int, init: InitSpec = "glorot", bias: InitSpec = "zeros") -> Bind:
    """y = (x @ W + b) * gelu(x @ V + c)

    glu(units, gate="gelu"). Reference: Shazeer, arXiv 2002.05202, 2020, who has no biases.
    """
    return glu(units, gate="gelu", init=init, bias=bias)


@layer()
def swiglu(units: int, init: InitSpec = "glorot", bias: InitSpec = "zeros") -> Bind:
    """y = (x @ W + b) * silu(x @ V + c)

    glu(units, gate="silu"). Reference: Shazeer, arXiv 2002.05202, 2020, who has no biases.
    """
    return glu(units, gate="silu", init=init, bias=bias)
