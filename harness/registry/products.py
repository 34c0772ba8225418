"""From a spec to its product: the factory is called, and what it returns is checked."""

from collections.abc import Callable
from typing import Any

from harness.boundary import foreign
from harness.errors import UsageError
from harness.ops import guards
from harness.registry.known import Entry, Spec, find
from harness.registry.specs import canonical


def make(kind: str, spec: Any) -> Any:
    """The product of a spec. A product is returned as it is."""
    if not isinstance(spec, str | dict):
        if hasattr(spec, "spec") or callable(spec):
            return spec
        raise UsageError(
            f"{kind.replace('_', ' ')} must be a name, a spec or a product of its "
            f"factory, got {spec!r}"
        )
    spec = canonical(kind, spec)
    return build(find(kind, spec["name"]), spec)


class Activation(tuple):
    """(value, pullback), both in place, with the spec. Called on an array it gives f(z)."""

    spec: Spec

    def __new__(cls, value: Callable[..., None], pullback: Callable[..., None]) -> "Activation":
        return super().__new__(cls, (value, pullback))

    def __call__(self, z: Any) -> Any:
        import numpy as np

        z = np.asarray(z, dtype=np.result_type(np.float32, np.asarray(z).dtype))
        out = np.empty_like(z)
        self[0](np, z, out)
        return out


# How the spellings of an activation become the in-place pair; tracing.py sets it, so that this
# module stays below it.
spellings: dict[str, Callable[[Entry, dict[str, Any]], tuple[Any, Any]]] = {}


def activation_pair(entry: Entry, kwargs: dict[str, Any]) -> Activation:
    """The in-place pair (value, pullback) of an activation, whichever way it is written. kwargs may
    hold arrays.
    """
    how = "inplace" if entry.options.get("inplace") else entry.options["spelling"]
    return Activation(*guards.guard("activation", entry.name, spellings[how](entry, kwargs)))


# What a factory of each kind returns, in words and as far as it can be told before it is used
_PRODUCTS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "layer": ("a function bind(ctx, I)", callable),
    "update_rule": (
        "Rule(init, update)",
        lambda made: hasattr(made, "init") and hasattr(made, "update"),
    ),
    "loss": ("a function bind(ctx, O)", callable),
    "initializer": ("a function draw(rng, shape, fan_in, fan_out)", callable),
    "schedule": ("a function of the fraction of the planned steps", callable),
    "metric": ("a function score(predictions, y)", callable),
    "recorder": ("a function record(trained)", callable),
    "dataset": (
        "a Dataset, such as harness.data.from_arrays makes",
        lambda made: hasattr(type(made), "digest"),
    ),
}


def build(entry: Entry, spec: Spec) -> Any:
    """The product of an entry: what its factory makes of a spec's arguments."""
    with foreign(f"the {entry.kind.replace('_', ' ')} {entry.name!r}"):
        return _made(entry, spec)


def _made(entry: Entry, spec: Spec) -> Any:
    args = {k: v for k, v in spec.items() if k != "name"}
    if entry.kind == "activation":
        product = activation_pair(entry, args)
    else:
        rest = next((k for k, p in entry.parameters.items() if p.kind is p.VAR_POSITIONAL), None)
        named = [
            k for k, p in entry.parameters.items() if rest and p.kind is p.POSITIONAL_OR_KEYWORD
        ]
        before = [args.pop(k, entry.parameters[k].default) for k in named]
        made = entry.factory(*before, *(args.pop(rest, ()) if rest else ()), **args)
        form, fits = _PRODUCTS[entry.kind]
        if not fits(made):
            raise UsageError(
                f"the {entry.kind.replace('_', ' ')} {entry.name!r} must return {form}, got "
                f"{type(made).__name__}; "
                f"see {entry.origin}"
            )
        product = guards.guard(entry.kind, entry.name, made)
    try:
        object.__setattr__(product, "spec", spec)
    except (AttributeError, TypeError):
        raise UsageError(
            f"the {entry.kind} {entry.name!r} must return a function or a product that can carry "
            f"its spec, got "
            f"{type(product).__name__}"
        ) from None
    return product
