"""What the members of a population share: everything but the scalars and the seeds."""

import hashlib
import json
from copy import copy
from dataclasses import fields
from typing import TYPE_CHECKING

from harness import registry
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.config.config import Config


def shape_key(config: "Config") -> str:
    """The hash of what members share; see `Config.shape_key`."""
    shared = {
        field.name: getattr(config, field.name)
        for field in fields(config)
        if field.name not in ("seed", "order_seed")
    }
    shared["layers"] = [registry.shape("layer", layer) for layer in config.layers]
    shared["update"] = registry.shape("update_rule", config.update)
    shared["loss"] = registry.shape("loss", config.loss)
    # Members that share one order of the data gather a batch once for all of them.
    shared["own_order"] = config.order_seed is None
    return hashlib.sha256(json.dumps(shared, sort_keys=True).encode()).hexdigest()[:16]


def stack(configs: "list[Config]") -> "Config":
    """One config of many: its scalars are lists, one value for each member.

    Parameters
    ----------
    configs
        The members, which have one `Config.shape_key`. Seeds stay with them.

    Raises
    ------
    UsageError
        If they differ in more than scalars and seeds.
    """
    keys = {config.shape_key() for config in configs}
    if len(keys) != 1:
        raise UsageError(
            f"members of a population must share everything but scalars and seeds, got {len(keys)} "
            f"different shapes"
        )
    places = zip(*(config.layers for config in configs), strict=True)
    merged = {
        "layers": [registry.merge("layer", list(place)) for place in places],
        "update": registry.merge("update_rule", [config.update for config in configs]),
        "loss": registry.merge("loss", [config.loss for config in configs]),
    }
    stacked = copy(configs[0])
    for name, value in merged.items():
        # A config with lists for scalars is not one that a user may write, so it is not checked.
        object.__setattr__(stacked, name, value)
    return stacked
