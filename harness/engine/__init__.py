"""From the specs of layers to a network that trains: contracts, arena, context, network."""

from harness.engine.arena import Arena, Param
from harness.engine.context import Context, chain, layer_of
from harness.engine.contracts import Backward, Bind, Forward, Rule
from harness.engine.network import Network, Step, build

__all__ = [
    "Arena",
    "Backward",
    "Bind",
    "Context",
    "Forward",
    "Network",
    "Param",
    "Rule",
    "Step",
    "build",
    "chain",
    "layer_of",
]
