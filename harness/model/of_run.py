"""The Model of a training that was done apart from it, such as a run of the command line."""

from harness.config import Config
from harness.model import fitting
from harness.model.estimator import Model
from harness.model.learned import Learned
from harness.model.sources import own_source
from harness.training.state import Record, State


def model_of_run(config: Config, state: State, records: list[Record]) -> Model:
    """The model whose config was trained apart from it, by segments.

    Parameters
    ----------
    config
        What was trained.
    state
        The state after the last segment.
    records
        The records of all segments.
    """
    schema, _ = fitting.prepared(config, None, own_source(config))
    history = [fitting.history_entry(record) for record in records]
    return Model._of(Learned(config, schema, state), history)
