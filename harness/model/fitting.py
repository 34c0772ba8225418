"""What `Model.fit` does: some more epochs of training, from where the last ones ended."""

import sys
from dataclasses import dataclass, replace
from typing import Any

from harness.config import Config
from harness.data import Dataset
from harness.data.fitted import describe
from harness.errors import UsageError
from harness.model.example import example_of
from harness.model.learned import DIVERGED, RUNNING, STUCK, Learned
from harness.model.schema import Origin, Schema
from harness.model.sources import Source
from harness.training.advice import advice, scale_remedy
from harness.training.batches import check
from harness.training.course import early_stop
from harness.training.prepare import prepare
from harness.training.prepared import Data
from harness.training.segment import segment
from harness.training.state import Record, State


@dataclass(frozen=True)
class Course:
    """How a fit went.

    Attributes
    ----------
    config
        The config, with all epochs up to the last one of this fit.
    data
        The data as they were trained on.
    learned
        What the model has learned now.
    records
        One record for each epoch.
    earlier_steps
        What is to be added to a step of the records. A segment counts steps as if all epochs had
        been alike; earlier fits to other data and single steps make the difference.
    """

    config: Config
    data: Data
    learned: Learned
    records: list[Record]
    earlier_steps: int

    @property
    def history(self) -> list[dict[str, Any]]:
        """The epochs as `Model.history` has them."""
        return [history_entry(record, self.earlier_steps) for record in self.records]

    def refuse_divergence(self) -> None:
        """Raises UsageError where the training has diverged, with the step and a remedy."""
        bad_step = _bad_step(self.records)
        if bad_step is None:
            return
        remedies = [STUCK, scale_remedy(self.data)]
        raise UsageError(
            f"the loss is not finite at step {bad_step + self.earlier_steps}: "
            f"{', or '.join(filter(None, remedies))}"
        )

    def warning(self) -> str | None:
        """What to try where the network has learned little; None where it has learned."""
        poor = advice(self.config, self.data, self.learned.state, self.records)
        if poor is None:
            return None
        return poor.sentence

    def print_early_stop(self) -> None:
        """Tells on stderr where early stopping has ended the fit."""
        sentence = early_stop(self.config, self.learned.state, self.records)
        if sentence:
            print(sentence, file=sys.stderr)


def train(config: Config, learned: Learned | None, source: Source, epochs: int) -> Course:
    """Trains for some epochs more.

    Parameters
    ----------
    config
        The config of the model; its own number of epochs is not looked at.
    learned
        What the model has learned up to now; None for a new network.
    source
        What to train on.
    epochs
        How many epochs there shall be.

    Raises
    ------
    UsageError
        Where the data do not fit the network, or it has diverged before. Where it diverges now is
        for `Course.refuse_divergence` to say, so that the model keeps what has happened.
    """
    schema, data = prepared(config, learned, source)
    dataset = source.dataset
    if learned is None:
        _tell_once(dataset, [*dataset.notes, *describe(data.fitted, config.scale)])
        planned = config.replace(epochs=epochs)
        state, records = segment(planned, data)
        earlier_steps = 0
    else:
        before = learned.current_state()
        learned.refuse_diverged()
        # A segment trains up to the last epoch of its config.
        planned = config.replace(epochs=before["epoch"] + epochs)
        begin = before["epoch"] * check(planned, data).steps
        state, records = segment(planned, data, _start(learned, dataset, begin))
        earlier_steps = before["step"] - begin
        _join(before, state, earlier_steps)
    if _bad_step(records) is not None:
        # A segment does not tell this from early stopping, after which a fit may go on.
        state["stopped"] = DIVERGED
    return Course(planned, data, Learned(config, schema, state, dataset), records, earlier_steps)


def prepared(config: Config, learned: Learned | None, source: Source) -> tuple[Schema, Data]:
    """What the model knows of the data of a fit, and the data, scaled as those of the first fit."""
    dataset = source.dataset
    known = None if learned is None else learned.schema
    data = prepare(config, dataset, None if known is None else known.fitted)
    # The data that are kept from before may be the same under another name.
    data = replace(data, source=dataset)
    if known is None:
        return schema_of(source, data), data
    inputs = data.inputs
    outputs = data.t.shape[1]
    origin = Origin(dataset.name, dataset.digest, source.own)
    if (inputs, outputs) != (known.inputs, known.outputs):
        raise UsageError(
            f"{dataset.name}: features and outputs must stay those of the first training, "
            f"{known.inputs} and "
            f"{known.outputs}, got {inputs} and {outputs}; make a new Model"
        )
    return replace(known, fitted=data.fitted, shape=dataset.shape, origin=origin), data


def schema_of(source: Source, data: Data) -> Schema:
    """What a model knows of the data of its first training."""
    dataset = source.dataset
    return Schema(
        inputs=data.inputs,
        outputs=data.t.shape[1],
        labels=source.labels,
        fitted=data.fitted,
        shape=dataset.shape,
        columns=dataset.features,
        origin=Origin(dataset.name, dataset.digest, source.own),
        example=example_of(dataset),
    )


def history_entry(record: Record, earlier_steps: int = 0) -> dict[str, Any]:
    """A record as `Model.history` has it."""
    seconds = {f"time/epoch_{name}": value for name, value in record.seconds.items()}
    step = record.step + earlier_steps
    return {"epoch": record.epoch, "step": step, **record.metrics, **record.optim, **seconds}


def _start(learned: Learned, dataset: Dataset, begin: int) -> State:
    """The state from which a segment goes on: its film is empty, and its first step is `begin`."""
    state = {**learned.state, "step": begin, "film/steps": [], "film/frames": []}
    if state["stopped"]:
        state |= {"stopped": RUNNING, "waited": 0}
    origin = learned.schema.origin
    if origin is None or origin.digest != dataset.digest:
        # The best epoch and the lowest loss were measured on other data.
        for key in [key for key in state if key.startswith("best/") or key == "lowest"]:
            del state[key]
        state["waited"] = 0
    return state


def _join(before: State, state: State, earlier_steps: int) -> None:
    """Puts the steps and the film of earlier fits before those of a new state."""
    film_steps = [step + earlier_steps for step in state["film/steps"]]
    state["step"] += earlier_steps
    state["film/steps"] = [*before["film/steps"], *film_steps]
    state["film/frames"] = [*before["film/frames"], *state["film/frames"]]


def _bad_step(records: list[Record]) -> int | None:
    """The step at which training has diverged; None where it has not."""
    if not records:
        return None
    return records[-1].bad_step


# Pairs of the digest of a data set and what was told of it.
_told: set[tuple[str, str]] = set()


def _tell_once(dataset: Dataset, decisions: list[str]) -> None:
    """Tells on stderr what was decided of the data for their user, once in a process."""
    text = f"{dataset.name}: {'; '.join(decisions)}"
    if decisions and (dataset.digest, text) not in _told:
        _told.add((dataset.digest, text))
        print(text, file=sys.stderr)
