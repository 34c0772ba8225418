"""The decorators that register a factory under a name.

Each can be written with and without parentheses: @layer, @layer() and @layer("name"). Registering
a name again replaces it where the same file does so, since a cell of a notebook is run again.
"""

import inspect
import keyword
import os
import unicodedata
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, Literal, ParamSpec, Protocol, TypeVar, overload

from harness.errors import UsageError
from harness.registry import factories, known
from harness.registry.known import Entry
from harness.registry.products import Activation, build
from harness.registry.specs import bind

P = ParamSpec("P")
Product = TypeVar("Product")


class Keeps(Protocol):
    """A decorator that keeps the signature of a factory."""

    def __call__(self, factory: Callable[P, Product], /) -> Callable[P, Product]:
        """Registers the factory; returns a function that is called like it."""


class MakesInplace(Protocol):
    """A decorator for factories of in-place pairs."""

    def __call__(self, factory: Callable[P, Any], /) -> Callable[P, Activation]:
        """Registers the factory; returns one of activations with the same signature."""


class MakesActivation(Protocol):
    """A decorator that makes a factory of activations.

    What it decorates is a factory itself, or an expression f(z, ...), whose z the factory lacks.
    A type checker tells them apart by what they are annotated to return.
    """

    @overload
    def __call__(
        self, factory: Callable[P, tuple[Callable[..., Any], Callable[..., Any]]], /
    ) -> Callable[P, Activation]: ...
    @overload
    def __call__(
        self, factory: Callable[Concatenate[Any, P], Any], /
    ) -> Callable[P, Activation]: ...


# The decorators -----------------------------------------------------------------------------------


@overload
def activation(name: str | None = None, *, inplace: Literal[True]) -> MakesInplace: ...
@overload
def activation(name: str | None = None, *, inplace: Literal[False] = False) -> MakesActivation: ...
@overload
def activation(name: Callable[Concatenate[Any, P], Any]) -> Callable[P, Activation]: ...
def activation(name: Any = None, *, inplace: bool = False) -> Any:
    """Registers an activation: an expression f(z, ...), f(z, deriv=False), or a factory of a pair.

    Parameters
    ----------
    name
        The name; that of the function by default.
    inplace
        Whether the factory returns (value, pullback), which write into the arrays that they are
        given. Otherwise it returns (f, slope).
    """
    return _register("activation", name, {"inplace": inplace})


@overload
def layer(name: str | None = None) -> Keeps: ...
@overload
def layer(name: Callable[P, Product]) -> Callable[P, Product]: ...
def layer(name: Any = None) -> Any:
    """Registers a layer: a factory that returns bind(ctx, I) -> (forward, O).

    forward(x, train) returns y (..., B, O) and backward(dy), which returns dx (..., B, I).

    Parameters
    ----------
    name
        The name; that of the factory by default, which is then decorated without parentheses or
        with empty ones.
    """
    return _register("layer", name, {})


@overload
def update_rule(name: str | None = None) -> Keeps: ...
@overload
def update_rule(name: Callable[P, Product]) -> Callable[P, Product]: ...
def update_rule(name: Any = None) -> Any:
    """Registers an update rule: a factory that returns Rule(init, update).

    update(u, arena, state) turns the gradient u (..., n) into the update, in place.

    Parameters
    ----------
    name
        The name; that of the factory by default, which is then decorated without parentheses or
        with empty ones.
    """
    return _register("update_rule", name, {})


@overload
def loss(name: str | None = None) -> Keeps: ...
@overload
def loss(name: Callable[P, Product]) -> Callable[P, Product]: ...
def loss(name: Any = None) -> Any:
    """Registers a loss: a factory that returns bind(ctx, O) -> (forward, predict).

    forward(y, t) returns the loss (..., B) of each row and a function that returns dy (..., B, O),
    the gradient of the mean loss; predict(y) turns outputs into predictions, in place.

    Parameters
    ----------
    name
        The name; that of the factory by default, which is then decorated without parentheses or
        with empty ones.
    """
    return _register("loss", name, {})


