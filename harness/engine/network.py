"""The network: layers, a loss and an update rule, bound over one arena.

A layer is bound at least three times over the same parameters: once to learn what it needs (the
*plan*), once for training and once for evaluation, each with buffers of its own. After that a step
is a walk over closures: nothing is allocated or looked up.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from harness import registry
from harness.engine.arena import Arena, lay_out
from harness.engine.chain import chain
from harness.engine.context import Context, Shared
from harness.engine.contracts import Bind, BindLoss, Forward, LossForward, Predict, Rule
from harness.errors import UsageError
from harness.expressions.written import step_counter
from harness.ops import Array, guards, stream
from harness.ops.norms import write_norms

# X, t, the fraction of the planned steps that are done, out for gradient norms -> mean loss
Step = Callable[..., Array]


@dataclass(frozen=True)
class Bound:
    """Layers and a loss bound to batches of one size, with buffers of their own.

    Attributes
    ----------
    rows
        Of a batch.
    forward, loss, predict
        The layers, the loss, and what turns outputs into predictions.
    """

    rows: int
    forward: Forward
    loss: LossForward
    predict: Predict


@dataclass(frozen=True)
class Plan:
    """What a network is made of, before and while it is bound.

    Attributes
    ----------
    layers, loss
        Not bound yet.
    features, outputs
        The features I that come in, and O that come out.
    shared
        What the layers have asked for.
    seeds
        One for each member.
    """

    layers: Bind
    loss: BindLoss
    features: int
    outputs: int
    shared: Shared
    seeds: list[int]

    def bind(self, arena: Arena, rows: int, short: bool = False) -> Bound:
        """Bind layers and loss to batches of so many rows, over the parameters of an arena."""
        ctx = Context(replace(self.shared, arena=arena, batch=rows, short=short))
        forward, _ = self.layers(ctx, self.features)
        return Bound(rows, forward, *self.loss(ctx, self.outputs))

    def allocate(self) -> Arena:
        """Make the arrays of all parameters: an arena of those that are trained, and the frozen."""
        shared = self.shared
        for path, param in shared.params.items():
            if not param.train:
                shared.frozen[path] = shared.ops.zeros((*shared.lead, *param.shape), shared.dtype)
        slots, decayed = lay_out(shared.params)
        size = max((slot.where.stop for slot in slots.values()), default=0)
        value = shared.ops.zeros((*shared.lead, size), shared.dtype)
        grad = shared.ops.zeros((*shared.lead, size), shared.dtype)
        random = Context(shared, "rule").random
        return Arena(value, grad, decayed, slots, shared.ops.xp, random)


@dataclass
class Network:
    """A network that is built, and can be trained and evaluated.

    Attributes
    ----------
    arena
        Its trained parameters and their gradients.
    rule_state, layer_state, frozen
        The named state of rule and layers, and the parameters that are not trained.
    step, last_step
        step(x, t, fraction) trains on a batch and returns the mean loss (...,) over its rows, in a
        buffer; last_step is the same for the last batch of an epoch, None where that is like the
        others. Where step(..., norms) gets an array (...,), it writes the norm of the gradient
        there, as it is before the update rule takes it.
    theta
        Returns the parameters to evaluate with; None where they are those that are trained.
    outputs
        How many features O come out.
    plan
        What it is made of, to bind it once more.
    evaluation
        Its layers and its loss in evaluation.
    """

    arena: Arena
    rule_state: dict[str, Any]
    layer_state: dict[str, Array]
    frozen: dict[str, Array]
    step: Step
    last_step: Step | None
    theta: Callable[[], Array] | None
    outputs: int
    plan: Plan
    evaluation: Bound

    def evaluate(self, x: Array) -> Array:
        """Return the outputs (..., B, O) for a batch of as many rows as evaluation has."""
        return self.evaluation.forward(x, False)[0]

    def losses(self, y: Array, t: Array) -> Array:
        """Return the loss (..., B) of each row of outputs y against targets t."""
        return self.evaluation.loss(y, t)[0]

    def predict(self, y: Array) -> Array:
        """Turn outputs into predictions, in place."""
        return self.evaluation.predict(y)

    def rekey(self, epoch: int) -> None:
        """Begin the random streams of an epoch."""
        shared = self.plan.shared
        for purpose, generators in shared.generators.items():
            keys = [stream(seed, purpose, epoch) for seed in self.plan.seeds]
            generators[:] = [shared.ops.generator(key) for key in keys]

    def initialize(self) -> None:
        """Draw the parameters anew, each member's from its own stream."""
        shared = self.plan.shared
        for path, param in shared.params.items():
            draw = registry.make("initializer", param.init)
            # Members of one seed begin alike, and theirs are drawn once.
            drawn = {}
            for seed in set(self.plan.seeds):
                rng = np.random.Generator(np.random.Philox(stream(seed, f"init/{path}")))
                # Fan in and fan out come last; a vector has no fan in of its own.
                drawn[seed] = draw(rng, param.shape, *(1, *param.shape)[-2:])
            target = self.frozen.get(path)
            if target is None:
                target = self.arena.view(self.arena.value, path)
            begun = np.reshape([drawn[seed] for seed in self.plan.seeds], target.shape)
            target[...] = shared.ops.asarray(begun, shared.dtype)


