"""Gated linear units."""

from harness.builtin.layers.common import check_units
from harness.builtin.layers.dense import dense
from harness.engine.chain import layer_of
from harness.engine.context import Context
from harness.engine.contracts import Backward, Bind, Forward
from harness.expressions.gated import gated
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
    """y = u * f(v), [u, v] = x @ W + b, f the gate

    x (..., B, I), y, u, v (..., B, O), O = units; W (..., I, 2 O), b (..., 1, 2 O), the value's
    columns first and then the gate's.
    gate is any activation; init and bias as in dense. An initializer that asks how many outputs
    there are, such as glorot, counts those of both halves.
    PyTorch's GLU has no weights: it takes the two halves of its input, in the same order.
    Reference: Dauphin, Fan, Auli and Grangier, ICML 2017.
    """
    check_units("glu", units)
    linear = dense(2 * units, init=init, bias=bias)
    gated_by = layer_of(gate)

    def bind(ctx: Context, I: int) -> tuple[Forward, int]:
        xp = ctx.xp
        linear_forward, wide = linear(ctx, I)
        gate_forward, _ = gated_by(ctx.child("gate", input_is_scratch=True), units)
        y = ctx.empty(units)
        ctx.output_is_scratch = True  # backward does not read y
        fused = gated(xp, linear_forward, gate_forward, y)
        if fused is not None:
            return fused, units
        v = ctx.empty(units)
        dz = ctx.empty(wide)
        # What the last forward left for backward.
        u: Array = None
        a: Array = None
        gate_backward: Backward
        linear_backward: Backward

        def backward(dy: Array) -> Array:
            xp.multiply(dy, a, out=dz[..., :units])
            xp.copyto(dz[..., units:], gate_backward(xp.multiply(dy, u, out=dy)))
            return linear_backward(dz)

        def forward(x: Array, train: bool) -> tuple[Array, Backward]:
            nonlocal u, a, gate_backward, linear_backward
            z, linear_backward = linear_forward(x, train)
            u = z[..., :units]
            # A copy, since an activation may overwrite what it is given, and it lies in a row.
            xp.copyto(v, z[..., units:])
            a, gate_backward = gate_forward(v, train)
            return xp.multiply(u, a, out=y), backward

        return forward, units

    return bind


@layer()
def geglu(units: int, init: InitSpec = "glorot", bias: InitSpec = "zeros") -> Bind:
    """y = u * gelu(v), [u, v] = x @ W + b

    glu(units, gate="gelu").
    Reference: Shazeer, arXiv 2002.05202, 2020, who has no biases.
    """
    return glu(units, gate="gelu", init=init, bias=bias)


@layer()
def swiglu(units: int, init: InitSpec = "glorot", bias: InitSpec = "zeros") -> Bind:
    """y = u * silu(v), [u, v] = x @ W + b

    glu(units, gate="silu").
    Reference: Shazeer, arXiv 2002.05202, 2020, who has no biases.
    """
    return glu(units, gate="silu", init=init, bias=bias)
