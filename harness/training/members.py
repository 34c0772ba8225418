"""The members of a segment: the one place where one network and a population of them differ.

An array of one network has no leading axis, and one of a population has the shape (P, ...).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from harness.config import Config, stack
from harness.ops import stream
from harness.training.recent import Recent

# The trials of a sweep have one seed, and so see the rows in the same orders.
_orders: Recent[tuple[int, int, int], np.ndarray] = Recent(32)
_MOST_ROWS = 1 << 17  # of an order that is kept, which takes 8 bytes a row


@dataclass(frozen=True)
class Members:
    """The networks that are trained as one computation.

    Attributes
    ----------
    configs
        One for each member.
    alone
        Whether this is one network and no population, not even one of a single member.
    """

    configs: list[Config]
    alone: bool

    @classmethod
    def of(cls, config: Config | list[Config]) -> "Members":
        """Return the members of a Config, which is one network, or of a list, a population."""
        if isinstance(config, Config):
            return cls([config], alone=True)
        return cls(list(config), alone=False)

    @property
    def shared(self) -> Config:
        """What all members have in common, which is all but scalars and seeds."""
        return self.configs[0]

    @cached_property
    def digests(self) -> tuple[str, ...]:
        """The digest of each config; it takes longer than a step, so that it is kept."""
        return tuple(config.digest() for config in self.configs)

    @property
    def merged(self) -> Config:
        """The config of the whole computation, whose scalars are lists in a population."""
        return self.shared if self.alone else stack(self.configs)

    @property
    def lead(self) -> tuple[int, ...]:
        """The leading axes of an array: () or (P,)."""
        # A population of a single member has the axis, too.
        return () if self.alone else (len(self.configs),)

    @property
    def indices(self) -> list[tuple[int, ...]]:
        """The index of each member's part in an array: () or (p,)."""
        return [()] if self.alone else [(p,) for p in range(len(self.configs))]

    def stacked(self, arrays: list[np.ndarray]) -> np.ndarray:
        """Return one array (..., n) of the arrays (n) of all members."""
        return arrays[0] if self.alone else np.stack(arrays)

    def listed(self, values: Any) -> list[Any]:
        """Return what a caller gives for the members as a list, with one value for each."""
        return [values] if self.alone else list(values)

    def returned(self, values: list[Any]) -> Any:
        """Return to a caller what each member has: one value, or the list."""
        return values[0] if self.alone else values

    @cached_property
    def order_lead(self) -> tuple[int, ...]:
        """The leading axes of an order, which is () where all members see the rows in one order."""
        # Rows that all members see together are gathered once, in place of P times.
        if len({_order_seed(config) for config in self.configs}) == 1:
            return ()
        return self.lead

    def order(self, epoch: int, rows: int) -> np.ndarray:
        """Return the order (..., rows) in which an epoch sees the rows."""
        if not self.order_lead:
            return _order(self.shared, epoch, rows)
        return np.stack([_order(config, epoch, rows) for config in self.configs])


def _order_seed(config: Config) -> int:
    return config.seed if config.order_seed is None else config.order_seed


def _order(config: Config, epoch: int, rows: int) -> np.ndarray:
    key = _order_seed(config), epoch, rows
    if key in _orders:
        return _orders[key]
    # The stream has no process and no clock in it, so that any worker draws the same order.
    generator = np.random.Generator(np.random.Philox(stream(key[0], "order", epoch)))
    drawn = generator.permutation(rows)
    drawn.flags.writeable = False
    if rows <= _MOST_ROWS:
        _orders[key] = drawn
    return drawn
