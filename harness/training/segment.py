"""The segment: the training between two decisions, as a pure function."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from harness.boundary import foreign
from harness.config import Config
from harness.engine.network import Network
from harness.ops import ops_for
from harness.training.batches import check
from harness.training.course import Course, record_of
from harness.training.film import Film
from harness.training.last_step import LastStep
from harness.training.members import Members
from harness.training.networks import keep_network, network_for
from harness.training.prepared import Data
from harness.training.scoring import measure
from harness.training.shorter import shorten
from harness.training.state import State, fresh, host
from harness.training.stopwatch import Stopwatch
from harness.training.trainer import Trainer


@foreign("a plugin")
def segment(
    config: Config | list[Config], data: Data, state: Any = None, epochs: int | None = None
) -> tuple[Any, Any]:
    """Train for some epochs.

    The same config, data and state give the same next state and records, bit for bit, whichever
    process runs it. Nothing that is given is written into.

    Parameters
    ----------
    config
        A Config, or a list of Configs of one shape, which are trained as one population.
    data
        The prepared data, which all members share.
    state
        None to start, else what the last segment has returned.
    epochs
        How many at most; None for all that are left.

    Returns
    -------
    tuple
        The next state, and the records of the new epochs. For a list of Configs both are lists,
        with one entry for each member.
    """
    members = Members.of(config)
    # A state is written anew and never changed in place, so that a shallow copy is enough.
    states = None if state is None else [dict(each) for each in members.listed(state)]
    training = _Segment(members, data, states)
    training.run(epochs)
    training.finish()
    courses = training.courses
    return (
        members.returned([course.state for course in courses]),
        members.returned([course.records for course in courses]),
    )


class _Segment:
    """A network, or a population, while it trains."""

    def __init__(self, members: Members, data: Data, states: list[State] | None):
        shared = members.shared
        self.members = members
        self.data = data
        self.batches = check(shared, data)
        self.network = network_for(members, data, states)
        total = shared.epochs * self.batches.steps
        self.film = Film(shared, self.network, data.inputs, total)
        self.trainer = Trainer(self.network, members, data, self.batches)
        begun = states or [fresh() for _ in members.configs]
        parts = zip(members.configs, members.indices, begun, strict=True)
        self.courses = [Course(config, index, state) for config, index, state in parts]
        self.active = self.courses  # those that have not stopped
        if states is None and 0 in self.film.steps:
            self._capture(0)

    def run(self, epochs: int | None) -> None:
        """Train for at most so many epochs, as long as some member has not stopped."""
        last = self.members.shared.epochs
        # A member that has stopped stays at its own epoch.
        done = max(course.state["epoch"] for course in self.courses)
        if epochs is not None:
            last = min(last, done + epochs)
        with ops_for(self.members.shared.device).quiet():
            for epoch in range(done + 1, last + 1):
                self.active = [one for one in self.courses if one.is_training(self.network)]
                if not self.active:
                    break
                self._epoch(epoch)

    def _epoch(self, epoch: int) -> None:
        """Train for an epoch, evaluate, and write down what came of it for each member."""
        watch = Stopwatch(ops_for(self.members.shared.device).synchronize)
        losses = host(self.trainer.epoch(epoch, watch, self.film.steps, self._capture))
        moved = LastStep.of(self.network, self.trainer.gradient_norm)
        # Metrics, and what is kept of the best epoch, are of the parameters to evaluate with.
        with _parameters_to_evaluate(self.network):
            with watch.measure("evaluate_s"):
                shorten(self.network, self.members, self.data)
                measured = measure(self.network, self.members.shared, self.data)
            theta = host(self.network.arena.value)
            # All have trained together, so that each has an equal share of the time.
            seconds = {k: spent / len(self.courses) for k, spent in watch.seconds.items()}
            for course in self.active:
                part = course.index
                metrics = {name: float(np.asarray(v)[part]) for name, v in measured.items()}
                record = record_of(
                    epoch,
                    self.batches,
                    losses[part],
                    theta[part],
                    metrics,
                    dict(seconds),
                    moved.of_member(course.config, part),
                )
                course.follow(record, self.network)

    def _capture(self, step: int) -> None:
        weights = self.film.weights()
        for course in self.active:
            course.capture(weights, step)

    def finish(self) -> None:
        """Bring the states up to date, and keep the network where it is going to train on."""
        for course in self.courses:
            course.finish(self.network, self.batches)
        epochs = self.members.shared.epochs
        states = [course.state for course in self.courses]
        if any(state["epoch"] < epochs and not state["stopped"] for state in states):
            keep_network(self.members, self.data, self.network)


@contextmanager
def _parameters_to_evaluate(network: Network) -> Iterator[None]:
    """Put the parameters to evaluate with in the place of those that are trained."""
    if network.theta is None:
        yield
        return
    value = network.arena.value
    trained = value.copy()
    value[...] = network.theta()
    yield
    value[...] = trained
