"""The engine: Context, Param, Arena, chain, build -> Network.

A layer is bound several times over the same parameters: once to learn what it needs (a *plan*), once for training, once
for evaluation, and once more for the last batch of an epoch where that has fewer rows, each with buffers of its own.
After that a step is a walk over closures: nothing is allocated or looked up.

Axes: `...` is (P,) for a population or () for one network; B batch, I features in, O features out, n all parameters.
"""

from collections import namedtuple
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import Any, NamedTuple

import numpy as np

from harness import checks, registry
from harness.errors import UsageError
from harness.ops import Array, debug, stream

Backward = Callable[[Array], Array]  # dy (..., B, O) -> dx (..., B, I)
Forward = Callable[[Array, bool], tuple[Array, Backward]]  # x (..., B, I), train -> y (..., B, O), backward
Bind = Callable[["Context", int], tuple[Forward, int]]  # ctx, I -> forward, O


class Rule(namedtuple("Rule", "init update project evaluate", defaults=(None, None))):
    """An update rule: init(arena) -> named state; update(u, arena, state): gradient in, update out, in place."""


class Param(NamedTuple):
    value: Array  # (..., *shape)
    grad: Array  # the same; backward writes it


@dataclass
class Arena:
    """All parameters of a network in one flat array (..., n): decayed ones first, then the others; frozen ones
    apart."""

    value: Array
    grad: Array
    decayed: int
    slices: dict[str, tuple[slice, tuple[int, ...]]]
    xp: Any
    random: Callable[[str], Callable[[Array], None]]
    schedules: list[tuple[Array, list[Callable[[float], float]]]] = field(default_factory=list)

    def view(self, flat: Array, path: str) -> Array:
        """The parameter at `path` in an array (..., n), shaped (..., *shape)."""
        where, shape = self.slices[path]
        return flat[..., where].reshape(*flat.shape[:-1], *shape)

    def zeros(self) -> Array:
        return self.xp.zeros_like(self.value)

    def scalar(self, value: Any, dtype: Any = None) -> Array:
        """A number, one per member, or schedules -> (..., 1); what is scheduled is written anew before each step."""
        out = self.xp.empty((*self.value.shape[:-1], 1), dtype or self.value.dtype)
        members = value if isinstance(value, list | tuple | np.ndarray) else [value]
        if any(isinstance(v, str | dict) or callable(v) for v in members):
            planned = [
                registry.make("schedule", {"name": "constant", "value": v} if checks.is_real(v) else v) for v in members
            ]
            self.schedules.append((out, planned))
            members = [at(0.0) for at in planned]
        out[...] = self.xp.asarray(members, dtype=out.dtype).reshape(-1, 1) if len(members) > 1 else members[0]
        return out


class _Shared(NamedTuple):
    """What all contexts of one binding share."""

    ops: Any
    dtype: np.dtype
    lead: tuple[int, ...]
    batch: int
    arena: Arena | None  # None while planning
    params: dict[str, tuple[tuple[int, ...], Any, bool, bool]]  # path -> shape, init, decay, train
    frozen: dict[str, Array]
    states: dict[str, Array]
    fills: dict[str, list[Any]]  # purpose -> generators, one per member
    short: bool = False  # a binding for the last batch of an epoch, which has fewer rows than the others
    train: bool = True  # False below a frozen layer


class Context:
    """What a layer sees when it is bound: a place to ask for parameters, buffers, state, scalars and randomness."""

    def __init__(self, shared: _Shared, path: str = "", input_needs_grad: bool = False, input_is_scratch: bool = False):
        self._shared, self.path = shared, path
        self.ops, self.xp, self.dtype = shared.ops, shared.ops.xp, shared.dtype
        self.batch, self.lead, self.short = shared.batch, shared.lead, shared.short
        self.input_needs_grad = input_needs_grad
        # True: whoever made x does not read it again, so that this layer's backward may use it as scratch
        self.input_is_scratch = input_is_scratch
        # A layer sets this when its own backward does not read the y that its forward returned
        self.output_is_scratch = False

    def _join(self, name: str) -> str:
        return f"{self.path}/{name}" if self.path else name

    def child(self, name: str, train: bool = True, **flags: bool) -> "Context":
        """The context of a layer within this one. With train=False no parameter of that layer is trained."""
        shared = self._shared._replace(train=self._shared.train and train)
        return Context(shared, self._join(name), **{"input_needs_grad": True, **flags})

    def param(self, name: str, shape: tuple[int, ...], init: Any, decay: bool = True, train: bool = True) -> Param:
        """A parameter (..., *shape) and where its gradient goes. fan in and out are the last two axes."""
        path, s = self._join(name), self._shared
        if s.arena is None:
            if path in s.params:
                raise UsageError(f"parameter names within a layer must differ, {path!r} came twice; rename one")
            s.params[path] = (shape, init, decay, train and s.train)
            return Param(*(self.ops.empty((*s.lead, *shape), s.dtype) for _ in range(2)))
        if path in s.frozen:
            return Param(debug.read_only(s.frozen[path]), self.ops.empty((*s.lead, *shape), s.dtype))
        return Param(debug.read_only(s.arena.view(s.arena.value, path)), debug.watch(s.arena.view(s.arena.grad, path)))

    def empty(self, features: int, dtype: Any = None) -> Array:
        """A buffer (..., B, features) that belongs to the caller."""
        return debug.watch(debug.dead(self.ops.empty((*self.lead, self.batch, features), dtype or self.dtype)))

    def state(self, name: str, shape: tuple[int, ...], init: float = 0.0) -> Array:
        """Named state (..., *shape), part of every checkpoint, one array for training and evaluation."""
        fresh = self.xp.full((*self.lead, *shape), init, self.dtype)
        return debug.watch(self._shared.states.setdefault(self._join(name), fresh))

    def scalar(self, value: Any) -> Array:
        """A hyperparameter, one number or one per member -> (..., 1, 1)."""
        values = np.asarray(value, self.dtype)
        rows = np.broadcast_to(values.reshape(-1, 1, 1) if self.lead else values, (*self.lead, 1, 1))
        return debug.watch(self.ops.asarray(rows))

    def random(self, purpose: str) -> Callable[[Array], None]:
        """fill(out): out <- U[0, 1), each member from its own stream (seed, purpose, epoch)."""
        generators, uniform = self._shared.fills.setdefault(self._join(purpose), []), self.ops.uniform
        return lambda out: uniform(generators, out)


