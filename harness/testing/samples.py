"""The arguments that a plugin is checked with."""

from inspect import Parameter
from typing import Any

from harness import registry
from harness.errors import UsageError
from harness.registry.known import Entry, Spec
from harness.testing.measures import UNITS, I, P

# The kinds of which every built-in name can be checked in a moment. Data sets, some of which read
# a file, and recorders can be checked too.
KINDS = ("activation", "layer", "update_rule", "loss", "initializer", "schedule", "metric")

# Layers that change the number of features, and that keep it.
_SIZES: list[Spec] = [{"name": "dense", "units": units} for units in (UNITS, I)]

# Examples of an argument, by its role or its annotation.
_EXAMPLES: dict[Any, Any] = {
    "scalar": 0.5,
    "layer": _SIZES[0],
    "activation": "tanh",
    "update_rule": "sgd",
    "initializer": "he",
    "int": UNITS,
    "float": 0.5,
    "bool": False,
}

# Examples of all arguments of a *rest together, by their role.
_EXAMPLES_OF_REST: dict[str | None, list[Any]] = {
    "layer": [[size, "tanh"] for size in _SIZES],
    "update_rule": [["clip_norm", "sgd"]],
}


def examples(entry: Entry, given: dict[str, Any]) -> list[Spec]:
    """The specs to check a name with.

    Parameters
    ----------
    entry
        What is registered under the name.
    given
        Arguments that are taken as they are.

    Returns
    -------
    list of spec
        The arguments given, and an example of each other one that has no default. More than one
        spec where one example would not show all that a plugin can do.

    Raises
    ------
    UsageError
        If there is no example of an argument.
    """
    specs: list[Spec] = [{"name": entry.name, **given}]
    for key, parameter in entry.parameters.items():
        if key in given or not _is_needed(parameter):
            continue
        values = _examples_of(entry, key)
        specs = [{**spec, key: value} for spec in specs for value in values]
    return [registry.canonical(entry.kind, spec) for spec in specs]


def _is_needed(parameter: Parameter) -> bool:
    """Whether a plugin cannot be made, or does nothing, without this argument."""
    if parameter.kind is Parameter.VAR_POSITIONAL:
        return True
    return parameter.default is Parameter.empty and parameter.kind is not Parameter.VAR_KEYWORD


def _examples_of(entry: Entry, key: str) -> list[Any]:
    """Values for one argument, or for all arguments of a *rest."""
    role = entry.role(key)
    parameter = entry.parameters[key]
    is_rest = parameter.kind is Parameter.VAR_POSITIONAL
    if is_rest and role in _EXAMPLES_OF_REST:
        return _EXAMPLES_OF_REST[role]
    declared = role or getattr(parameter.annotation, "__name__", parameter.annotation)
    if declared not in _EXAMPLES:
        raise UsageError(
            f"the suite has no example for argument {key!r} of {entry.kind} {entry.signature}; "
            f"annotate it (int, float, Scalar, LayerSpec, ...), give it a default, or check "
            f"{entry.name}({key}=...)"
        )
    example = _EXAMPLES[declared]
    return [[example]] if is_rest else [example]


def members_of(kind: str, spec: Spec) -> list[Spec]:
    """The spec once for each of P members.

    Their scalars differ, unless the factory refuses other ones than those of the spec.
    """
    try:
        members = [_scaled(kind, spec, 1.0 - 0.1 * p) for p in range(P)]
        for member in members:
            registry.make(kind, member)
    except UsageError:
        return [spec] * P
    return members


def _scaled(kind: str, spec: Spec, factor: float) -> Spec:
    """The spec with all its scalars times a factor, those of nested specs too."""
    entry = registry.find(kind, spec["name"])
    changed = dict(spec)
    for key, value in registry.arguments(entry, spec).items():
        role = entry.role(key)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if role == "scalar" and is_number:
            changed[key] = value * factor
        elif role not in (None, "scalar"):
            changed[key] = _scaled_within(str(role), value, factor)
    return registry.canonical(kind, changed)


def _scaled_within(role: str, value: Any, factor: float) -> Any:
    """The same for an argument that is a spec, or a list of specs; names stay as they are."""
    if isinstance(value, list):
        return [_scaled_within(role, inner, factor) for inner in value]
    return _scaled(role, value, factor) if isinstance(value, dict) else value
