"""What a model has learned: the state of its training, and the network that carries it on."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np

from harness.config import Config
from harness.data import Dataset
from harness.engine.network import Network
from harness.errors import UsageError
from harness.model.schema import Schema
from harness.training.networks import construct
from harness.training.prepared import Data
from harness.training.state import State, arrays_of, fresh, restore

# The values of state["stopped"]: training goes on, or early stopping has ended it (after which a
# user may go on), or it has diverged.
RUNNING = 0
DIVERGED = 2

STUCK = "training has diverged, so it cannot go on; make a new Model with a lower learning rate"


class Learned:
    """A state of training, and a network over its arrays where one is needed.

    Attributes
    ----------
    config
        The config of the model.
    schema
        What the model knows of its data.
    state
        The state as the last segment of training left it. Single steps change the network's arrays
        alone; `current_state` copies them here.
    source
        The data set last fitted, as long as this process has it.
    ahead
        Whether the network's arrays are newer than those of the state.
    """

    def __init__(
        self, config: Config, schema: Schema, state: State, source: Dataset | None = None
    ) -> None:
        self.config = config
        self.schema = schema
        self.state = state
        self.source = source
        self.ahead = False
        self._network: Network | None = None
        self._rows = 0  # the batch size that the network is built for

    @classmethod
    def initialized(cls, config: Config, schema: Schema, rows: int) -> "Learned":
        """A network with its initial weights, for single steps on so many rows."""
        learned = cls(config, schema, fresh())
        learned._network = construct(config, _without_rows(config, schema), rows=rows)
        learned._network.initialize()
        learned._rows = rows
        # The state has no arrays yet.
        learned.ahead = True
        return learned

    @property
    def diverged(self) -> bool:
        """Whether the training has ended in numbers that are not finite."""
        return self.state["stopped"] == DIVERGED

    def refuse_diverged(self) -> None:
        """Raises UsageError where the training cannot go on."""
        if self.diverged:
            raise UsageError(STUCK)

    def network(self, rows: int | None = None) -> Network:
        """The network with the current arrays.

        Parameters
        ----------
        rows
            The batch size of the steps that it will take; None for any. Another batch size than
            before costs a new network, because its buffers have another shape.

        Raises
        ------
        UsageError
            Where the state is that of another network.
        """
        if self._network is None or rows not in (None, self._rows):
            state = self.current_state()
            batch = rows or 1
            data = _without_rows(self.config, self.schema)
            network = construct(self.config, data, rows=batch)
            restore(network, state)
            # Only now, so that a state that does not fit leaves everything as it was.
            self._network = network
            self._rows = batch
        return self._network

    def take(self, state: State) -> None:
        """Goes on with another state of this config, in the network that is built."""
        restore(self.network(), state)
        self.state = state
        self.ahead = False

    def current_state(self) -> State:
        """The state with the arrays of a network that has run ahead of it."""
        if self.ahead and self._network is not None:
            self.state |= arrays_of(self._network)
            self.ahead = False
        return self.state

    def go_on_from_shown(self, network: Network) -> None:
        """Makes the weights that are shown those that are trained, and forgets the best epoch.

        Without select="best" they are the same already.
        """
        if "best/theta" not in self.state:
            return
        network.arena.value[...] = self.shown_parameters(network)
        for path, target in network.layer_state.items():
            target[...] = network.arena.xp.asarray(self.state[f"best/layer/{path}"])
        for key in [key for key in self.state if key.startswith("best/")]:
            self.state.pop(key)
        self.ahead = True

    def shown_parameters(self, network: Network) -> Any:
        """The parameters (n,) that predict, are shown and are saved.

        They are those of the best epoch, those that the update rule evaluates (such as an average),
        or those that are trained.
        """
        best = self.state.get("best/theta")
        if best is not None:
            return network.arena.xp.asarray(best)
        if network.theta is not None:
            return network.theta()
        return network.arena.value

    @contextmanager
    def evaluation(self) -> Iterator[Network]:
        """The network with the parameters that predict; those that are trained come back later."""
        network = self.network()
        trained = network.arena.value
        shown = self.shown_parameters(network)
        if shown is trained:
            yield network
            return
        # The network's own buffers are filled, because its layers are bound to them.
        kept = trained.copy()
        statistics = {path: array.copy() for path, array in network.layer_state.items()}
        trained[...] = shown
        for path, target in network.layer_state.items():
            target[...] = network.arena.xp.asarray(self.state.get(f"best/layer/{path}", target))
        try:
            yield network
        finally:
            trained[...] = kept
            for path, target in network.layer_state.items():
                target[...] = statistics[path]


def _without_rows(config: Config, schema: Schema) -> Data:
    """Data without rows, which is all that a network is built from."""
    name = schema.origin.name if schema.origin is not None else "arrays"
    x = np.empty((0, schema.inputs), config.dtype)
    t = np.empty((0, schema.outputs), config.dtype)
    y = np.empty(0, np.int64)
    source: Any = SimpleNamespace(name=name, task=schema.task, classes=schema.names)
    dtype = np.dtype(config.dtype)
    return Data(source, t, y, x, t, y, schema.fitted, dtype, config.device, scaled=x)