@contextmanager
def _in_memory() -> Iterator[None]:
    try:
        yield
    except MemoryError as error:
        raise UsageError(
            f"the network must fit into memory, but: {error}; take fewer units or smaller batches"
        ) from error


@_in_memory()
def build(
    layers: Any,
    features: int,
    *,
    loss: Any,
    rule: Any,
    seeds: list[int],
    lead: tuple[int, ...],
    batch: int,
    eval_batch: int,
    dtype: Any,
    ops: Any,
    last_batch: int = 0,
) -> Network:
    """Build a network from specs.

    Parameters
    ----------
    layers, loss, rule
        The specs, or products, of what it is made of.
    features
        The features I that come in.
    seeds
        One for each member.
    lead
        () for one network, (P,) for a population.
    batch, eval_batch
        The rows of a batch in training, and in evaluation.
    dtype
        Of parameters and buffers.
    ops
        The operations of the device.
    last_batch
        The rows of the last batch of an epoch where those are fewer than `batch`, else 0.

    Raises
    ------
    UsageError
        If the network does not fit into memory.
    """
    # The first binding allocates nothing that stays: it tells which parameters there are.
    bind = chain(*layers)
    shared = Shared(ops=ops, dtype=np.dtype(dtype), lead=lead, batch=batch)
    _, outputs = bind(Context(shared), features)
    plan = Plan(bind, registry.make("loss", loss), features, outputs, shared, seeds)
    arena = plan.allocate()
    evaluation = plan.bind(arena, eval_batch)
    update_rule: Rule = registry.make("update_rule", rule)
    state = update_rule.init(arena)
    state["step"] = arena.scalar(0.0)
    # Both steps write their result here, as it is read before the next step.
    mean = ops.xp.empty(lead, shared.dtype)
    step = _step(plan.bind(arena, batch), batch, arena, update_rule, state, mean)
    last_step = None
    if last_batch:
        bound = plan.bind(arena, last_batch, short=True)
        last_step = _step(bound, last_batch, arena, update_rule, state, mean)
    theta = None
    if update_rule.evaluate is not None:
        theta = partial(update_rule.evaluate, arena, state)
    return Network(
        arena=arena,
        rule_state=state,
        layer_state=shared.states,
        frozen=shared.frozen,
        step=step,
        last_step=last_step,
        theta=theta,
        outputs=outputs,
        plan=plan,
        evaluation=evaluation,
    )


def _step(
    bound: Bound, rows: int, arena: Arena, rule: Rule, state: dict[str, Any], mean: Array
) -> Step:
    """Make a training step on batches of so many rows; `mean` is the buffer of its result."""
    # All that a step uses is a local name here, so that it looks nothing up.
    forward = guards.gradients(bound.forward, arena)
    loss = bound.loss
    value = arena.value
    grad = arena.grad
    update = rule.update
    fused = None if rule.fuse is None else rule.fuse(arena, state)
    project = rule.project
    schedules = arena.schedules
    xp = arena.xp
    count = step_counter(xp, rows, mean, state["step"])

    def step(x: Array, t: Array, fraction: float, norms: Array | None = None) -> Array:
        if schedules:
            arena.follow_schedules(fraction)
        y, backward = forward(x, True)
        values, loss_backward = loss(y, t)
        # The mean is taken before backward, which may use the values as scratch.
        count(values)
        backward(loss_backward())
        if norms is not None:
            write_norms(xp, grad, norms)
        if fused is not None:
            fused(grad)
        else:
            update(grad, arena, state)
            xp.add(value, grad, out=value)
        if project is not None:
            project(arena, state)
        return mean

    return step
