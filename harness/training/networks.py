"""Networks for a segment: built anew, or kept from the segment before."""

from collections import OrderedDict
from typing import Any

from harness import registry
from harness.boundary import foreign
from harness.builtin.losses import weighing
from harness.config import Config, stack
from harness.engine.network import Network, build
from harness.errors import UsageError
from harness.ops import ops_for
from harness.training.batches import Batches, check
from harness.training.prepared import Data
from harness.training.steps import steps as chosen_steps


@foreign("a plugin")
def construct(configs: list[Config], data: Data, alone: bool, rows: int | None = None) -> Network:
    """The network of a config, or of a population. `rows` overrides the batch size."""
    config = configs[0]
    batches = Batches(rows, 1, 0) if rows else check(config, data)
    merged = config if alone else stack(configs)
    loss, takes = merged.loss, registry.find("loss", merged.loss["name"]).parameters
    labels, columns = data.source.task == "classification", data.t.shape[1]
    if "two_classes" in takes:
        loss = {**loss, "two_classes": labels and columns == 2}
    network = build(
        merged.layers, data.x.shape[1], loss=weighing(registry.make("loss", loss), columns), rule=merged.update,
        seeds=[c.seed for c in configs],
        lead=() if alone else (len(configs),), batch=batches.rows, last_batch=batches.last,
        eval_batch=config.eval_batch, dtype=config.dtype, ops=ops_for(config.device),
    )  # fmt: skip
    single = network.outputs == 1 and loss.get("two_classes", False)
    if network.outputs != columns and not single:
        what = f"{columns} classes" if labels else f"{columns} target columns"
        raise UsageError(
            f"the last layer gives {network.outputs} outputs but data set {data.source.name!r} has "
            f"{what}; end with "
            f"dense({columns})"
        )
    return network


# Networks between two segments: building one takes a tenth of a segment of one epoch where data and
# network are small, and nothing beside the training of a large one
KEPT, LARGEST = 8, 1 << 18  # networks at most, and parameters of one


_kept: OrderedDict[Any, tuple[Any, Network]] = OrderedDict()


def rebuilt(configs: list[Config], data: Data, alone: bool, key: Any) -> Network:
    """The network of a segment that goes on, kept from the one before in this process, or built.

    Only for exactly the same configs: their scalars live in closures. Whoever takes it restores its
    arrays; it is out of the store as long as it trains, so that one whose training raises does not
    come back.
    """
    table, network = _kept.pop(key, (None, None))
    return (
        network
        if network is not None and table == registry.table()
        else construct(configs, data, alone)
    )


def keep(key: Any, network: Network) -> None:
    if network.arena.value.size <= LARGEST:
        _kept[key] = registry.table(), network
        while len(_kept) > KEPT:
            _kept.popitem(last=False)


def film_path(network: Network, features: int) -> str | None:
    """The parameter that a film shows: the first trained matrix of the inputs, normally "0/W"; None
    without one.

    Frozen weights do not move, and what lies above them has no picture.
    """
    shapes = ((path, shape) for path, (_, shape) in network.arena.slices.items())
    return next(
        (path for path, shape in shapes if len(shape) == 2 and shape[0] == features > 1), None
    )


def film_steps(config: Config, total: int) -> tuple[int, ...]:
    """The steps at which a film's frames are taken."""
    if config.film is None:
        return ()
    keys = ("frames", "every", "steps", "spacing")
    given = registry.arguments(registry.find("recorder", config.film["name"]), config.film)
    return chosen_steps(total, **{k: given[k] for k in keys if given.get(k) is not None})
