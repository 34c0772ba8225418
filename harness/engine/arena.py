"""The arena: all parameters of a network and their gradients, each in one flat array."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from harness import checks, registry
from harness.ops import Array


class Param(NamedTuple):
    value: Array  # (..., *shape)
    grad: Array  # the same; backward writes it


@dataclass
class Arena:
    """All parameters of a network in one flat array (..., n): decayed ones first, then the others;
    frozen ones apart.
    """

    value: Array
    grad: Array
    decayed: int
    slices: dict[str, tuple[slice, tuple[int, ...]]]
    xp: Any
    random: Callable[[str], Callable[[Array], None]]
    schedules: list[tuple[Array, list[Callable[[float], float]]]] = field(default_factory=list)

    def view(self, flat: Array, path: str) -> Array:
        """The parameter at `path` in an array (..., n), shaped (..., *shape)."""
        where, shape = self.slices[path]
        return flat[..., where].reshape(*flat.shape[:-1], *shape)

    def zeros(self) -> Array:
        return self.xp.zeros_like(self.value)

    def scalar(self, value: Any, dtype: Any = None) -> Array:
        """A number, one per member, or schedules -> (..., 1); what is scheduled is written anew
        before each step.
        """
        out = self.xp.empty((*self.value.shape[:-1], 1), dtype or self.value.dtype)
        members = value if isinstance(value, list | tuple | np.ndarray) else [value]
        if any(isinstance(v, str | dict) or callable(v) for v in members):
            planned = [
                registry.make(
                    "schedule", {"name": "constant", "value": v} if checks.is_real(v) else v
                )
                for v in members
            ]
            self.schedules.append((out, planned))
            members = [at(0.0) for at in planned]
        out[...] = (
            self.xp.asarray(members, dtype=out.dtype).reshape(-1, 1)
            if len(members) > 1
            else members[0]
        )
        return out
