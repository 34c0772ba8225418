"""The decorators that register a factory under a name."""

import inspect
import keyword
import os
import unicodedata
from collections.abc import Callable
from functools import wraps
from typing import Any

from harness.errors import UsageError
from harness.registry import factories, known
from harness.registry.known import Entry
from harness.registry.products import build
from harness.registry.specs import bind


def _register(kind: str, name: Any, options: dict[str, Any]) -> Callable[..., Any]:
    if callable(name):  # the decorator was written without parentheses
        return _register(kind, None, options)(name)

    def decorate(factory: Callable[..., Any]) -> Callable[..., Any]:
        if not callable(factory):
            raise UsageError(
                f"{kind}: what is registered must be a function, got a {type(factory).__name__}"
            )
        label = name or factories.name_of(kind, factory)
        if not isinstance(label, str) or not label.isidentifier() or keyword.iskeyword(label):
            raise UsageError(
                f"{kind}: a name must be a Python identifier, got {label!r}; choose "
                f"letters, digits and _"
            )
        # As Python does with names, and so does a spec
        label = unicodedata.normalize("NFKC", label)
        parameters = factories.parameters(kind, label, factory)
        if "name" in parameters:  # in a spec that is the name of the factory itself
            raise UsageError(
                f"the {kind} {label!r} must not have a parameter called 'name'; call "
                f"it something else"
            )
        shape = "factory" if options.get("inplace") else _spelling(kind, parameters)
        if shape == "expression":
            parameters.pop(next(iter(parameters)))
        elif shape == "deriv":
            parameters = {
                k: p for i, (k, p) in enumerate(parameters.items()) if i > 0 and k != "deriv"
            }
        registrar, module = factories.caller()
        origin = factories.source_file(factory) or registrar
        said = {**options, "spelling": shape}
        entry = Entry(kind, label, factory, parameters, origin, said, registrar, module)
        refuse_taken(entry)
        known.registered[kind, label] = entry

        @wraps(factory, updated=())  # not the attributes of an object that can be called
        def call(*args: Any, **kwargs: Any) -> Any:
            return build(entry, bind(entry, args, kwargs))

        call.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
        return call

    return decorate


def refuse_taken(entry: Entry) -> None:
    """UsageError where the name belongs to somebody else; the same thing may be registered again,
    perhaps changed.
    """
    rivals = ("layer", "activation") if entry.kind in ("layer", "activation") else (entry.kind,)
    for rival in rivals:
        other = known.registered.get((rival, entry.name))
        if other is None:
            continue
        # a notebook gives every cell a file name of its own, and cells are run again
        again = "__main__" == entry.module == other.module
        same = again or os.path.realpath(other.origin) == os.path.realpath(entry.origin)
        if same and rival == entry.kind:
            if _two_of_one_file(other.factory, entry.factory):
                raise UsageError(
                    f"the {entry.kind} name {entry.name!r} is given twice in {entry.origin}, to "
                    f"{other.factory.__name__} and to {entry.factory.__name__}; register one of "
                    f"them under another name"
                )
        else:
            raise UsageError(
                f"the {entry.kind} name {entry.name!r} from {entry.origin} is taken by the {rival} "
                f"from "
                f"{other.origin}; register yours under another name"
            )


def _two_of_one_file(one: Callable[..., Any], other: Callable[..., Any]) -> bool:
    """Whether both stand in one file, and are not two versions of one function, of a module that
    was loaded again.
    """
    first = factories.qualified(one)
    second = factories.qualified(other)
    if first is None or second is None or first[0] != second[0] or first[1] == second[1]:
        return False
    file = factories.source_file(other)  # none of what was typed at a prompt
    return file is not None and os.path.isfile(file) and file == factories.source_file(one)


def _spelling(kind: str, parameters: dict[str, inspect.Parameter]) -> str:
    """How an activation is written: an "expression" f(z), the article's "deriv" flag, or a
    "factory" of a pair.
    """
    if kind != "activation" or not parameters:
        return "factory"
    first = next(iter(parameters.values()))
    if first.default is first.empty and first.kind in (
        first.POSITIONAL_ONLY,
        first.POSITIONAL_OR_KEYWORD,
    ):
        return "deriv" if "deriv" in parameters else "expression"
    return "factory"


def activation(name: str | None = None, *, inplace: bool = False) -> Callable[..., Any]:
    """Registers an activation: an expression f(z, ...), f(z, deriv=False), or a factory of a pair
    (see the README).
    """
    return _register("activation", name, {"inplace": inplace})


def layer(name: str | None = None) -> Callable[..., Any]:
    """Registers a layer: a factory that returns bind(ctx, I) -> (forward, O)."""
    return _register("layer", name, {})


def update_rule(name: str | None = None) -> Callable[..., Any]:
    """Registers an update rule: a factory that returns Rule(init, update)."""
    return _register("update_rule", name, {})


def loss(name: str | None = None) -> Callable[..., Any]:
    """Registers a loss: a factory that returns bind(ctx, O) -> (forward, predict)."""
    return _register("loss", name, {})


def initializer(
    name: str | None = None, *, retired: dict[str, Callable[[Any], str]] | None = None
) -> Callable[..., Any]:
    """Registers an initializer: a factory that returns draw(rng, shape, fan_in, fan_out) -> float64
    array.

    retired: for each argument that the factory once had, from its value to the sentence of the
    error.
    """
    return _register("initializer", name, {"retired": retired or {}})


def schedule(name: str | None = None) -> Callable[..., Any]:
    """Registers a schedule: a factory that returns at(fraction of the planned steps) -> number."""
    return _register("schedule", name, {})


def metric(
    name: str | None = None, *, direction: str = "maximize", task: str = "classification"
) -> Callable[..., Any]:
    """Registers a metric: a factory that returns score(predictions, y) -> (...,)."""
    for key, given, allowed in (
        ("direction", direction, ("maximize", "minimize")),
        ("task", task, ("classification", "regression")),
    ):
        if given not in allowed:
            raise UsageError(
                f"a metric's {key} must be {' or '.join(map(repr, allowed))}, got {given!r}; write "
                f"one of them"
            )
    return _register("metric", name, {"direction": direction, "task": task})


def recorder(name: str | None = None) -> Callable[..., Any]:
    """Registers a recorder: a factory that returns record(trained) -> Report(metrics,
    artifacts).
    """
    return _register("recorder", name, {})


def dataset(name: str | None = None) -> Callable[..., Any]:
    """Registers a data set: a factory that returns a Dataset."""
    return _register("dataset", name, {})
