"""From a spec to its product: the factory is called, and what it returns is checked."""

from collections.abc import Callable
from typing import Any, NamedTuple

from harness.boundary import foreign
from harness.errors import UsageError
from harness.ops import guards
from harness.ops.shaped import shaped
from harness.registry.known import Entry, Spec, find
from harness.registry.specs import canonical


class Activation(tuple[Any, Any]):
    """(value, pullback), both in place. Called on an array z it returns f(z).

    Attributes
    ----------
    spec
        The spec that it was made of.
    """

    spec: Spec

    def __new__(cls, value: Callable[..., None], pullback: Callable[..., None]) -> "Activation":
        """Makes the pair; `make` and `activation_pair` call this."""
        return super().__new__(cls, (value, pullback))

    def __call__(self, z: Any) -> Any:
        """f(z) as a new array: of the float type of z, at least float32."""
        import numpy as np

        z = np.asarray(z, dtype=np.result_type(np.float32, np.asarray(z).dtype))
        out = np.empty_like(z)
        self[0](np, z, out)
        return out


# How each spelling of an activation becomes the in-place pair. The room `expressions` fills it, so
# that this module stays below that room.
spellings: dict[str, Callable[[Entry, dict[str, Any]], tuple[Any, Any]]] = {}


class _Form(NamedTuple):
    """What a factory of a kind must return, as far as it can be told before it is used."""

    words: str
    fits: Callable[[Any], bool]


def _is_rule(product: Any) -> bool:
    return hasattr(product, "init") and hasattr(product, "update")


def _is_dataset(product: Any) -> bool:
    # The class is in a room above this one, so it is known by what it has.
    return hasattr(type(product), "digest")


_FORMS = {
    "layer": _Form("a function bind(ctx, I)", callable),
    "update_rule": _Form("Rule(init, update)", _is_rule),
    "loss": _Form("a function bind(ctx, O)", callable),
    "initializer": _Form("a function draw(rng, shape, fan_in, fan_out)", callable),
    "schedule": _Form("a function of the fraction of the planned steps", callable),
    "metric": _Form("a function score(predictions, y)", callable),
    "recorder": _Form("a function record(trained)", callable),
    "dataset": _Form("a Dataset, such as harness.data.from_arrays makes", _is_dataset),
}


def make(kind: str, spec: Any) -> Any:
    """The product of a spec.

    Parameters
    ----------
    kind
        The kind of plugin, such as "layer".
    spec
        A name, a spec as text or as a dict. A product is returned as it is.

    Raises
    ------
    UsageError
        If it is none of these, or a name or an argument is unknown or wrong.
    """
    if isinstance(spec, str | dict):
        spec = canonical(kind, spec)
        return build(find(kind, spec["name"]), spec)
    if hasattr(spec, "spec") or callable(spec):
        return spec
    raise UsageError(
        f"{kind.replace('_', ' ')} must be a name, a spec or a product of its factory, got {spec!r}"
    )


def build(entry: Entry, spec: Spec) -> Any:
    """The product of an entry: what its factory makes of the arguments in a spec."""
    with foreign(f"the {entry.in_words} {entry.name!r}"):
        arguments = {key: value for key, value in spec.items() if key != "name"}
        if entry.kind == "activation":
            product: Any = activation_pair(entry, arguments)
        else:
            product = guards.guard(entry.kind, entry.name, _made(entry, arguments))
            if entry.kind == "layer" and not entry.module.startswith("harness."):
                product = shaped(entry.name, product)
        return _with_spec(entry, product, spec)


def activation_pair(entry: Entry, kwargs: dict[str, Any]) -> Activation:
    """The in-place pair (value, pullback) of an activation, whichever way it is written.

    Parameters
    ----------
    entry
        The activation.
    kwargs
        Its hyperparameters, which may be arrays.
    """
    how = entry.options["spelling"]
    if entry.options.get("inplace"):
        how = "inplace"
    pair = spellings[how](entry, kwargs)
    return Activation(*guards.guard("activation", entry.name, pair))


def _made(entry: Entry, arguments: dict[str, Any]) -> Any:
    """What the factory returns for these arguments, if it has the form of its kind."""
    positional: list[Any] = []
    rest = entry.rest
    if rest is not None:
        # Python takes the arguments before *rest by position only where *rest has values.
        for key, parameter in entry.parameters.items():
            if parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
                positional.append(arguments.pop(key, parameter.default))
        positional += arguments.pop(rest, ())
    made = entry.factory(*positional, **arguments)
    form = _FORMS[entry.kind]
    if not form.fits(made):
        raise UsageError(
            f"the {entry.in_words} {entry.name!r} must return {form.words}, got "
            f"{type(made).__name__}; "
            f"see {entry.origin}"
        )
    return made


def _with_spec(entry: Entry, product: Any, spec: Spec) -> Any:
    """The product, which knows the spec that it was made of."""
    try:
        # Products may be frozen dataclasses, which refuse a plain assignment.
        object.__setattr__(product, "spec", spec)
    except (AttributeError, TypeError):
        raise UsageError(
            f"the {entry.kind} {entry.name!r} must return a function or a product that can carry "
            f"its spec, got "
            f"{type(product).__name__}"
        ) from None
    return product
