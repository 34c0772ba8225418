"""Networks for a segment: built anew, or kept from the segment before."""

from typing import Any, NamedTuple

from harness import registry
from harness.boundary import foreign
from harness.builtin.losses import weighing
from harness.config import Config
from harness.engine.network import Network, build
from harness.errors import UsageError
from harness.ops import debug, ops_for
from harness.training.batches import Batches, check
from harness.training.members import Members
from harness.training.prepared import Data
from harness.training.recent import Recent
from harness.training.shorter import rows_at_once
from harness.training.state import State, array_names, restore

# Building a network takes a tenth of a segment of one epoch where data and network are small, and
# nothing beside the training of a large one.
MOST_KEPT = 8  # networks
LARGEST_KEPT = 1 << 18  # parameters of one


class Kept(NamedTuple):
    """A network that is kept between two segments."""

    table: Any  # of the plugins with which it was built
    network: Network


kept: Recent[Any, Kept] = Recent(MOST_KEPT)


@foreign("a plugin")
def construct(config: Config | list[Config], data: Data, *, rows: int | None = None) -> Network:
    """Build the network of a config.

    Parameters
    ----------
    config
        A Config, or a list of Configs of one shape for a population.
    data
        What it is going to train on.
    rows
        The rows of a batch; None for those of the config.

    Raises
    ------
    UsageError
        If the network does not fit the data.
    """
    return _construct(Members.of(config), data, rows)


def _construct(
    members: Members, data: Data, rows: int | None = None, eval_batch: int | None = None
) -> Network:
    batches = Batches(rows, 1, 0) if rows else check(members.shared, data)
    merged = members.merged
    columns = data.t.shape[1]
    loss = _loss_for(merged, data)
    network = build(
        merged.layers,
        data.inputs,
        loss=weighing(registry.make("loss", loss), columns),
        rule=merged.update,
        seeds=[own.seed for own in members.configs],
        lead=members.lead,
        batch=batches.rows,
        last_batch=batches.last,
        eval_batch=eval_batch or merged.eval_batch,
        dtype=merged.dtype,
        ops=ops_for(merged.device),
    )
    # One output is enough for two classes where the loss takes it for the logit of the second.
    answers_for_two = network.outputs == 1 and loss.get("two_classes", False)
    if network.outputs != columns and not answers_for_two:
        nouns = {"classification": "classes", "regression": "target columns"}
        raise UsageError(
            f"the last layer gives {network.outputs} outputs but data set {data.source.name!r} has "
            f"{columns} {nouns[data.source.task]}; end with dense({columns})"
        )
    return network


def _loss_for(config: Config, data: Data) -> dict[str, Any]:
    """Return the loss's spec, which says that there are two classes where the loss can use that."""
    loss = config.loss
    if "two_classes" not in registry.find("loss", loss["name"]).parameters:
        return loss
    is_two = data.source.task == "classification" and data.t.shape[1] == 2
    return {**loss, "two_classes": is_two}


def network_for(members: Members, data: Data, states: list[State] | None) -> Network:
    """Return the network with which a segment begins.

    Parameters
    ----------
    members
        Who is trained.
    data
        What on.
    states
        Theirs, which the network takes over; None for initial weights.

    Raises
    ------
    UsageError
        If the network does not fit the data, or a state does not fit the network.
    """
    kept = None
    if states is not None:
        kept = _take_network(members, data)
    network = kept or _construct(members, data, eval_batch=rows_at_once(members, data))
    if states is None:
        network.initialize()
        return network
    names = array_names(states[0])
    restore(network, {k: members.stacked([state[k] for state in states]) for k in names})
    return network


def keep_network(members: Members, data: Data, network: Network) -> None:
    """Keep a network for the next segment in this process, unless it is large."""
    if network.arena.value.size <= LARGEST_KEPT:
        kept[_key(members, data)] = Kept(registry.table(), network)


def _take_network(members: Members, data: Data) -> Network | None:
    """Take a network from those that are kept, so that one whose training raises is not kept."""
    stored = kept.pop(_key(members, data), None)
    # What a name stands for may have changed since the network was built.
    if stored is None or stored.table != registry.table():
        return None
    return stored.network


def _key(members: Members, data: Data) -> Any:
    """Return what a network is kept under."""
    # Only exactly the same configs will do, since a network's closures hold their scalars.
    return members.digests, members.alone, data.source.digest, debug.on
