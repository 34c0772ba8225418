"""An activation as a layer; a network's list of layers may name the activation alone."""

from harness import registry
from harness.engine.context import Context
from harness.engine.contracts import Backward, Bind, Forward
from harness.expressions.fuse import Pointwise
from harness.ops import Array
from harness.registry.decorators import layer
from harness.registry.known import ActivationSpec


@layer()
def activate(f: ActivationSpec) -> Bind:
    """y = f(x)

    x, y (..., B, I), f an activation: "relu" in a list of layers is activate(relu).
    """
    spec = registry.canonical("activation", f)
    entry = registry.find("activation", spec["name"])

    def bind(ctx: Context, I: int) -> tuple[Forward, int]:
        arguments = registry.arguments(entry, spec)
        for key, argument in arguments.items():
            if entry.role(key) == "scalar":
                arguments[key] = ctx.scalar(argument)
        value, pullback = registry.activation_pair(entry, arguments)
        xp = ctx.xp
        a = ctx.empty(I)
        # The pullback may use z as scratch. Where others still read x, it gets a copy.
        z = None if ctx.input_is_scratch else ctx.empty(I)
        z_seen: Array = None  # the z of the last forward

        def backward(dy: Array) -> Array:
            pullback(xp, z_seen, a, dy)
            return dy

        def forward(x: Array, train: bool) -> tuple[Array, Backward]:
            nonlocal z_seen
            z_seen = x
            if train and z is not None:
                xp.copyto(z, x)
                z_seen = z
            elif x.ndim < a.ndim:
                # Members share their inputs, and an activation sees z in the shape of a.
                z_seen = xp.broadcast_to(x, a.shape)
            value(xp, z_seen, a)
            return a, backward

        if z is None:
            forward.pointwise = Pointwise(value, pullback, a)  # type: ignore[attr-defined]
        return forward, I

    return bind
