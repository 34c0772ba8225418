"""The course of one network's training: its records, its best epoch, and how it stops."""

from dataclasses import dataclass, field
from math import isfinite

import numpy as np

from harness import registry
from harness.config import Config
from harness.engine.network import Network
from harness.storage.clock import now_ms
from harness.training.batches import Batches
from harness.training.state import Record, State, arrays_of, host, named_state


@dataclass
class Course:
    """How far one network of a segment has come.

    Attributes
    ----------
    config
        Of this network.
    index
        Its part in the arrays of all members, () or (p,).
    state
        Its state, of which the arrays are brought up to date by `finish`.
    records
        Those of the epochs of this segment.
    stopped_arrays
        Its arrays as they were when it stopped, since a population trains on; None before.
    """

    config: Config
    index: tuple[int, ...]
    state: State
    records: list[Record] = field(default_factory=list)
    stopped_arrays: State | None = None

    def is_training(self, network: Network) -> bool:
        """Return whether it goes on; where it has stopped, its arrays are kept as they are."""
        if self.state["stopped"] and self.stopped_arrays is None:
            self.stopped_arrays = arrays_of(network, self.index)
        return self.stopped_arrays is None

    def capture(self, weights: np.ndarray, step: int) -> None:
        """Add a frame to its film, a copy of its part of the filmed weights (..., I, O)."""
        # New lists, since the state that was given to the segment has the old ones.
        self.state["film/steps"] = [*self.state["film/steps"], step]
        self.state["film/frames"] = [*self.state["film/frames"], weights[self.index].copy()]

    def follow(self, record: Record, network: Network) -> None:
        """Add an epoch: see whether it diverged, was the best, or was one too many."""
        self.records.append(record)
        self.state["epoch"] = record.epoch
        # A network that has diverged cannot recover, and its weights are no candidates.
        if record.bad_step is not None:
            self.state["stopped"] = 1
        elif "valid/loss" in record.metrics:
            if self.config.select == "best":
                self._keep_best(record, network)
            if self.config.patience is not None:
                self._wait(record.metrics["valid/loss"], self.config.patience)

    def _keep_best(self, record: Record, network: Network) -> None:
        metric = self.config.metric["name"]
        value = record.metrics[f"valid/{metric}"]
        # The best value is kept with the sign that makes it the largest.
        if registry.find("metric", metric).options["direction"] != "maximize":
            value *= -1
        if not value > self.state.get("best/value", -np.inf):  # NaN is never the best
            return
        self.state.update({"best/value": value, "best/epoch": record.epoch})
        # Weights without the running statistics that go with them would be another network.
        for name, array in named_state(network).items():
            if name == "theta" or name.startswith("layer/"):
                self.state[f"best/{name}"] = np.array(host(array[self.index]))

    def _wait(self, loss: float, patience: int) -> None:
        lowest = self.state.get("lowest", np.inf)
        self.state["waited"] += 1
        if loss < lowest:
            self.state["waited"] = 0
        self.state["lowest"] = min(loss, lowest)
        self.state["stopped"] = int(self.state["waited"] >= patience)

    def finish(self, network: Network, batches: Batches) -> None:
        """Bring the state up to date at the end of a segment."""
        self.state |= self.stopped_arrays or arrays_of(network, self.index)
        self.state["step"] = self.state["epoch"] * batches.steps


def record_of(
    epoch: int,
    batches: Batches,
    losses: np.ndarray,
    theta: np.ndarray,
    metrics: dict[str, float],
    seconds: dict[str, float],
    optim: dict[str, float],
) -> Record:
    """Return the record of an epoch of one network.

    Parameters
    ----------
    epoch
        Its number, the first of a run being 1.
    batches
        The batches of an epoch.
    losses
        The mean loss (steps,) of each step.
    theta
        The weights (n,) after it.
    metrics
        What was measured on the validation part.
    seconds
        What it took, by activity.
    optim
        How its last step has moved the weights.
    """
    step = epoch * batches.steps
    mean = _mean_loss(losses, batches)
    first_bad = None
    # A mean in float64 is finite where each loss is, but for losses that are as large as a float64.
    is_bad = None if isfinite(mean) else ~np.isfinite(losses)
    if is_bad is not None and is_bad.any():
        first_bad = step - len(losses) + int(is_bad.argmax()) + 1
    elif not (np.isfinite(metrics.get("valid/loss", 0.0)) and np.isfinite(theta).all()):
        first_bad = step  # The last update broke the weights.
    return Record(
        epoch=epoch,
        step=step,
        metrics={"train/loss": mean, **metrics},
        losses=losses.copy(),
        seconds=seconds,
        bad_step=first_bad,
        optim=optim,
        ended_ms=now_ms(),
    )


def _mean_loss(losses: np.ndarray, batches: Batches) -> float:
    """Return the mean loss over the examples of an epoch, of which the last step has fewer."""
    if not batches.last:
        return float(losses.mean(dtype=np.float64))
    rows = np.array(batches.sizes, np.float64)
    # As numpy.average does it, which spends several times as long on its arguments.
    return float((losses.astype(np.float64) * rows).sum() / rows.sum())


def early_stop(config: Config, state: State, records: list[Record]) -> str:
    """Return the sentence that early stopping has ended a training; empty where it has not.

    Parameters
    ----------
    config
        Of the network.
    state
        Of the network, as it is now.
    records
        Those of all its epochs.
    """
    if config.patience is None or not records or not state["stopped"]:
        return ""
    if records[-1].bad_step is not None:  # It has diverged.
        return ""
    last = records[-1].epoch
    kept = ""
    if "best/epoch" in state:
        kept = f"; kept are the weights of epoch {state['best/epoch']}"
    return (
        f"stopped early after epoch {last} of {config.epochs}: the validation loss was lowest at "
        f"epoch {last - state['waited']}, {state['lowest']:.4f}{kept}"
    )
