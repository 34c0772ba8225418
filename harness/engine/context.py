"""What a layer sees when it is bound: its context."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from harness import checks
from harness.engine.arena import Arena, Param, ParamSpec
from harness.errors import UsageError
from harness.ops import Array, debug


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What all contexts of one binding share; the four dicts are one for all bindings of a network.

    Attributes
    ----------
    ops
        The operations of the device.
    dtype
        Of parameters and buffers.
    lead
        () for one network, (P,) for a population.
    batch
        The rows of a batch.
    arena
        None while the layers are planned, which is when they say what parameters they need.
    short
        Whether this is for the last batch of an epoch, which has fewer rows than the others.
    train
        False below a layer that is frozen.
    params
        What the layers have asked for, by path.
    frozen
        The parameters that are not trained, by path.
    states
        The named state of the layers, by path.
    generators
        The random generators of each purpose, one for each member.
    """

    ops: Any
    dtype: np.dtype
    lead: tuple[int, ...]
    batch: int
    arena: Arena | None = None
    short: bool = False
    train: bool = True
    params: dict[str, ParamSpec] = field(default_factory=dict)
    frozen: dict[str, Array] = field(default_factory=dict)
    states: dict[str, Array] = field(default_factory=dict)
    generators: dict[str, list[Any]] = field(default_factory=dict)


class Context:
    """A place where a layer asks for parameters, buffers, state, scalars and randomness.

    Attributes
    ----------
    path
        The layer's name in the network, such as "2/body/0".
    ops, xp
        The operations of the device, and its array module.
    dtype, lead, batch, short
        As in `Shared`.
    input_needs_grad
        Whether anybody wants dx.
    input_is_scratch
        Whether backward may use x as scratch, since whoever made x does not read it again.
    output_is_scratch
        A layer sets it where its own backward does not read the y that its forward returned.
    """

    def __init__(
        self,
        shared: Shared,
        path: str = "",
        input_needs_grad: bool = False,
        input_is_scratch: bool = False,
    ):
        self._shared = shared
        self.path = path
        self.ops = shared.ops
        self.xp = shared.ops.xp
        self.dtype = shared.dtype
        self.batch = shared.batch
        self.lead = shared.lead
        self.short = shared.short
        self.input_needs_grad = input_needs_grad
        self.input_is_scratch = input_is_scratch
        self.output_is_scratch = False

    def _join(self, name: str) -> str:
        return f"{self.path}/{name}" if self.path else name

    def child(
        self,
        name: str,
        train: bool = True,
        input_needs_grad: bool = True,
        input_is_scratch: bool = False,
    ) -> "Context":
        """Return the context of a layer within this one.

        Parameters
        ----------
        name
            What the inner layer is called in the paths of its parameters.
        train
            False where no parameter of the inner layer is trained.
        input_needs_grad
            Whether somebody reads the dx that the inner layer returns.
        input_is_scratch
            Whether the inner layer may overwrite its x in backward.
        """
        shared = self._shared if train else replace(self._shared, train=False)
        return Context(shared, self._join(name), input_needs_grad, input_is_scratch)

    @property
    def is_trained(self) -> bool:
        """Whether the layer, or one within it, has asked for a parameter that is trained."""
        trained = (path for path, param in self._shared.params.items() if param.train)
        return any(path.startswith(f"{self.path}/") for path in trained)

    def param(
        self, name: str, shape: tuple[int, ...], init: Any, decay: bool = True, train: bool = True
    ) -> Param:
        """Return a parameter (..., *shape) and the place of its gradient.

        Parameters
        ----------
        name
            Of which a layer has each but once.
        shape
            The last two axes are fan in and fan out.
        init
            An initializer's spec.
        decay
            Whether weight decay applies to it.
        train
            False for a parameter that stays as it is.

        Raises
        ------
        UsageError
            If the layer has a parameter of that name.
        """
        path = self._join(name)
        shared = self._shared
        arena = shared.arena
        # While the layers are planned, a parameter is but a buffer of the right shape.
        if arena is not None and path not in shared.frozen:
            grad = debug.watch(arena.view(arena.grad, path))
            return Param(debug.read_only(arena.view(arena.value, path)), grad)
        # The gradient of a frozen parameter is written like any other, and nobody reads it.
        unread = self.ops.empty((*shared.lead, *shape), shared.dtype)
        if arena is not None:
            return Param(debug.read_only(shared.frozen[path]), unread)
        if path in shared.params:
            raise UsageError(
                f"parameter names within a layer must differ, {path!r} came twice; rename one"
            )
        shared.params[path] = ParamSpec(shape, init, decay, train and shared.train)
        return Param(self.ops.empty((*shared.lead, *shape), shared.dtype), unread)

    def empty(self, features: int, dtype: Any = None) -> Array:
        """Return a buffer (..., B, features) that belongs to the caller.

        Parameters
        ----------
        features
            The size of its last axis.
        dtype
            That of the parameters by default.
        """
        buffer = self.ops.empty((*self.lead, self.batch, features), dtype or self.dtype)
        return debug.watch(debug.dead(buffer))

    def state(self, name: str, shape: tuple[int, ...], init: float = 0.0) -> Array:
        """Return named state (..., *shape), one array for training and evaluation.

        It is part of every checkpoint.

        Parameters
        ----------
        name
            Of which a layer has each but once.
        shape
            Without the axis of a population.
        init
            What it is filled with before training.
        """
        # The plan makes it, and the bindings after that find it.
        fresh = self.xp.full((*self.lead, *shape), init, self.dtype)
        return debug.watch(self._shared.states.setdefault(self._join(name), fresh))

    def scalar(self, value: Any) -> Array:
        """Return a hyperparameter (..., 1, 1), from one number or one for each member.

        Parameters
        ----------
        value
            What the factory was given for an argument that it declares as `Scalar`.
        """
        # It is an array of the dtype, since a 0-d float64 array would promote float32.
        values = np.asarray(value, self.dtype)
        checks.one_or_each(value, values.size, self.lead)
        if self.lead:
            values = values.reshape(-1, 1, 1)
        return debug.watch(self.ops.asarray(np.broadcast_to(values, (*self.lead, 1, 1))))

    def random(self, purpose: str) -> Callable[[Array], None]:
        """Return fill(out): out <- U[0, 1), each member from its stream (seed, purpose, epoch).

        Parameters
        ----------
        purpose
            What the numbers are for; other purposes and other layers have other streams.
        """
        # The list stays empty until an epoch begins and fills it with its streams.
        generators = self._shared.generators.setdefault(self._join(purpose), [])
        return partial(self.ops.uniform, generators)
