"""HARNESS_DEBUG=1: what the contracts of plugins forbid shows itself at once, on NumPy; the numbers
stay the same.

Buffers that are dead, or that nobody has written yet, hold NaN of a bit pattern of their own; where
it turns up in a result, PluginError names who read it. What a plugin may not write is handed to it
read-only. The arrays that a plugin sees refuse to become Python numbers while it runs, for which a
GPU would be waited for. Without the variable all functions here return what they are given, and a
training step runs none of them.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from typing import Any

import numpy as np

from harness.errors import PluginError

on = os.environ.get("HARNESS_DEBUG", "") not in ("", "0")

# A quiet NaN with a payload that no arithmetic makes, but that arithmetic hands on: a network that
# diverges on its own is not taken for one that reads dead buffers
_BITS: dict[Any, Any] = {
    np.dtype("f4"): np.uint32(0x7FC0DEAD),
    np.dtype("f8"): np.uint64(0x7FF8DEADDEADDEAD),
}


@contextmanager
def paused() -> Iterator[None]:
    """Nothing is looked at meanwhile, for who measures what a step allocates."""
    global on
    before, on = on, False
    try:
        yield
    finally:
        on = before


_running = 0  # how many plugins are being run, one within the other


def _run(call: Callable[..., Any], *args: Any) -> Any:
    global _running
    _running += 1
    try:
        return call(*args)
    finally:
        _running -= 1


class Watched(np.ndarray):
    """An array as it would be on a device: it has no truth and no Python numbers while a plugin
    runs.
    """

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        return found if isinstance(found, np.ndarray) else np.asarray(found).view(Watched)


def _refuse(name: str) -> Callable[..., Any]:
    plain = getattr(np.ndarray, name)

    @wraps(plain)
    def method(self: Any, *args: Any) -> Any:
        if on and _running:
            raise PluginError(
                f"a plugin must compute on whole arrays while it runs, and asked an array for "
                f"{name}, which makes "
                "Python wait for a GPU; use np.where instead of if, and arrays of one element "
                "instead of numbers"
            )
        return plain(self, *args)

    return method


for _name in ("__bool__", "__float__", "__int__", "__index__", "__complex__", "item", "tolist"):
    setattr(Watched, _name, _refuse(_name))


def watch(a: Any) -> Any:
    """The same memory, as a plugin sees it."""
    return a.view(Watched) if on and isinstance(a, np.ndarray) else a


def _plain(a: Any) -> Any:
    return a.view(np.ndarray) if isinstance(a, Watched) else a


def dead(a: Any) -> Any:
    """a <- NaN where it holds floats and may be written."""
    if on and isinstance(a, np.ndarray) and a.dtype.kind == "f" and a.flags.writeable:
        if a.dtype in _BITS:
            a.view(_BITS[a.dtype].dtype)[...] = _BITS[a.dtype]
        else:
            a.fill(np.nan)
    return a


def read_only(a: Any) -> Any:
    """The same numbers, not to be written."""
    if on and isinstance(a, np.ndarray):
        a = watch(a)
        a.flags.writeable = False
    return a


def _has_dead(a: Any) -> bool:
    if not isinstance(a, np.ndarray) or a.dtype not in _BITS:
        return False
    pattern = _BITS[a.dtype]
    # Arithmetic may turn the sign
    unsigned = _plain(a).view(pattern.dtype) & np.iinfo(pattern.dtype).max // 2
    return bool((unsigned == pattern).any())


def _alive(a: Any, what: str) -> Any:
    if on and _has_dead(a):
        raise PluginError(
            f"{what} must not come from dead memory, and holds the NaN that HARNESS_DEBUG fills it "
            f"with; write all of "
            "a buffer before reading it, and read nothing that belongs to others by then"
        )
    return _plain(a)


def _apart(a: Any, *others: Any) -> bool:
    return isinstance(a, np.ndarray) and not any(np.may_share_memory(a, b) for b in others)


def activation(name: str, pair: tuple[Any, Any]) -> tuple[Any, Any]:
    """z and a are dead after the pullback; value writes z only if out is z."""
    given_value, given_pullback = pair

    def value(xp: Any, z: Any, out: Any) -> None:
        if xp is not np:
            return given_value(xp, z, out)
        _run(given_value, xp, read_only(z) if _apart(z, out) else watch(z), watch(out))
        _alive(out, f"the value of activation {name}")

    def pullback(xp: Any, z: Any, a: Any, da: Any) -> None:
        _run(given_pullback, xp, watch(z), watch(a), watch(da))
        _alive(da, f"the pullback of activation {name}")
        for each in (z, a):
            if _apart(each, da):
                dead(each)

    return value, pullback


def layer(name: str, bind: Callable[..., Any]) -> Callable[..., Any]:
    """x is not written, dy is dead after backward unless it is what comes back, y is dead at the
    next call.
    """

    @wraps(bind)
    def bound(ctx: Any, I: int) -> tuple[Any, int]:
        forward, O = bind(ctx, I)
        last: list[Any] = [None]
        who = f"of layer {name} at {ctx.path!r}"

        def run(x: Any, train: bool) -> tuple[Any, Any]:
            if not on:
                return forward(x, train)
            if _apart(last[0], x):
                dead(last[0])
            # as scratch it may be written, but by backward only
            before = x.tobytes() if ctx.input_is_scratch else None
            y, given_backward = _run(
                forward, watch(x) if before is not None else read_only(x), train
            )
            if before is not None and before != x.tobytes():
                raise PluginError(
                    f"forward {who} must not write x, and changed it; write into a "
                    f"buffer of its own"
                )
            last[0] = y if _apart(y, x, *ctx._shared.states.values()) else None

            def backward(dy: Any) -> Any:
                dx = _run(given_backward, watch(dy))
                if ctx.input_needs_grad:
                    _alive(dx, f"dx {who}")
                if _apart(dy, dx):
                    dead(dy)
                return _plain(dx)

            return _alive(y, f"y {who}"), backward

        return (run, O) if ctx.xp is np else (forward, O)

    return bound


def loss(name: str, bind: Callable[..., Any]) -> Callable[..., Any]:
    """y and t are not written."""

    @wraps(bind)
    def bound(ctx: Any, O: int) -> tuple[Any, Any]:
        forward, given_predict = bind(ctx, O)

        def run(y: Any, t: Any) -> tuple[Any, Any]:
            if not on:
                return forward(y, t)
            values, backward = _run(forward, read_only(y), read_only(t))
            return _alive(values, f"values of loss {name}"), lambda: _alive(
                _run(backward), f"dy of loss {name}"
            )

        def predict(y: Any) -> Any:
            return _alive(_run(given_predict, watch(y)), f"predictions of loss {name}")

        return (run, predict) if ctx.xp is np else (forward, given_predict)

    return bound


def _seen(state: dict[str, Any], given: dict[int, Any]) -> dict[str, Any]:
    """A rule's state as the rule sees it; given: what each of its arrays is in the state itself."""
    seen = {k: _seen(v, given) if isinstance(v, dict) else watch(v) for k, v in state.items()}
    given.update({id(seen[k]): v for k, v in state.items()})
    return seen


