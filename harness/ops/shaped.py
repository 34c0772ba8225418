"""The shape of what somebody else's layer returns, which NumPy would spread without a word."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from harness.errors import PluginError


def shaped(name: str, bind: Callable[..., Any]) -> Callable[..., Any]:
    """Holds a layer to y (..., B, O): a row (O,) in its place would be that of every example.

    Parameters
    ----------
    name
        The layer's name, for the message.
    bind
        What its factory has returned.
    """

    @wraps(bind)
    def bind_shaped(ctx: Any, I: int) -> tuple[Any, int]:
        forward, O = bind(ctx, I)
        needed = (ctx.batch, O)

        # It keeps the attributes of the forward, by which layers are joined in one loop.
        @wraps(forward)
        def forward_shaped(x: Any, train: bool) -> tuple[Any, Any]:
            y, backward = forward(x, train)
            if y.shape[-2:] != needed:
                raise PluginError(
                    f"forward of layer {name} must return y (..., B, O) = (..., {ctx.batch}, {O}), "
                    f"got {y.shape}; keep the axis of the examples"
                )
            return y, backward

        return forward_shaped, O

    return bind_shaped
