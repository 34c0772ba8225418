"""The film of a network in training: which weights it shows, and at which steps."""

import numpy as np

from harness import registry
from harness.config import Config
from harness.engine.network import Network
from harness.training.film_steps import steps as chosen_steps
from harness.training.state import host

_CHOICES = ("frames", "every", "steps", "spacing")


def film_path(network: Network, features: int) -> str | None:
    """Return the path of the parameter that a film shows, or None where there is nothing to show.

    It is the first trained matrix of the inputs, normally "0/W". Frozen weights do not move, and
    what lies above them has no picture.
    """
    for path, slot in network.arena.slices.items():
        # Of a single feature there would be one row of pixels.
        if len(slot.shape) == 2 and slot.shape[0] == features > 1:
            return path
    return None


class Film:
    """What is filmed of a network.

    Parameters
    ----------
    config
        Its film says at which steps.
    network
        Whose weights are filmed.
    features
        How many it has as input.
    total
        The steps of the whole run.

    Attributes
    ----------
    steps
        The steps after which a frame is taken, 0 being before training; empty without a film.
    """

    def __init__(self, config: Config, network: Network, features: int, total: int):
        # The steps are looked at first, so that wrong ones are refused in any network.
        chosen = _steps(config, total)
        self._arena = network.arena
        self._path = film_path(network, features) or ""
        if not self._path:
            chosen = ()
        self.steps = frozenset(chosen)

    def weights(self) -> np.ndarray:
        """The filmed weights (..., I, O) on the host; they may be the network's own."""
        return host(self._arena.view(self._arena.value, self._path))


def _steps(config: Config, total: int) -> tuple[int, ...]:
    if config.film is None:
        return ()
    given = registry.arguments(registry.find("recorder", config.film["name"]), config.film)
    chosen = {name: given[name] for name in _CHOICES if given.get(name) is not None}
    return chosen_steps(total, **chosen)
