"""What a layer sees when it is bound, and how layers become one."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from harness import registry
from harness.engine.arena import Arena, Param
from harness.engine.contracts import Backward, Bind, Forward
from harness.errors import UsageError
from harness.ops import Array, debug


class Shared(NamedTuple):
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
    # A binding for the last batch of an epoch, which has fewer rows than the others
    short: bool = False
    train: bool = True  # False below a frozen layer


class Context:
    """What a layer sees when it is bound: a place to ask for parameters, buffers, state, scalars
    and randomness.
    """

    def __init__(
        self,
        shared: Shared,
        path: str = "",
        input_needs_grad: bool = False,
        input_is_scratch: bool = False,
    ):
        self._shared, self.path = shared, path
        self.ops, self.xp, self.dtype = shared.ops, shared.ops.xp, shared.dtype
        self.batch, self.lead, self.short = shared.batch, shared.lead, shared.short
        self.input_needs_grad = input_needs_grad
        # True: whoever made x does not read it again, so that this layer's backward may use it as
        # scratch
        self.input_is_scratch = input_is_scratch
        # A layer sets this when its own backward does not read the y that its forward returned
        self.output_is_scratch = False

    def _join(self, name: str) -> str:
        return f"{self.path}/{name}" if self.path else name

    def child(self, name: str, train: bool = True, **flags: bool) -> "Context":
        """The context of a layer within this one. With train=False no parameter of that layer is
        trained.
        """
        shared = self._shared._replace(train=self._shared.train and train)
        return Context(shared, self._join(name), **{"input_needs_grad": True, **flags})

    def param(
        self, name: str, shape: tuple[int, ...], init: Any, decay: bool = True, train: bool = True
    ) -> Param:
        """A parameter (..., *shape) and where its gradient goes. fan in and out are the last two
        axes.
        """
        path, s = self._join(name), self._shared
        if s.arena is None:
            if path in s.params:
                raise UsageError(
                    f"parameter names within a layer must differ, {path!r} came twice; rename one"
                )
            s.params[path] = (shape, init, decay, train and s.train)
            return Param(*(self.ops.empty((*s.lead, *shape), s.dtype) for _ in range(2)))
        if path in s.frozen:
            return Param(
                debug.read_only(s.frozen[path]), self.ops.empty((*s.lead, *shape), s.dtype)
            )
        return Param(
            debug.read_only(s.arena.view(s.arena.value, path)),
            debug.watch(s.arena.view(s.arena.grad, path)),
        )

    def empty(self, features: int, dtype: Any = None) -> Array:
        """A buffer (..., B, features) that belongs to the caller."""
        return debug.watch(
            debug.dead(self.ops.empty((*self.lead, self.batch, features), dtype or self.dtype))
        )

    def state(self, name: str, shape: tuple[int, ...], init: float = 0.0) -> Array:
        """Named state (..., *shape), part of every checkpoint, one array for training and
        evaluation.
        """
        fresh = self.xp.full((*self.lead, *shape), init, self.dtype)
        return debug.watch(self._shared.states.setdefault(self._join(name), fresh))

    def scalar(self, value: Any) -> Array:
        """A hyperparameter, one number or one per member -> (..., 1, 1)."""
        values = np.asarray(value, self.dtype)
        rows = np.broadcast_to(
            values.reshape(-1, 1, 1) if self.lead else values, (*self.lead, 1, 1)
        )
        return debug.watch(self.ops.asarray(rows))

    def random(self, purpose: str) -> Callable[[Array], None]:
        """fill(out): out <- U[0, 1), each member from its own stream (seed, purpose, epoch)."""
        generators, uniform = (
            self._shared.fills.setdefault(self._join(purpose), []),
            self.ops.uniform,
        )
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
        needs, scratch, lowest = (
            ctx.input_needs_grad,
            ctx.input_is_scratch,
            0 if ctx.input_needs_grad else len(binds),
        )
        for k, each in enumerate(binds):
            child = ctx.child(str(k), input_needs_grad=needs, input_is_scratch=scratch)
            forward, I = each(child, I)
            owned = (
                p
                for p, (*_, train) in ctx._shared.params.items()
                if train and p.startswith(child.path + "/")
            )
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
