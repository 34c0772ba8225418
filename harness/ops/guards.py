"""HARNESS_DEBUG=1: the products of plugins, wrapped so that they are held to their contracts.

Each guard takes a product and returns one that gives the same numbers on NumPy. The ownership rules
that it holds are in its docstring; `debug` has the arrays that show a breach.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any

import numpy as np

from harness.errors import PluginError
from harness.ops import debug
from harness.ops.debug import alive, apart, dead, read_only, run, unwatch, watch


def guard(kind: str, name: str, product: Any) -> Any:
    """Wraps the product of a plugin where HARNESS_DEBUG is set.

    Parameters
    ----------
    kind
        The kind of plugin, such as "layer".
    name
        The plugin's name, for messages.
    product
        What its factory has returned. A product of another form is returned as it is, because
        whoever uses it reports that.
    """
    guarded = kind in GUARDS and (
        kind == "activation" or hasattr(product, "update") or callable(product)
    )
    if not debug.on or not guarded:
        return product
    return GUARDS[kind](name, product)


def _activation(name: str, pair: tuple[Any, Any]) -> tuple[Any, Any]:
    """z and a are dead after the pullback; value writes z only if out is z."""
    plain_value, plain_pullback = pair

    def value(xp: Any, z: Any, out: Any) -> None:
        if xp is not np:
            plain_value(xp, z, out)
            return
        shown = watch(z)
        if apart(z, out):
            shown = read_only(z)
        run(plain_value, xp, shown, watch(out))
        alive(out, f"the value of activation {name}")

    def pullback(xp: Any, z: Any, a: Any, da: Any) -> None:
        run(plain_pullback, xp, watch(z), watch(a), watch(da))
        alive(da, f"the pullback of activation {name}")
        for buffer in (z, a):
            if apart(buffer, da):
                dead(buffer)

    return value, pullback


def _layer(name: str, bind: Callable[..., Any]) -> Callable[..., Any]:
    """Holds a layer's forward to the rules of `_layer_forward`."""

    @wraps(bind)
    def guarded_bind(ctx: Any, I: int) -> tuple[Any, int]:
        forward, O = bind(ctx, I)
        if ctx.xp is not np:
            return forward, O
        return _layer_forward(name, ctx, forward), O

    return guarded_bind


def _layer_forward(name: str, ctx: Any, plain_forward: Callable[..., Any]) -> Callable[..., Any]:
    """Forward does not write x; dy is dead after backward, and y at the next call of forward."""
    last_y: Any = None
    place = f"of layer {name} at {ctx.path!r}"

    def forward(x: Any, train: bool) -> tuple[Any, Any]:
        nonlocal last_y
        if not debug.on:
            return plain_forward(x, train)
        if apart(last_y, x):
            dead(last_y)
        if ctx.input_is_scratch:
            y, plain_backward = _with_scratch(plain_forward, x, train, place)
        else:
            y, plain_backward = run(plain_forward, read_only(x), train)
        # An output that is x, or that the layer keeps as its state, belongs to others.
        last_y = None
        if apart(y, x, *ctx._shared.states.values()):
            last_y = y

        def backward(dy: Any) -> Any:
            dx = run(plain_backward, watch(dy))
            if ctx.input_needs_grad:
                alive(dx, f"dx {place}")
            # A layer may return its gradient in the array in which it was given the other one.
            if apart(dy, dx):
                dead(dy)
            return unwatch(dx)

        return alive(y, f"y {place}"), backward

    return forward


def _with_scratch(forward: Callable[..., Any], x: Any, train: bool, place: str) -> Any:
    """Calls a forward whose x is scratch, which backward may write, but forward may not.

    Such an x cannot be handed out read-only, since backward keeps it. So its bytes are compared.
    """
    before = x.tobytes()
    result = run(forward, watch(x), train)
    if before != x.tobytes():
        raise PluginError(
            f"forward {place} must not write x, and changed it; write into a buffer of its own"
        )
    return result


def _loss(name: str, bind: Callable[..., Any]) -> Callable[..., Any]:
    """y and t are not written."""

    @wraps(bind)
    def guarded_bind(ctx: Any, O: int) -> tuple[Any, Any]:
        plain_forward, plain_predict = bind(ctx, O)
        if ctx.xp is not np:
            return plain_forward, plain_predict

        def forward(y: Any, t: Any) -> tuple[Any, Any]:
            if not debug.on:
                return plain_forward(y, t)
            values, plain_backward = run(plain_forward, read_only(y), read_only(t))

            def backward() -> Any:
                return alive(run(plain_backward), f"dy of loss {name}")

            return alive(values, f"values of loss {name}"), backward

        def predict(y: Any) -> Any:
            return alive(run(plain_predict, watch(y)), f"predictions of loss {name}")

        return forward, predict

    return guarded_bind


