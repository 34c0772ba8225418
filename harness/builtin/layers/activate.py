"""An activation as a layer; a network's list of layers may name the activation alone."""

from harness import registry
from harness.engine.context import Context
from harness.engine.contracts import Backward, Bind, Forward
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
        given = registry.arguments(entry, spec)
        scaled = {k: ctx.scalar(v) if entry.role(k) == "scalar" else v for k, v in given.items()}
        value, pullback = registry.activation_pair(entry, scaled)
        xp = ctx.xp
        a = ctx.empty(I)
        # the pullback may use z as scratch: where x is still read by others, it gets a copy
        z = None if ctx.input_is_scratch else ctx.empty(I)
        seen: list[Array] = [None]

        def backward(dy: Array) -> Array:
            pullback(xp, seen[0], a, dy)
            return dy

        def forward(x: Array, train: bool) -> tuple[Array, Backward]:
            seen[0] = x
            if train and z is not None:
                xp.copyto(z, x)
                seen[0] = z
            elif x.ndim < a.ndim:
                # Members that share their inputs: an activation sees z of the shape of a
                seen[0] = xp.broadcast_to(x, a.shape)
            value(xp, seen[0], a)
            return a, backward

        return forward, I

    return bind
