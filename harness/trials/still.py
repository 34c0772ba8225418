"""A picture of the weights of a network in training, for somebody who watches."""

import numpy as np

from harness.config import Config
from harness.training.alone import Layers
from harness.training.film import Film
from harness.training.prepared import Data
from harness.training.state import State


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
    from harness.pictures.files import DEFAULTS, last_frame

    layers = Layers.trained(config, data.inputs, state)
    film = Film(config, layers, data.inputs, 1)
    if not film.is_filmed:
        return b""
    # What is learned since the first snapshot shows at once; without one the weights themselves.
    captured = state["film/frames"][:1]
    snapshots = np.stack([*captured, film.weights()])
    show = "change" if captured else "weights"
    return last_frame(snapshots, data.source.shape, **{**DEFAULTS, "show": show})