def _rule(name: str, made: Any) -> Any:
    """update and evaluate do not write the parameters; u, the update, comes from no dead memory."""

    def update(u: Any, arena: Any, state: dict[str, Any]) -> None:
        if not _is_watched(arena):
            made.update(u, arena, state)
            return
        _call_rule(made.update, arena, read_only(arena.value), state, watch(u))
        alive(u, f"u of update rule {name}")

    def project(arena: Any, state: dict[str, Any]) -> Any:
        if not _is_watched(arena):
            return made.project(arena, state)
        return _call_rule(made.project, arena, watch(arena.value), state)

    def evaluate(arena: Any, state: dict[str, Any]) -> Any:
        if not _is_watched(arena):
            return made.evaluate(arena, state)
        return _call_rule(made.evaluate, arena, read_only(arena.value), state)

    # What updates and adds in one pass could not be watched.
    guarded = made._replace(update=update, fuse=None)
    if made.project:
        guarded = guarded._replace(project=project)
    if made.evaluate:
        guarded = guarded._replace(evaluate=evaluate)
    return guarded


def _is_watched(arena: Any) -> bool:
    """Whether a rule that works on this arena is watched."""
    return debug.on and arena.xp is np


def _call_rule(
    function: Callable[..., Any], arena: Any, value: Any, state: dict[str, Any], *first: Any
) -> Any:
    """Calls function(*first, arena, state) with copies of the arena and the state."""
    copy = _State(state)
    shown = replace(arena, value=value, grad=watch(arena.grad))
    result = run(function, *first, shown, copy.shown)
    copy.take_back()
    return unwatch(result)


class _State:
    """The state of an update rule, and the copy of its dicts that the rule sees.

    Attributes
    ----------
    shown
        The copy: the same arrays, watched.
    """

    def __init__(self, state: dict[str, Any]) -> None:
        self._state = state
        self._original: dict[int, Any] = {}  # by the id of what is shown in its place
        # Whatever has been shown stays alive, so that no new array gets the id of an old one.
        self._all_shown: list[Any] = []
        self.shown = self._watched(state)

    def take_back(self) -> None:
        """Puts into the state what the rule has put into the copy."""
        self._keep(self._state, self.shown)

    def _watched(self, state: dict[str, Any]) -> dict[str, Any]:
        shown: dict[str, Any] = {}
        for key, value in state.items():
            if isinstance(value, dict):
                shown[key] = self._watched(value)
            else:
                shown[key] = watch(value)
            self._original[id(shown[key])] = value
            self._all_shown.append(shown[key])
        return shown

    def _keep(self, state: dict[str, Any], shown: dict[str, Any]) -> None:
        for key, value in shown.items():
            original = self._original.get(id(value), unwatch(value))
            if isinstance(value, dict) and id(value) in self._original:
                self._keep(original, value)
            state[key] = original


def _metric(name: str, score: Callable[..., Any]) -> Callable[..., Any]:
    """Predictions and truth are not written."""

    def protected(a: Any) -> Any:
        if isinstance(a, np.ndarray):
            return read_only(a.view())
        return a

    # A metric is given views, since the arrays themselves stay their owner's to write.
    @wraps(score)
    def guarded(p: Any, y: Any) -> Any:
        return score(protected(p), protected(y))

    return guarded


GUARDS: dict[str, Callable[..., Any]] = {
    "activation": _activation,
    "layer": _layer,
    "loss": _loss,
    "update_rule": _rule,
    "metric": _metric,
}


def gradients(forward: Callable[..., Any], arena: Any) -> Callable[..., Any]:
    """Wraps a network's forward, so that its backward is held to writing every gradient.

    Parameters
    ----------
    forward
        The forward of the whole network: x (..., B, I), train -> y, backward.
    arena
        Where the network's gradients lie. They are dead before backward, which must not add to
        them.
    """
    if not debug.on or arena.xp is not np:
        return forward

    def guarded(x: Any, train: bool) -> tuple[Any, Any]:
        if not debug.on:
            return forward(x, train)
        y, plain_backward = forward(x, train)

        def backward(dy: Any) -> None:
            # A gradient that backward adds to, or leaves out, stays dead.
            dead(arena.grad)
            plain_backward(dy)
            for path in arena.slices:
                alive(
                    arena.view(arena.grad, path),
                    f"the gradient of {path!r}, which backward writes and never adds to,",
                )

        return y, backward

    return guarded
