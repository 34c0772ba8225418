"""What recorders read and what they return."""

from dataclasses import dataclass
from typing import NamedTuple

from harness.config import Config
from harness.training.prepared import Data
from harness.training.state import Record, State


@dataclass(frozen=True)
class Trained:
    """A finished training run, in full: what every recorder reads.

    Attributes
    ----------
    config
        The config of the run.
    data
        The data as they were trained on: split and scaled.
    state
        The state after the last epoch, the frames of the film included.
    records
        One record for each epoch.
    """

    config: Config
    data: Data
    state: State
    records: list[Record]


class Report(NamedTuple):
    """What a recorder adds to a run.

    Attributes
    ----------
    metrics
        Numbers by name.
    artifacts
        The bytes of files by their path within the run.
    """

    metrics: dict[str, float]
    artifacts: dict[str, bytes]
