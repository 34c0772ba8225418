"""The shape of a spec: what the members of a population share.

Members may differ in the arguments that a factory declares as Scalar, and in nothing else.
"""

from typing import Any

from harness.registry.known import Spec, find
from harness.registry.specs import arguments


def shape(kind: str, spec: Spec) -> Spec:
    """A spec in normal form without its scalars.

    Parameters
    ----------
    kind
        The kind of plugin.
    spec
        The spec; the scalars of specs within it are left out too.
    """
    entry = find(kind, spec["name"])
    kept: Spec = {}
    for key, value in spec.items():
        if key == "name":
            kept[key] = value
            continue
        role = entry.role(key)
        if role != "scalar":
            kept[key] = _shape_of(role, value)
    return kept


def _shape_of(role: str | None, value: Any) -> Any:
    if isinstance(value, list):
        return [_shape_of(role, element) for element in value]
    if role and isinstance(value, dict):
        return shape(role, value)
    return value


def merge(kind: str, specs: list[Spec]) -> Spec:
    """One spec of several.

    Parameters
    ----------
    kind
        The kind of plugin.
    specs
        Specs of one shape, in normal form.

    Returns
    -------
    A spec whose scalars are lists with one value for each spec.
    """
    first = specs[0]
    entry = find(kind, first["name"])
    merged: Spec = {"name": entry.name}
    for key in entry.parameters:
        role = entry.role(key)
        if role == "scalar":
            # One that only some specs give has its default in the others.
            if any(key in spec for spec in specs):
                merged[key] = [arguments(entry, spec)[key] for spec in specs]
        elif key in first:
            merged[key] = _merged(role, [spec[key] for spec in specs])
    return merged


def _merged(role: str | None, values: list[Any]) -> Any:
    """An argument of several specs: a spec or a list of specs is merged, another value the same."""
    if role and isinstance(values[0], list):
        return [merge(role, list(column)) for column in zip(*values, strict=True)]
    if role and isinstance(values[0], dict):
        return merge(role, values)
    return values[0]
