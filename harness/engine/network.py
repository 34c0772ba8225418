"""The network: layers, a loss and an update rule, bound over one arena.

A layer is bound three times over the same parameters: once to learn what it needs (a *plan*), once
for training and once for evaluation, each with buffers of its own. After that a step is a walk over
closures: nothing is allocated or looked up.

Axes: `...` is (P,) for a population or () for one network; B batch, I features in, O features out,
n all parameters.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from harness import registry
from harness.engine.arena import Arena
from harness.engine.context import Context, Shared, chain
from harness.engine.contracts import Rule
from harness.errors import UsageError
from harness.ops import Array, guards, stream

# X, t, fraction of the planned steps that are done -> mean loss
Step = Callable[[Array, Array, float], Array]


@dataclass
class Network:
    """A built network: step(x, t, fraction) -> mean loss (...,) over the rows of x; evaluate(x) ->
    logits; loss and predict bound for evaluation.
    """

    arena: Arena
    rule_state: dict[str, Any]
    layer_state: dict[str, Array]
    frozen: dict[str, Array]
    step: Step
    last_step: Step | None  # the same for the last batch of an epoch, where it has fewer rows
    evaluate: Callable[[Array], Array]
    losses: Callable[[Array, Array], Array]  # logits, targets -> per example (..., B)
    predict: Callable[[Array], Array]  # logits -> predictions, in place
    # The rule's parameters for evaluation where they differ from arena.value
    theta: Callable[[], Array] | None
    rekey: Callable[[int], None]  # random streams of an epoch
    initialize: Callable[[], None]
    outputs: int


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
    layers: Any, features: int, *, loss: Any, rule: Any, seeds: list[int], lead: tuple[int, ...], batch: int,
    eval_batch: int, dtype: Any, ops: Any, last_batch: int = 0,
) -> Network:  # fmt: skip
    """Specs -> a network over one arena. `lead` is () or (P,), with one seed per member.
    last_batch: the rows of the last batch of an epoch where those are fewer than `batch`, else
    0.
    """
    top, plan = chain(*layers), Shared(ops, np.dtype(dtype), lead, batch, None, {}, {}, {}, {})
    outputs = top(Context(plan), features)[1]
    params, frozen, fills = plan.params, plan.frozen, plan.fills
    slices: dict[str, tuple[slice, tuple[int, ...]]] = {}
    at = decayed = 0
    # Decayed first
    for path in sorted((p for p in params if params[p][3]), key=lambda p: not params[p][2]):
        shape, _, decay, _ = params[path]
        slices[path] = (slice(at, at + prod(shape)), shape)
        at += prod(shape)
        decayed = at if decay else decayed
    frozen.update(
        {
            p: ops.zeros((*lead, *shape), plan.dtype)
            for p, (shape, _, _, train) in params.items()
            if not train
        }
    )
    value, grad = ops.zeros((*lead, at), plan.dtype), ops.zeros((*lead, at), plan.dtype)
    arena = Arena(value, grad, decayed, slices, ops.xp, Context(plan, "rule").random)
    eval_ctx, bound = (
        Context(plan._replace(arena=arena, batch=eval_batch)),
        registry.make("loss", loss),
    )
    evaluate = top(eval_ctx, features)[0]
    eval_loss, predict = bound(eval_ctx, outputs)
    made: Rule = registry.make("update_rule", rule)
    state = made.init(arena)
    state["step"] = arena.scalar(0.0)
    update, project, schedules, xp = made.update, made.project, arena.schedules, ops.xp
    mean = xp.empty(lead, plan.dtype)

    def step_over(rows: int) -> Step:
        """Layers and loss bound to so many rows, with buffers of their own over the one arena."""
        ctx = Context(plan._replace(arena=arena, batch=rows, short=rows < batch))
        forward, scale = guards.gradients(top(ctx, features)[0], arena), plan.dtype.type(1.0 / rows)
        loss_of, _ = bound(ctx, outputs)

        def step(x: Array, t: Array, fraction: float) -> Array:
            for out, planned in schedules:
                out[...] = xp.asarray([at(fraction) for at in planned], out.dtype).reshape(-1, 1)
            y, backward = forward(x, True)
            values, loss_backward = loss_of(y, t)
            xp.add.reduce(values, axis=-1, out=mean)  # before backward, which may use it as scratch
            backward(loss_backward())
            state["step"] += 1
            update(grad, arena, state)
            xp.add(value, grad, out=value)
            if project is not None:
                project(arena, state)
            return xp.multiply(mean, scale, out=mean)

        return step

    def rekey(epoch: int) -> None:
        for purpose, generators in fills.items():
            generators[:] = [ops.generator(stream(seed, purpose, epoch)) for seed in seeds]

    def initialize() -> None:
        for path, (shape, init, _, train) in params.items():
            draw = registry.make("initializer", init)
            fan_in, fan_out = (shape[-2], shape[-1]) if len(shape) > 1 else (1, shape[-1])
            rngs = [
                np.random.Generator(np.random.Philox(stream(seed, "init/" + path)))
                for seed in seeds
            ]
            drawn = np.reshape([draw(rng, shape, fan_in, fan_out) for rng in rngs], (*lead, *shape))
            (arena.view(value, path) if train else frozen[path])[...] = ops.asarray(
                drawn, plan.dtype
            )

    return Network(
        arena, state, plan.states, frozen, step_over(batch), step_over(last_batch) if last_batch else None,
        lambda x: evaluate(x, False)[0], lambda y, t: eval_loss(y, t)[0], predict,
        (lambda: made.evaluate(arena, state)) if made.evaluate else None, rekey, initialize, outputs,
    )  # fmt: skip