@overload
def initializer(
    name: str | None = None, *, retired: dict[str, Callable[[Any], str]] | None = None
) -> Keeps: ...
@overload
def initializer(name: Callable[P, Product]) -> Callable[P, Product]: ...
def initializer(name: Any = None, *, retired: dict[str, Callable[[Any], str]] | None = None) -> Any:
    """Registers an initializer: a factory of draw(rng, shape, fan_in, fan_out) -> float64 array.

    Parameters
    ----------
    name : str
        The name; that of the factory unless it is given.
    retired : dict of callables
        For each argument that the factory once had, from its value to the sentence of the error.
    """
    return _register("initializer", name, {"retired": retired or {}})


@overload
def schedule(name: str | None = None) -> Keeps: ...
@overload
def schedule(name: Callable[P, Product]) -> Callable[P, Product]: ...
def schedule(name: Any = None) -> Any:
    """Registers a schedule: a factory that returns at(fraction of the planned steps) -> number.

    The fraction is 0 before the first step, and below 1 before the last one.

    Parameters
    ----------
    name
        The name; that of the factory by default, which is then decorated without parentheses or
        with empty ones.
    """
    return _register("schedule", name, {})


@overload
def metric(
    name: str | None = None, *, direction: str = "maximize", task: str = "classification"
) -> Keeps: ...
@overload
def metric(name: Callable[P, Product]) -> Callable[P, Product]: ...
def metric(name: Any = None, *, direction: str = "maximize", task: str = "classification") -> Any:
    """Registers a metric: a factory that returns score(predictions, y) -> (...,).

    Parameters
    ----------
    name
        The name; that of the function by default.
    direction
        "maximize" or "minimize": which scores are better.
    task
        "classification" or "regression": what the metric is for.

    Raises
    ------
    UsageError
        For another direction or task.
    """
    _one_of("direction", direction, ("maximize", "minimize"))
    _one_of("task", task, ("classification", "regression"))
    return _register("metric", name, {"direction": direction, "task": task})


@overload
def recorder(name: str | None = None) -> Keeps: ...
@overload
def recorder(name: Callable[P, Product]) -> Callable[P, Product]: ...
def recorder(name: Any = None) -> Any:
    """Registers a recorder: a factory of record(trained) -> Report(metrics, artifacts).

    It is called once after training, outside the clock that measures it.

    Parameters
    ----------
    name
        The name; that of the factory by default, which is then decorated without parentheses or
        with empty ones.
    """
    return _register("recorder", name, {})


@overload
def dataset(name: str | None = None) -> Keeps: ...
@overload
def dataset(name: Callable[P, Product]) -> Callable[P, Product]: ...
def dataset(name: Any = None) -> Any:
    """Registers a data set: a factory that returns a Dataset.

    It is called when the data are first needed, and its arguments are part of the spec.

    Parameters
    ----------
    name
        The name; that of the factory by default, which is then decorated without parentheses or
        with empty ones.
    """
    return _register("dataset", name, {})


