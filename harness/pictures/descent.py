"""The path of an update rule down a bowl of two weights."""

from collections.abc import Callable
from typing import Any

import numpy as np

from harness import registry
from harness.boundary import foreign
from harness.engine.context import Context
from harness.engine.network import Network
from harness.registry.known import Spec
from harness.training.alone import build_alone

STEPS = 1000
START = (-0.9, 0.5)

# The bowl: f(w) = (w1^2 + 10 w2^2) / 2.
CURVATURE = np.array([1.0, 10.0])

FAR = 1e3  # a path that comes here has diverged


def bowl(w: np.ndarray) -> np.ndarray:
    """f(w) = (w1^2 + 10 w2^2) / 2 for w (..., 2)"""
    return np.sum(CURVATURE * w * w, axis=-1) / 2.0


@foreign("a plugin")
def path_of(rule: Any, steps: int = STEPS, averages: bool = True) -> np.ndarray:
    """Where an update rule goes on the bowl from START.

    Parameters
    ----------
    rule
        The spec of the rule.
    steps
        How many steps it makes.
    averages
        Whether to follow the parameters that it evaluates, where those are others than it trains
        (schedule-free, lookahead).

    Returns
    -------
    numpy.ndarray
        (steps + 1, 2); shorter if the rule diverges.
    """
    network = _bowl_network(rule)
    network.initialize()
    network.rekey(1)
    network.arena.value[...] = START
    # The layer has the weights of the bowl and needs no data.
    nothing = np.zeros((1, 2))
    path = [np.array(START)]
    for step in range(steps):
        network.step(nothing, nothing, step / steps)
        w = network.arena.value
        if averages and network.theta:
            w = network.theta()
        if not np.all(np.abs(w) < FAR):
            break
        path.append(np.array(w))
    return np.array(path)


def descending(spec: Spec) -> Spec:
    """A spec that goes down: the rule itself, or with scale(-0.1) where it goes up.

    An ingredient such as clip_norm passes the gradient on, and the gradient points up. The scale
    stands behind it; before it where it is an average, which has to come last.
    """
    moves = np.diff(path_of(spec, 20, averages=False), axis=0)
    first = next((move for move in moves if move.any()), None)
    if first is None or first @ (CURVATURE * START) < 0:
        return spec
    rules = [spec, "scale(-0.1)"]
    if registry.make("update_rule", spec).evaluate is not None:
        rules.reverse()
    return registry.canonical("update_rule", {"name": "compose", "rules": rules})


def _bowl_network(rule: Any) -> Network:
    """A network of two weights whose gradient is that of the bowl, whatever its data."""
    network: Network

    def probe(ctx: Context, features: int) -> tuple[Callable[..., Any], int]:
        ctx.param("W", (1, 2), "zeros")
        y = ctx.empty(2)
        y[...] = 0.0

        def backward(dy: np.ndarray) -> np.ndarray:
            network.arena.grad[...] = CURVATURE * network.arena.value
            return dy

        def forward(x: np.ndarray, train: bool) -> tuple[np.ndarray, Any]:
            return y, backward

        return forward, 2

    network = build_alone([probe], 2, rule=rule)
    return network