def layer_of(spec: Any) -> Bind:
    """A layer's spec, name or product -> its bind; an activation becomes a layer."""
    if callable(spec) and not isinstance(spec, registry.Activation):
        return spec
    spec = registry.canonical("layer", spec)
    if registry.find("layer", spec["name"]).kind == "activation":
        spec = {"name": "activate", "f": spec}
    return registry.make("layer", spec)


def chain(*layers: Any) -> Bind:
    """y = f_k(... f_1(x)): a layer made of layers, named by their positions."""
    binds = [layer_of(each) for each in layers]

    def bind(ctx: Context, I: int) -> tuple[Forward, int]:
        forwards: list[Forward] = []
        needs, scratch, lowest = ctx.input_needs_grad, ctx.input_is_scratch, 0 if ctx.input_needs_grad else len(binds)
        for k, each in enumerate(binds):
            child = ctx.child(str(k), input_needs_grad=needs, input_is_scratch=scratch)
            forward, I = each(child, I)
            owned = (p for p, (*_, train) in ctx._shared.params.items() if train and p.startswith(child.path + "/"))
            if any(owned) and not needs:  # below the first trained layer nobody wants a gradient
                needs, lowest = True, k
            scratch = child.output_is_scratch
            forwards.append(forward)
        ctx.output_is_scratch = scratch
        backs: list[Backward] = [lambda dy: dy] * len(forwards)

        def backward(dy: Array) -> Array:
            for k in range(len(backs) - 1, lowest - 1, -1):
                dy = backs[k](dy)
            return dy

        def run(x: Array, train: bool) -> tuple[Array, Backward]:
            for k, forward in enumerate(forwards):
                x, backs[k] = forward(x, train)
            return x, backward

        return run, I

    return bind


Step = Callable[[Array, Array, float], Array]  # x, t, fraction of the planned steps that are done -> mean loss


@dataclass
class Network:
    """A built network: step(x, t, fraction) -> mean loss (...,) over the rows of x; evaluate(x) -> logits; loss and
    predict bound for evaluation."""

    arena: Arena
    rule_state: dict[str, Any]
    layer_state: dict[str, Array]
    frozen: dict[str, Array]
    step: Step
    last_step: Step | None  # the same for the last batch of an epoch, where it has fewer rows
    evaluate: Callable[[Array], Array]
    losses: Callable[[Array, Array], Array]  # logits, targets -> per example (..., B)
    predict: Callable[[Array], Array]  # logits -> predictions, in place
    theta: Callable[[], Array] | None  # the rule's parameters for evaluation where they differ from arena.value
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
    """Specs -> a network over one arena. `lead` is () or (P,), with one seed per member. last_batch: the rows of the
    last batch of an epoch where those are fewer than `batch`, else 0."""
    top, plan = chain(*layers), _Shared(ops, np.dtype(dtype), lead, batch, None, {}, {}, {}, {})
    outputs = top(Context(plan), features)[1]
    params, frozen, fills = plan.params, plan.frozen, plan.fills
    slices: dict[str, tuple[slice, tuple[int, ...]]] = {}
    at = decayed = 0
    for path in sorted((p for p in params if params[p][3]), key=lambda p: not params[p][2]):  # decayed first
        shape, _, decay, _ = params[path]
        slices[path] = (slice(at, at + prod(shape)), shape)
        at += prod(shape)
        decayed = at if decay else decayed
    frozen.update(
        {p: ops.zeros((*lead, *shape), plan.dtype) for p, (shape, _, _, train) in params.items() if not train}
    )
    value, grad = ops.zeros((*lead, at), plan.dtype), ops.zeros((*lead, at), plan.dtype)
    arena = Arena(value, grad, decayed, slices, ops.xp, Context(plan, "rule").random)
    eval_ctx, bound = Context(plan._replace(arena=arena, batch=eval_batch)), registry.make("loss", loss)
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
        forward, scale = debug.gradients(top(ctx, features)[0], arena), plan.dtype.type(1.0 / rows)
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
            rngs = [np.random.Generator(np.random.Philox(stream(seed, "init/" + path))) for seed in seeds]
            drawn = np.reshape([draw(rng, shape, fan_in, fan_out) for rng in rngs], (*lead, *shape))
            (arena.view(value, path) if train else frozen[path])[...] = ops.asarray(drawn, plan.dtype)

    return Network(
        arena, state, plan.states, frozen, step_over(batch), step_over(last_batch) if last_batch else None,
        lambda x: evaluate(x, False)[0], lambda y, t: eval_loss(y, t)[0], predict,
        (lambda: made.evaluate(arena, state)) if made.evaluate else None, rekey, initialize, outputs,
    )  # fmt: skip
