"""One layer, or one update rule, in a network that has nothing else."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.engine.chain import layer_of
from harness.engine.context import Context
from harness.engine.contracts import Backward, Forward
from harness.engine.network import Network
from harness.testing.measures import SEEDS, B, I, random_numbers
from harness.training.alone import build_alone


def _first_seeds(lead: tuple[int, ...]) -> list[int]:
    """As many seeds as there are members."""
    return SEEDS[: lead[0]] if lead else SEEDS[:1]


@dataclass(frozen=True)
class LayerAlone:
    """A layer in a network of its own.

    Attributes
    ----------
    network
        The network of this layer.
    ctx
        The context of the binding that trains.
    forward
        The binding that trains, x (..., B, I), train -> y (..., B, O), backward. From call to call
        random streams and layer state go on.
    outputs
        How many features come out, O.
    """

    network: Network
    ctx: Context
    forward: Forward
    outputs: int
    _evaluate: Forward
    _state_at_start: dict[str, np.ndarray]

    def train(self, x: np.ndarray) -> tuple[np.ndarray, Backward]:
        """The y and backward of the first step: random streams and layer state begin anew."""
        self.network.rekey(1)
        for key, array in self._state_at_start.items():
            self.network.layer_state[key][...] = array
        return self.forward(x, True)

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        """The y of evaluation; it is overwritten by the next call."""
        return self._evaluate(x, False)[0]

    def parameters(self) -> dict[str, np.ndarray]:
        """All parameters by name, trained or not, as views: "W", "body/0/W"."""
        return self._views(self.network.arena.value) | {
            path.removeprefix("0/"): array for path, array in self.network.frozen.items()
        }

    def gradients(self) -> dict[str, np.ndarray]:
        """The gradients of the trained parameters by name, as views."""
        return self._views(self.network.arena.grad)

    def _views(self, flat: np.ndarray) -> dict[str, np.ndarray]:
        arena = self.network.arena
        return {path.removeprefix("0/"): arena.view(flat, path) for path in arena.slices}


def bind_alone(
    layer: Any,
    lead: tuple[int, ...] = (),
    dtype: Any = np.float64,
    features: int = I,
    batch: int = B,
    seeds: list[int] | None = None,
    *,
    input_needs_grad: bool = True,
    input_is_scratch: bool = False,
    like: Network | None = None,
) -> LayerAlone:
    """A layer alone, its parameters moved away from where they start: 0 and 1 would hide mistakes.

    Parameters
    ----------
    layer
        A spec, a product, or the name of a layer or an activation.
    lead
        () for one network or (P,) for a population.
    dtype
        Of parameters, inputs and outputs.
    features, batch
        The features I of the input, and the rows B of a batch.
    seeds
        One for each member; without them the first of SEEDS.
    input_needs_grad, input_is_scratch
        What the context tells the layer about its input.
    like
        A network of the same layer whose parameters are taken; random streams stay its own.
    """
    bind = layer_of(layer)
    # The engine hands out contexts only while it binds; this layer writes them down.
    contexts: list[Context] = []
    bindings: list[tuple[Forward, int]] = []

    def observed(ctx: Context, width: int) -> tuple[Forward, int]:
        ctx.input_needs_grad = input_needs_grad
        ctx.input_is_scratch = input_is_scratch
        contexts.append(ctx)
        bindings.append(bind(ctx, width))
        return bindings[-1]

    seeds = seeds or _first_seeds(lead)
    network = build_alone(
        [observed],
        features,
        seeds=seeds,
        lead=lead,
        batch=batch,
        eval_batch=batch,
        dtype=dtype,
    )
    network.initialize()
    value = network.arena.value
    # Drawn in float64 and rounded, so that both dtypes begin at the same numbers.
    value += (0.1 * random_numbers(value.shape, seeds[0])).astype(dtype)
    if like is not None:
        value[...] = like.arena.value
        for path, array in network.frozen.items():
            array[...] = like.frozen[path]
    # After the plan the engine binds twice over the arena, for training and for evaluation. Both
    # batches have the same size here, so that either binding may serve for either use.
    forward, outputs = bindings[1]
    evaluate, _ = bindings[2]
    return LayerAlone(
        network=network,
        ctx=contexts[1],
        forward=forward,
        outputs=outputs,
        _evaluate=evaluate,
        _state_at_start={key: array.copy() for key, array in network.layer_state.items()},
    )


@dataclass(frozen=True)
class RuleAlone:
    """An update rule on parameters whose gradients are what the caller says.

    Attributes
    ----------
    network
        The network that holds the parameters and the state of the rule.
    step
        step(gradient, fraction=0.0): the gradient (..., n), or a function of theta that gives it,
        and the fraction of the planned steps that are done.
    """

    network: Network
    step: Callable[..., None]

    @property
    def theta(self) -> np.ndarray:
        """The parameters (..., n), a view."""
        return self.network.arena.value

    @property
    def evaluated(self) -> np.ndarray:
        """The parameters (..., n) that the rule evaluates with."""
        if self.network.theta is None:
            return self.theta
        return self.network.theta()

    def parameter(self, name: str) -> np.ndarray:
        """One parameter (..., *shape), a view."""
        return self.network.arena.view(self.theta, f"0/{name}")


def drive_alone(
    rule: Any,
    lead: tuple[int, ...] = (),
    dtype: Any = np.float64,
    seeds: list[int] | None = None,
    *,
    shapes: Mapping[str, tuple[int, int]] | None = None,
    decayed: Collection[str] = ("W",),
) -> RuleAlone:
    """An update rule alone, over parameters that are drawn from a normal distribution.

    Parameters
    ----------
    rule
        A spec, a product or a name.
    lead
        () for one network or (P,) for a population.
    dtype
        Of the parameters.
    seeds
        One for each member; without them the first of SEEDS.
    shapes
        The parameters by name; without them a matrix W (7, 5) and a bias b (1, 5).
    decayed
        The names of those parameters that weight decay applies to.
    """
    shapes = shapes or {"W": (7, 5), "b": (1, 5)}
    gradient: Any = None

    def source(ctx: Context, width: int) -> tuple[Forward, int]:
        """A layer whose backward writes the gradient that the caller gave."""
        # std 1, so that decay and norms make a difference.
        for name, shape in shapes.items():
            ctx.param(name, shape, "normal(std=1)", decay=name in decayed)
        y = ctx.empty(1)
        y[...] = 0.0

        def backward(dy: np.ndarray) -> np.ndarray:
            arena = network.arena
            arena.grad[...] = gradient(arena.value) if callable(gradient) else gradient
            return dy

        def forward(x: np.ndarray, train: bool) -> tuple[np.ndarray, Backward]:
            return y, backward

        return forward, 1

    seeds = seeds or _first_seeds(lead)
    network = build_alone([source], 1, rule=rule, seeds=seeds, lead=lead, dtype=dtype)
    network.initialize()
    network.rekey(1)
    # Inputs and targets play no part: the gradient comes from `source`.
    x = np.zeros((*lead, 1, 1), dtype)

    def step(given: Any, fraction: float = 0.0) -> None:
        nonlocal gradient
        gradient = given
        network.step(x, x, fraction)

    return RuleAlone(network, step)
