"""What a model knows of its data: how to read inputs, and how to name outputs."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.data.fitted import Fitted
from harness.data.labels import label_name


@dataclass(frozen=True)
class Origin:
    """The data set that a model was last fitted to.

    Attributes
    ----------
    name
        The name of the data set.
    digest
        What its content is known by.
    own
        Whether it is the data set of the model's config, which can be loaded again.
    """

    name: str
    digest: str
    own: bool


@dataclass(frozen=True)
class Schema:
    """What the first training has fixed, and every later one keeps.

    Attributes
    ----------
    inputs
        The number of features I of a row as the network sees it.
    outputs
        The number of columns K of targets and predictions. It can differ from the units of the
        last layer: binary_cross_entropy may make two columns of one unit.
    labels
        The classes (K,) as the user writes them; None for a regression.
    fitted
        How a table becomes features, and how they are scaled.
    shape
        (rows, columns) of a picture, where the features are one.
    columns
        The names of the features, where the data have names.
    origin
        The data set last fitted; None as long as there were single steps only.
    example
        A few raw rows of the first training part, as JSON; None where there were single steps only.
    """

    inputs: int
    outputs: int
    labels: np.ndarray | None
    fitted: Fitted
    shape: tuple[int, int] | None = None
    columns: tuple[str, ...] | None = None
    origin: Origin | None = None
    example: dict[str, Any] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The classes as texts; empty for a regression."""
        if self.labels is None:
            return ()
        return tuple(map(label_name, self.labels))

    @property
    def task(self) -> str:
        """Either "classification" or "regression"."""
        return "regression" if self.labels is None else "classification"
