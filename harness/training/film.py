"""The film of a network in training: which weights it shows, and at which steps."""

import numpy as np

from harness import registry
from harness.config import Config
from harness.engine.arena import Arena
from harness.engine.network import Network
from harness.errors import UsageError
from harness.training.alone import Layers
from harness.training.film_steps import steps as chosen_steps
from harness.training.state import host

_CHOICES = ("frames", "every", "steps", "spacing")


def film_path(network: Network, features: int) -> str | None:
    """Return the path of the parameter that a film shows, or None where there is nothing to show.

    It is the first trained matrix of the inputs, normally "0/W". Frozen weights do not move, and
    what lies above them has no picture.
    """
    return next(iter(film_paths(network.arena, features)), None)


def film_paths(arena: Arena, features: int) -> list[str]:
    """Return the trained matrices one above the other, the first of which takes the inputs.

    Each takes what the one before gives, and each is the first such matrix of its layer.
    """
    paths: list[str] = []
    layers: list[str] = []
    size = features
    # Of a single feature there would be one row of pixels.
    if features == 1:
        return paths
    for path, slot in arena.slices.items():
        layer = path.split("/")[0]
        if len(slot.shape) == 2 and slot.shape[0] == size and layer not in layers:
            paths.append(path)
            layers.append(layer)
            size = slot.shape[1]
    return paths


class Film:
    """What is filmed of a network.

    Parameters
    ----------
    config
        Its film says at which steps.
    network
        Whose weights are filmed; its layers alone do as well.
    features
        How many it has as input.
    total
        The steps of the whole run.

    Attributes
    ----------
    steps
        The steps after which a frame is taken, 0 being before training; empty without a film.
    """

    def __init__(self, config: Config, network: Network | Layers, features: int, total: int):
        # The steps are looked at first, so that wrong ones are refused in any network.
        chosen = _steps(config, total)
        self._arena = network.arena
        self._paths = _filmed(config, film_paths(network.arena, features))
        if not self._paths:
            chosen = ()
        self.steps = frozenset(chosen)

    @property
    def is_filmed(self) -> bool:
        """Whether there are weights that a film shows."""
        return bool(self._paths)

    def weights(self) -> np.ndarray:
        """The filmed weights (..., I, O) on the host; they may be the network's own.

        Of a deeper layer they are the product of the matrices up to it: what its units see of the
        inputs where every activation is the identity.
        """
        product = self._arena.view(self._arena.value, self._paths[0])
        for path in self._paths[1:]:
            product = product @ self._arena.view(self._arena.value, path)
        return host(product)


def _filmed(config: Config, paths: list[str]) -> list[str]:
    """Which of the matrices of a network are multiplied for its film."""
    if config.film is None or not paths:
        return []
    given = registry.arguments(registry.find("recorder", config.film["name"]), config.film)
    layer = given.get("layer", 0)
    if layer >= len(paths):
        raise UsageError(
            f"film: layer must be one of 0..{len(paths) - 1}, the trained matrices of this "
            f"network, got {layer}; choose one of them."
        )
    if given.get("matrix"):
        return [paths[layer]]
    return paths[: layer + 1]


def _steps(config: Config, total: int) -> tuple[int, ...]:
    if config.film is None:
        return ()
    given = registry.arguments(registry.find("recorder", config.film["name"]), config.film)
    chosen = {name: given[name] for name in _CHOICES if given.get(name) is not None}
    return chosen_steps(total, **chosen)
