"""A picture of the weights of a network in training, for somebody who watches."""

from typing import Any

import numpy as np

from harness.config import Config
from harness.training.film import Film
from harness.training.networks import construct
from harness.training.prepared import Data
from harness.training.state import State, restore

# What is learned since the first snapshot shows at once; without one the weights themselves.
_LOOKS: dict[str, Any] = {"scaling": "root", "colours": "signed", "gap": 1}


def still_of(config: Config, data: Data, state: State) -> bytes:
    """The filmed weights as they are, a PNG; empty where there is nothing to film.

    It takes some milliseconds, after segments of two seconds.

    Parameters
    ----------
    config : Config
        Of the network.
    data : Data
        What it is trained with.
    state : State
        How it stands.
    """
    from harness.pictures.film import frames, png

    network = construct(config, data)
    restore(network, state)
    features = data.x.shape[1]
    film = Film(config, network, features, 1)
    if not film.is_filmed:
        return b""
    now = np.array(film.weights())
    shape = data.source.shape
    captured = state["film/frames"]
    if not captured:
        return png(frames(now[None], shape, show="weights", **_LOOKS)[0])
    return png(frames(np.stack([captured[0], now]), shape, show="change", **_LOOKS)[-1])
