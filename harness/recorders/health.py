"""What went on inside a trained network: dead units, saturation, norms of the weights."""

from collections.abc import Callable

import numpy as np

from harness import checks, registry
from harness.engine.network import build
from harness.ops import ops_for
from harness.recorders import Report, Trained
from harness.registry.decorators import recorder
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
        config, data = trained.config, trained.data
        network = construct(config, data)
        restore(network, trained.state)
        arena, xp = network.arena, network.arena.xp
        found = {
            f"health/{path}/norm": float(xp.linalg.norm(arena.view(arena.value, path)))
            for path in arena.slices
        }
        x = (data.x_valid if len(data.x_valid) else data.x)[:rows]
        for k, spec in enumerate(config.layers):
            entry = registry.find("layer", spec["name"])
            if entry.kind != "activation":
                continue
            z = np.array(x, copy=True) if k == 0 else _outputs(trained, network, k, x)
            value, pullback = registry.activation_pair(entry, registry.arguments(entry, spec))
            a, slope = xp.empty_like(z), xp.ones_like(z)
            value(xp, z, a)
            found[f"health/{k}/dead"] = float((a.max(axis=0) == a.min(axis=0)).mean())
            pullback(xp, z, a, slope)
            found[f"health/{k}/saturated"] = float((abs(slope) < flat).mean())
        return Report(found, {})

    return record


def _outputs(trained: Trained, network: object, k: int, x: np.ndarray) -> np.ndarray:
    """What the first k layers make of x, in evaluation mode: a copy."""
    config = trained.config
    part = build(
        config.layers[:k], x.shape[1], loss="squared_error", rule="sgd", seeds=[config.seed], lead=(), batch=1,
        eval_batch=len(x), dtype=config.dtype, ops=ops_for(config.device),
    )  # fmt: skip
    arena = network.arena  # type: ignore[attr-defined]
    for path in part.arena.slices:
        part.arena.view(part.arena.value, path)[...] = arena.view(arena.value, path)
    for mine, theirs in ((part.frozen, network.frozen), (part.layer_state, network.layer_state)):  # type: ignore[attr-defined]
        for path, target in mine.items():
            target[...] = theirs[path]
    return part.evaluate(x).copy()
