"""The model of a training that was done apart from it, such as a run of the command line."""

from harness.config import Config
from harness.model import fitting
from harness.model.estimator import Model
from harness.model.learned import Learned
from harness.model.saving import FORMAT, contents
from harness.model.sources import Source, own_source
from harness.model.targets import labels_of
from harness.storage.bundle import pack
from harness.training.prepared import Data
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


def file_of_run(config: Config, data: Data, state: State, records: list[Record]) -> bytes:
    """The file of that model, as `Model.save` writes it.

    Parameters
    ----------
    config
        What was trained.
    data
        What it was trained with.
    state
        The state after the last segment.
    records
        The records of all segments.
    """
    source = Source(data.source, labels_of(data.source.classes), True)
    learned = Learned(config, fitting.schema_of(source, data), state)
    history = [fitting.history_entry(record) for record in records]
    return pack(FORMAT, contents(learned, history))