def _keep(state: dict[str, Any], seen: dict[str, Any], given: dict[int, Any]) -> None:
    """What a rule has put into its state anew."""
    for k, v in seen.items():
        if isinstance(v, dict) and id(v) in given:
            _keep(given[id(v)], v, given)
        state[k] = given.get(id(v), _plain(v))


def rule(name: str, made: Any) -> Any:
    """update and evaluate do not write the parameters; u, the update, comes from no dead memory."""

    def call(
        given: Callable[..., Any],
        before: tuple[Any, ...],
        arena: Any,
        state: dict[str, Any],
        value: Any,
    ) -> Any:
        given_state: dict[int, Any] = {}
        seen = _seen(state, given_state)
        found = _run(
            given, *before, replace(arena, value=value(arena.value), grad=watch(arena.grad)), seen
        )
        _keep(state, seen, given_state)
        return _plain(found)

    def update(u: Any, arena: Any, state: dict[str, Any]) -> None:
        if not on or arena.xp is not np:
            return made.update(u, arena, state)
        call(made.update, (watch(u),), arena, state, read_only)
        _alive(u, f"u of update rule {name}")

    def project(arena: Any, state: dict[str, Any]) -> None:
        plain = not on or arena.xp is not np
        return made.project(arena, state) if plain else call(made.project, (), arena, state, watch)

    def evaluate(arena: Any, state: dict[str, Any]) -> Any:
        plain = not on or arena.xp is not np
        return (
            made.evaluate(arena, state)
            if plain
            else call(made.evaluate, (), arena, state, read_only)
        )

    watched = made._replace(update=update)
    return watched._replace(project=made.project and project, evaluate=made.evaluate and evaluate)


def metric(name: str, score: Callable[..., Any]) -> Callable[..., Any]:
    """Predictions and truth are not written."""

    @wraps(score)
    def run(p: Any, y: Any) -> Any:
        return score(*(read_only(a.view()) if isinstance(a, np.ndarray) else a for a in (p, y)))

    return run


GUARDS: dict[str, Callable[..., Any]] = {
    "activation": activation,
    "layer": layer,
    "loss": loss,
    "update_rule": rule,
    "metric": metric,
}


def guard(kind: str, name: str, product: Any) -> Any:
    """A plugin's product, watched; what is no product at all is told elsewhere."""
    fits = (
        kind == "activation" or hasattr(product, "update") or (kind in GUARDS and callable(product))
    )
    return GUARDS[kind](name, product) if on and fits else product


def gradients(forward: Callable[..., Any], arena: Any) -> Callable[..., Any]:
    """A network's forward, whose backward must write all gradients, and may not add to them."""
    if not on or arena.xp is not np:
        return forward

    def run(x: Any, train: bool) -> tuple[Any, Any]:
        if not on:
            return forward(x, train)
        y, given = forward(x, train)

        def backward(dy: Any) -> None:
            dead(arena.grad)
            given(dy)
            for path in arena.slices:
                _alive(
                    arena.view(arena.grad, path),
                    f"the gradient of {path!r}, which backward writes and never adds to,",
                )

        return y, backward

    return run
