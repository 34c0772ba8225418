"""What went on inside a trained network: dead units, saturation, norms of the weights."""

from collections.abc import Callable
from typing import Any

from harness import checks, registry
from harness.engine.network import Network
from harness.recorders.report import Report, Trained
from harness.registry.decorators import recorder
from harness.registry.known import Spec
from harness.training.alone import single_layers
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
        x = data.x_valid if len(data.x_valid) else data.first(rows)
        h = x[:rows]
        layers = single_layers(trained.config, network, h.shape[1], len(h))
        for place, (spec, layer) in enumerate(zip(trained.config.layers, layers, strict=True)):
            if registry.find("layer", spec["name"]).kind == "activation":
                dead, saturated = activation_health(spec, h.copy(), flat, network.arena.xp)
                metrics[f"health/{place}/dead"] = dead
                metrics[f"health/{place}/saturated"] = saturated
            h = layer.evaluate(h)
        return Report(metrics, {})

    return record


def _norms(network: Network) -> dict[str, float]:
    arena = network.arena
    return {
        f"health/{path}/norm": float(arena.xp.linalg.norm(arena.view(arena.value, path)))
        for path in arena.slices
    }


def activation_health(spec: Spec, z: Any, flat: float, xp: Any) -> tuple[float, float]:
    """How an activation behaves at z (N, units), which it may overwrite.

    Parameters
    ----------
    spec
        The activation.
    z
        What it is given.
    flat
        The |slope| below which a pair counts as saturated.
    xp
        The module that has z, NumPy or CuPy.

    Returns
    -------
    tuple of float
        The share of dead units, and the share of saturated (example, unit) pairs.
    """
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
    return float(dead), float(saturated)
