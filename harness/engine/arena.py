"""The arena: all parameters of a network and their gradients, each in one flat array."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Any, NamedTuple

import numpy as np

from harness import checks, registry
from harness.ops import Array


class Param(NamedTuple):
    """A parameter as a layer sees it.

    Attributes
    ----------
    value
        (..., *shape), read by forward and backward.
    grad
        (..., *shape), written by backward.
    """

    value: Array
    grad: Array


class ParamSpec(NamedTuple):
    """What a layer has asked for, by which a parameter is laid out and initialized."""

    shape: tuple[int, ...]
    init: Any
    decay: bool
    train: bool


class Slot(NamedTuple):
    """Where a parameter lies in the flat array, and the shape that it has there."""

    where: slice
    shape: tuple[int, ...]


class Scheduled(NamedTuple):
    """A scalar (..., 1) that follows schedules, one for each member or one for all."""

    scalar: Array
    schedules: list[Callable[[float], float]]


def lay_out(params: dict[str, ParamSpec]) -> tuple[dict[str, Slot], int]:
    """Return the place of each trained parameter, and how many numbers at the beginning decay."""
    slots: dict[str, Slot] = {}
    start = decayed = 0
    trained = [path for path, param in params.items() if param.train]
    # Those that decay come first, so that a rule decays one slice of the arena.
    for path in sorted(trained, key=lambda path: not params[path].decay):
        end = start + prod(params[path].shape)
        slots[path] = Slot(slice(start, end), params[path].shape)
        start = end
        if params[path].decay:
            decayed = end
    return slots, decayed


@dataclass
class Arena:
    """All trained parameters of a network in one flat array, those that decay first.

    Attributes
    ----------
    value, grad
        The parameters (..., n), and their gradients.
    decayed
        How many of the n decay; they come first.
    slices
        The place of each parameter by its path, such as "0/W".
    xp
        The array module, such as NumPy.
    random
        random(purpose) -> fill, as in a layer's context, for the update rule.
    schedules
        The scalars that are written anew before each step.
    """

    value: Array
    grad: Array
    decayed: int
    slices: dict[str, Slot]
    xp: Any
    random: Callable[[str], Callable[[Array], None]]
    schedules: list[Scheduled] = field(default_factory=list)

    def view(self, flat: Array, path: str) -> Array:
        """Return the parameter at `path` in an array (..., n), shaped (..., *shape).

        Parameters
        ----------
        flat
            The values, the gradients, or anything else of their shape.
        path
            Such as "0/W".
        """
        slot = self.slices[path]
        return flat[..., slot.where].reshape(*flat.shape[:-1], *slot.shape)

    def zeros(self) -> Array:
        """Return a new array (..., n) of zeros, such as a moment of a rule."""
        return self.xp.zeros_like(self.value)

    def scalar(self, value: Any, dtype: Any = None) -> Array:
        """Return a new scalar (..., 1) of a rule.

        Parameters
        ----------
        value
            A number or a schedule, or a list of them with one for each member. What is scheduled
            is written anew before each step.
        dtype
            None for that of the parameters.
        """
        out = self.xp.empty((*self.value.shape[:-1], 1), dtype or self.value.dtype)
        members = value if isinstance(value, list | tuple | np.ndarray) else [value]
        checks.one_or_each(value, len(members), self.value.shape[:-1])
        # A schedule is a spec or a function; numbers beside it are constant schedules.
        if any(isinstance(member, str | dict) or callable(member) for member in members):
            planned = [_schedule(member) for member in members]
            self.schedules.append(Scheduled(out, planned))
            members = [schedule(0.0) for schedule in planned]
        # One value is for all members.
        if len(members) > 1:
            out[...] = self.xp.asarray(members, dtype=out.dtype).reshape(-1, 1)
        else:
            out[...] = members[0]
        return out

    def follow_schedules(self, fraction: float) -> None:
        """Write the scheduled scalars for a step before which `fraction` of all steps are done."""
        for scalar, schedules in self.schedules:
            values = [schedule(fraction) for schedule in schedules]
            scalar[...] = self.xp.asarray(values, scalar.dtype).reshape(-1, 1)


def _schedule(value: Any) -> Callable[[float], float]:
    if checks.is_real(value):
        value = {"name": "constant", "value": value}
    return registry.make("schedule", value)
