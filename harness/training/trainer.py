"""One epoch of training."""

from collections.abc import Callable
from functools import partial
from typing import Any

from harness.engine.network import Network, Step
from harness.ops import Array, ops_for
from harness.training.batches import Batches, feeder
from harness.training.members import Members
from harness.training.prepared import Data
from harness.training.stopwatch import Stopwatch
from harness.training.weights import weighted_targets

TrainOn = Callable[..., Array]  # index (..., B), fraction, out for norms -> mean loss (...,)


class Trainer:
    """Trains a network for one epoch after the other, in buffers that are made once.

    Attributes
    ----------
    gradient_norm
        The norms (...,) of the gradient in the last step of the last epoch, before the update rule
        took it.
    """

    def __init__(self, network: Network, members: Members, data: Data, batches: Batches):
        self._network = network
        self._members = members
        self._batches = batches
        self._ops = ops_for(members.shared.device)
        self._rows = data.rows
        self._total = members.shared.epochs * batches.steps
        self._losses = self._ops.empty((*members.lead, batches.steps), data.dtype)
        targets = weighted_targets(members.shared, data, self._ops)
        train_on = self._fed(network.step, batches.rows, data, targets)
        self._steps = [train_on] * batches.whole
        if network.last_step is not None:
            self._steps.append(self._fed(network.last_step, batches.last, data, targets))
        # One step an epoch is measured, so that the others are as quick as they were.
        self.gradient_norm = self._ops.zeros(members.lead, "float64")
        self._steps[-1] = partial(self._steps[-1], norms=self.gradient_norm)

    def _fed(self, step: Step, rows: int, data: Data, targets: Array) -> TrainOn:
        """Give a training step the rows of an index, by way of buffers of their size."""
        lead = self._members.order_lead
        x, fill = feeder(data, self._ops, lead, rows)
        t = self._ops.empty((*lead, rows, targets.shape[1]), targets.dtype)
        gather = self._ops.gather  # a local name, since it is called in each step

        def train_on(index: Any, fraction: float, norms: Array | None = None) -> Array:
            fill(index)
            gather(targets, index, t)
            return step(x, t, fraction, norms)

        return train_on

    def epoch(
        self,
        number: int,
        watch: Stopwatch,
        film_steps: frozenset[int],
        capture: Callable[[int], None],
    ) -> Array:
        """Train for an epoch.

        Parameters
        ----------
        number
            Of the epoch, the first of a run being 1.
        watch
            Measures training and capturing.
        film_steps, capture
            After each of these steps of the run capture(step) is called.

        Returns
        -------
        Array
            The mean loss (..., steps) of each step, in a buffer.
        """
        # The streams begin anew, so that an epoch does not depend on what was drawn before.
        self._network.rekey(number)
        order = self._ops.asarray(self._members.order(number, self._rows))
        # What the loop uses has local names, since its body runs for each step.
        losses = self._losses
        rows = self._batches.rows
        total = self._total
        step = (number - 1) * self._batches.steps
        with watch.measure("train_s"):
            for k, train_on in enumerate(self._steps):
                # The last index is shorter where the last batch is.
                index = order[..., k * rows : (k + 1) * rows]
                losses[..., k] = train_on(index, step / total)
                step += 1
                if step in film_steps:
                    with watch.measure("capture_s"):
                        capture(step)
        return losses