def _one_of(key: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UsageError(
            f"a metric's {key} must be {' or '.join(map(repr, allowed))}, got {value!r}; write "
            f"one of them"
        )


# Registering --------------------------------------------------------------------------------------


def _register(kind: str, name: Any, options: dict[str, Any]) -> Any:
    """A decorator for factories of a kind, or what it makes of the factory in place of a name."""
    if callable(name):  # the decorator was written without parentheses
        return _registered(kind, None, name, options)

    def decorate(factory: Callable[..., Any]) -> Callable[..., Any]:
        return _registered(kind, name, factory, options)

    return decorate


def _registered(kind: str, name: Any, factory: Any, options: dict[str, Any]) -> Callable[..., Any]:
    """Registers a factory; returns what the decorated name stands for from then on."""
    entry = _entry(kind, name, factory, options)
    if not entry.module.startswith("harness."):
        # A name that comes with the harness is taken, also where nobody has looked one up yet.
        known.load_builtin()
    refuse_taken(entry)
    known.registered[kind, entry.name] = entry
    return _product_factory(entry)


def _entry(kind: str, name: Any, factory: Any, options: dict[str, Any]) -> Entry:
    """What is registered of a factory; UsageError where it or its name cannot be."""
    if not callable(factory):
        raise UsageError(
            f"{kind}: what is registered must be a function, got a {type(factory).__name__}"
        )
    label = _checked_name(kind, name or factories.name_of(kind, factory))
    parameters = factories.parameters(kind, label, factory)
    if "name" in parameters:  # in a spec that is the name of the factory itself
        raise UsageError(
            f"the {kind} {label!r} must not have a parameter called 'name'; call it something else"
        )
    how = "factory"
    if not options.get("inplace"):
        how = spelling(kind, parameters)
    if how != "factory":
        del parameters[next(iter(parameters))]  # z
        parameters.pop("deriv", None)
    registrar, module = factories.caller()
    return Entry(
        kind=kind,
        name=label,
        factory=factory,
        parameters=parameters,
        origin=factories.source_file(factory) or registrar,
        options={**options, "spelling": how},
        registrar=registrar,
        module=module,
    )


def _checked_name(kind: str, name: Any) -> str:
    """A name as specs have it, or UsageError."""
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
        raise UsageError(
            f"{kind}: a name must be a Python identifier, got {name!r}; choose "
            f"letters, digits and _"
        )
    # Python normalizes identifiers in this way, and so does whoever reads a spec.
    return unicodedata.normalize("NFKC", name)


def _product_factory(entry: Entry) -> Callable[..., Any]:
    """What a decorated function becomes: called with hyperparameters, it returns a product."""

    # The attributes of an object that can be called are not copied.
    @wraps(entry.factory, updated=())
    def call(*args: Any, **kwargs: Any) -> Any:
        return build(entry, bind(entry, args, kwargs))

    signature = inspect.Signature(list(entry.parameters.values()))
    call.__signature__ = signature  # type: ignore[attr-defined]
    return call


def spelling(kind: str, parameters: dict[str, inspect.Parameter]) -> str:
    """How an activation is written.

    Parameters
    ----------
    kind
        The kind of plugin; only activations can be written in several ways.
    parameters
        The arguments of the function.

    Returns
    -------
    "expression" for f(z), "deriv" for the article's f(z, deriv=False), "factory" for a factory.
    """
    if kind != "activation" or not parameters:
        return "factory"
    first = next(iter(parameters.values()))
    positional = first.kind in (first.POSITIONAL_ONLY, first.POSITIONAL_OR_KEYWORD)
    if first.default is not first.empty or not positional:
        return "factory"
    if "deriv" in parameters:
        return "deriv"
    return "expression"


# Whose a name is ----------------------------------------------------------------------------------


def refuse_taken(entry: Entry) -> None:
    """Raises UsageError where the entry's name belongs to somebody else.

    The same thing may be registered again, perhaps changed.
    """
    for kind in known.rivals(entry.kind):
        other = known.registered.get((kind, entry.name))
        if other is None:
            continue
        if kind != entry.kind or not _same_origin(entry, other):
            raise UsageError(
                f"the {entry.kind} name {entry.name!r} from {entry.origin} is taken by the {kind} "
                f"from "
                f"{other.origin}; register yours under another name"
            )
        if _two_of_one_file(other.factory, entry.factory):
            raise UsageError(
                f"the {entry.kind} name {entry.name!r} is given twice in {entry.origin}, to "
                f"{other.factory.__name__} and to {entry.factory.__name__}; register one of "
                f"them under another name"
            )


def _same_origin(entry: Entry, other: Entry) -> bool:
    """Whether both were written in one file, or both in the main module."""
    # A notebook gives every cell a file name of its own, and cells are run again.
    if "__main__" == entry.module == other.module:
        return True
    return os.path.realpath(other.origin) == os.path.realpath(entry.origin)


def _two_of_one_file(one: Callable[..., Any], other: Callable[..., Any]) -> bool:
    """Whether two functions stand side by side in one file.

    Two versions of one function do not, where its module was loaded again.
    """
    first = factories.qualified(one)
    second = factories.qualified(other)
    if first is None or second is None:
        return False
    if first.module != second.module or first.name == second.name:
        return False
    file = factories.source_file(other)
    # What was typed at a prompt lies in no file.
    return file is not None and os.path.isfile(file) and file == factories.source_file(one)
