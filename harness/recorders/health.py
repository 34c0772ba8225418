"""What went on inside a trained network: dead units, saturation, norms of the weights."""

from collections.abc import Callable
from typing import Any

from harness import checks, registry
from harness.engine.network import Network, build
from harness.ops import ops_for
from harness.recorders.report import Report, Trained
from harness.registry.decorators import recorder
from harness.registry.known import Spec
from harness.training.networks import construct
from harness.training.state import restore


@recorder()
def health(rows: int = 1000, flat: float = 0.01) -> Callable[[Trained], Report]:
    """health/<k>/dead, health/<k>/saturated, health/<name>/norm of the trained network

    k is the position of an activation among the layers. dead: share of its units with the same
    output on all of the first `rows` validation examples (training examples where there are none).
    saturated: share of (example, unit) pairs with |f'(z)| < flat. norm: Euclidean norm of a
    parameter.
    """
    checks.whole("health: rows", rows, 2)

    def record(trained: Trained) -> Report:
        data = trained.data
        network = construct(trained.config, data)
        restore(network, trained.state)
        metrics = _norms(network)
        x = data.x_valid if len(data.x_valid) else data.x
        for place, spec in enumerate(trained.config.layers):
            if registry.find("layer", spec["name"]).kind == "activation":
                z = _inputs_of(trained, network, place, x[:rows])
                metrics |= _activation_health(place, spec, z, flat, network.arena.xp)
        return Report(metrics, {})

    return record


def _norms(network: Network) -> dict[str, float]:
    arena = network.arena
    return {
        f"health/{path}/norm": float(arena.xp.linalg.norm(arena.view(arena.value, path)))
        for path in arena.slices
    }


def _activation_health(place: int, spec: Spec, z: Any, flat: float, xp: Any) -> dict[str, float]:
    """How an activation behaves at z (N, units), which it may overwrite."""
    entry = registry.find("layer", spec["name"])
    value, pullback = registry.activation_pair(entry, registry.arguments(entry, spec))
    a = xp.empty_like(z)
    value(xp, z, a)
    # Before the pullback, which may use `a` as scratch.
    dead = (a.max(axis=0) == a.min(axis=0)).mean()
    # The pullback multiplies by the slope.
    slope = xp.ones_like(z)
    pullback(xp, z, a, slope)
    saturated = (abs(slope) < flat).mean()
    return {f"health/{place}/dead": float(dead), f"health/{place}/saturated": float(saturated)}


def _inputs_of(trained: Trained, network: Network, place: int, x: Any) -> Any:
    """What the layer number `place` gets where the network gets x, in evaluation mode: a copy."""
    if place == 0:
        return x.copy()
    config = trained.config
    before = build(
        config.layers[:place],
        x.shape[1],
        loss="squared_error",
        rule="sgd",
        seeds=[config.seed],
        lead=(),
        batch=1,
        eval_batch=len(x),
        dtype=config.dtype,
        ops=ops_for(config.device),
    )
    for path in before.arena.slices:
        weights = network.arena.view(network.arena.value, path)
        before.arena.view(before.arena.value, path)[...] = weights
    for path, array in before.frozen.items():
        array[...] = network.frozen[path]
    for path, array in before.layer_state.items():
        array[...] = network.layer_state[path]
    return before.evaluate(x).copy()
