"""One network of a comparison: its arm, its config, and what tells it from the others."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from harness.config import Config
from harness.trials.identity import identity


@dataclass(frozen=True)
class Network:
    """One network of a comparison.

    Attributes
    ----------
    arm : str
        The arm that it belongs to.
    config : Config
        What is trained.
    suggested : dict
        What the space of its arm has suggested.
    point : int or None
        The number of the point that its arm is tuned at; None for a network that is compared.
    """

    arm: str
    config: Config
    suggested: dict[str, Any]
    point: int | None = None

    @property
    def place(self) -> tuple[str, int]:
        """What tells it from the other networks of its arm."""
        if self.point is not None:
            return "point", self.point
        return "seed", self.config.seed

    @property
    def label(self) -> str:
        """What people read."""
        kind, number = self.place
        return f"{self.arm} {kind}={number}"

    @cached_property
    def identity(self) -> str:
        """The digest of all that decides its result."""
        return identity(self.config)

    @property
    def key(self) -> str:
        """The arm and the identity: by these it is known that the network has been trained."""
        return f"{self.arm} {self.identity}"
