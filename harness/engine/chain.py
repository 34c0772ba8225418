"""How layers become one: each is bound in a context of its own, and a step walks through them."""

from typing import Any

from harness import registry
from harness.engine.context import Context
from harness.engine.contracts import Backward, Bind, Forward
from harness.expressions.fuse import fuse_all
from harness.ops import Array


def layer_of(spec: Any) -> Bind:
    """Return the bind of a layer's spec, name or product; an activation becomes a layer."""
    if callable(spec) and not isinstance(spec, registry.Activation):
        return spec
    spec = registry.canonical("layer", spec)
    if registry.find("layer", spec["name"]).kind == "activation":
        spec = {"name": "activate", "f": spec}
    return registry.make("layer", spec)


def chain(*layers: Any) -> Bind:
    """y = f_k(... f_1(x)): a layer made of layers, named by their positions.

    An exception that leaves one of them carries a note that says which one it was.

    Parameters
    ----------
    *layers
        Each a spec, a name or the bind of a layer; an activation counts as a layer.

    Returns
    -------
    Bind
        bind(ctx, I) -> (forward, O), where O is that of the last layer.

    Raises
    ------
    UsageError
        If no layer or activation has such a name, or its arguments are wrong.
    """
    binds = [layer_of(layer) for layer in layers]

    def bind(ctx: Context, I: int) -> tuple[Forward, int]:
        forwards: list[Forward] = []
        paths: list[str] = []
        needs_grad = ctx.input_needs_grad
        lowest = 0 if needs_grad else len(binds)
        scratch = ctx.input_is_scratch
        for k, bind_layer in enumerate(binds):
            child = ctx.child(str(k), input_needs_grad=needs_grad, input_is_scratch=scratch)
            try:
                forward, I = bind_layer(child, I)
            except Exception as error:
                needed = "forward and how many features come out"
                _add_note(error, "bind(ctx, I)", layers[k], child.path, f"I {I}", needed)
                raise
            forwards.append(forward)
            paths.append(child.path)
            # Below the first layer that is trained nobody wants a gradient.
            if not needs_grad and child.is_trained:
                needs_grad = True
                lowest = k
            # Only the layer itself knows whether its backward reads its y.
            scratch = child.output_is_scratch
        ctx.output_is_scratch = scratch
        return _walk(*fuse_all(ctx.xp, forwards, lowest, list(layers), paths)), I

    return bind


def _walk(forwards: list[Forward], lowest: int, layers: list[Any], paths: list[str]) -> Forward:
    """Make the forward that runs all of them; its backward goes down to the layer at `lowest`."""
    # Each forward puts the backward of its layer here.
    backwards: list[Any] = [None] * len(forwards)

    def backward(dy: Array) -> Array:
        try:
            for k in range(len(backwards) - 1, lowest - 1, -1):
                dy = backwards[k](dy)
        except Exception as error:
            came = f"dy {_shape(dy)}"
            _add_note(error, "backward(dy)", layers[k], paths[k], came, "dx, of the shape of x")
            raise
        return dy

    def forward(x: Array, train: bool) -> tuple[Array, Backward]:
        # A try costs nothing as long as nothing is raised.
        try:
            for k, forward_layer in enumerate(forwards):
                x, backwards[k] = forward_layer(x, train)
        except Exception as error:
            came = f"x {_shape(x)}"
            _add_note(error, "forward(x, train)", layers[k], paths[k], came, "y and backward")
            raise
        return x, backward

    return forward


def _shape(value: Any) -> Any:
    return getattr(value, "shape", type(value).__name__)


def _add_note(error: Exception, call: str, layer: Any, path: str, came: str, needed: str) -> None:
    """Note on an error in which layer it arose, and what that layer was given.

    The layer before may be the one to blame: it may have returned something else than it must.
    """
    error.add_note(f"in {call} of layer {_name(layer)} at {path}, {came}; must return {needed}")


def _name(layer: Any) -> str:
    if callable(layer) and not hasattr(layer, "spec"):
        return getattr(layer, "__qualname__", type(layer).__name__)
    return registry.text(registry.canonical("layer", layer))
