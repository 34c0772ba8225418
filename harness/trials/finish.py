"""What is made of a trial that has ended: its film and other records, advice, and its digest."""

from harness.model.of_run import file_of_run
from harness.recorders import Trained, report
from harness.training.advice import advice
from harness.training.course import early_stop
from harness.training.prepared import Data
from harness.training.state import digest
from harness.trials.outcome import Bar, Outcome


def finish(outcome: Outcome, data: Data, beat: Bar | None) -> None:
    """Runs the recorders of a trial, and notes what there is to say of it.

    Parameters
    ----------
    outcome : Outcome
        Of a trial that has ended, with its state.
    data : Data
        What it was trained with.
    beat : Bar or None
        Only if it beats this one is its film encoded; None for each one.
    """
    assert outcome.state is not None
    config = outcome.config
    if beat is not None and not beat.is_beaten_by(outcome):
        # Nobody is going to keep this film.
        config = config.replace(film=None)
    made = report(Trained(config, data, outcome.state, outcome.records))
    outcome.metrics = made.metrics
    outcome.artifacts = made.artifacts
    _note(outcome, data)
    records = outcome.records
    if outcome.members:
        records = outcome.members[0].records
    outcome.parameters = outcome.state["theta"].size
    outcome.digest = digest(outcome.state, records)
    outcome.notes["harness.digest"] = outcome.digest


def _note(outcome: Outcome, data: Data) -> None:
    """Notes how the training has gone, and what it was measured by."""
    assert outcome.state is not None
    notes = outcome.notes
    poor = advice(outcome.config, data, outcome.state, outcome.records)
    if poor is not None:
        notes["harness.note"] = poor.note
        notes["harness.advice"] = poor.sentence
    if stopped := early_stop(outcome.config, outcome.state, outcome.records):
        notes["harness.stopped"] = stopped
    if outcome.no_value:
        notes["harness.note"] = outcome.no_value
    if len(data.y_valid):
        notes["harness.valid_examples"] = str(len(data.y_valid))
    notes["harness.data_digest"] = data.source.digest
    notes["harness.scale"] = data.fitted.scale


def keep_network(outcome: Outcome, data: Data, least: Bar | None) -> None:
    """Adds the network of a trial that has come to its end with a value.

    Parameters
    ----------
    outcome : Outcome
        Of a trial that has ended, with its state.
    data : Data
        What it was trained with.
    least : Bar or None
        Only if it reaches this one; None for each one.
    """
    if outcome.value is None or (least is not None and not least.is_reached_by(outcome)):
        return
    assert outcome.state is not None
    records = outcome.records
    if outcome.members:
        records = outcome.members[0].records
    outcome.network = file_of_run(outcome.config, data, outcome.state, records)
