"""How the last step of an epoch has moved the weights: its rate, and the norms around the rule."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.config import Config
from harness.engine.network import Network
from harness.ops import Array
from harness.ops.norms import write_norms
from harness.training.state import host

_RATE = "learning_rate"


@dataclass(frozen=True)
class LastStep:
    """What the last step of an epoch has done, for all members.

    Attributes
    ----------
    gradient_norm, update_norm
        The norms (...,) over all parameters of what went into the update rule, and of what it added
        to the weights.
    rate
        The learning rate (..., 1) of that step; None where nothing follows a schedule.
    """

    gradient_norm: np.ndarray
    update_norm: np.ndarray
    rate: np.ndarray | None

    @classmethod
    def of(cls, network: Network, gradient_norm: Array) -> "LastStep":
        """Read a network after the last step of an epoch, before anything else is done with it."""
        arena = network.arena
        update_norm = arena.xp.zeros_like(gradient_norm)
        # The rule has left its update in the place of the gradient.
        write_norms(arena.xp, arena.grad, update_norm)
        rate = None
        if arena.schedules:
            rate = next(_called(_RATE, network.rule_state), None)
        return cls(
            gradient_norm=host(gradient_norm),
            update_norm=host(update_norm),
            rate=None if rate is None else host(rate),
        )

    def of_member(self, config: Config, index: tuple[int, ...]) -> dict[str, float]:
        """The numbers of one member by name; the rate only where it follows a schedule."""
        numbers = {
            "gradient_norm": float(self.gradient_norm[index]),
            "update_norm": float(self.update_norm[index]),
        }
        # A rate that stays the same is among the params, and needs no curve.
        if self.rate is not None and any(map(_changes, _called(_RATE, config.update))):
            numbers[_RATE] = float(self.rate[index].item())
        return numbers


def _called(name: str, tree: Any) -> Iterator[Any]:
    """What has a name in a rule's spec or state, where rules are within others."""
    if isinstance(tree, list | tuple):
        for inner in tree:
            yield from _called(name, inner)
    elif isinstance(tree, dict):
        if name in tree:
            yield tree[name]
        for inner in tree.values():
            yield from _called(name, inner)


def _changes(rate: Any) -> bool:
    """Whether a learning rate, as a spec has it, is a schedule that changes it."""
    return isinstance(rate, dict) and rate.get("name") != "constant"
