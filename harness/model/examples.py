"""The examples that pictures of a network are made of: its validation part, or training rows."""

from dataclasses import dataclass

import numpy as np

from harness.config import Config
from harness.training.prepare import parts
from harness.training.prepared import Data
from harness.training.state import host

MOST_TRAINING_ROWS = 1000


@dataclass(frozen=True)
class Examples:
    """Rows that a network is looked at with.

    Attributes
    ----------
    part : str
        Where they come from: "validation part" or "training part".
    scaled : array (N, I)
        As the network sees them, on the host.
    raw : array (N, J)
        As the data set has them.
    y : array (N,) or (N, K)
        Numbers of classes, or the targets of a regression.
    """

    part: str
    scaled: np.ndarray
    raw: np.ndarray
    y: np.ndarray


def examples_of(config: Config, data: Data) -> Examples:
    """The validation part of some data; the first training rows where there is none.

    Parameters
    ----------
    config : Config
        It says how the data are split.
    data : Data
        The data as they were trained on.
    """
    train, valid = parts(config, data.source)
    if len(data.y_valid):
        raw = data.source.x[valid]
        return Examples("validation part", host(data.x_valid), raw, data.y_valid)
    raw = data.source.x[train][:MOST_TRAINING_ROWS]
    rows = len(raw)
    return Examples("training part", host(data.first(rows)), raw, data.y[:rows])
