"""Layers that stay as they are."""

from harness.engine.chain import chain
from harness.engine.context import Context
from harness.engine.contracts import Bind, Forward
from harness.errors import UsageError
from harness.registry.decorators import layer
from harness.registry.known import LayerSpec


@layer()
def frozen(*layers: LayerSpec) -> Bind:
    """y = f(x), the parameters of f not trained

    x (..., B, I), y (..., B, O), f the given layers one after the other.
    Gradients pass to the layers below.
    Masks, noise and the running statistics of a batch_norm go on as in training, as with PyTorch's
    requires_grad=False.
    Reference, for random features: Huang, Zhu and Siew, Neurocomputing 70, 2006.
    """
    if not layers:
        raise UsageError(
            "frozen: give at least one layer to freeze, such as frozen(dense(64), relu)"
        )
    body = chain(*layers)

    def bind(ctx: Context, I: int) -> tuple[Forward, int]:
        flags = {"input_needs_grad": ctx.input_needs_grad, "input_is_scratch": ctx.input_is_scratch}
        # As transparent as the layers themselves: what the network above says passes through.
        child = ctx.child("body", train=False, **flags)
        forward, O = body(child, I)
        ctx.output_is_scratch = child.output_is_scratch
        return forward, O

    return bind
