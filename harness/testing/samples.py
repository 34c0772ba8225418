"""Specs to check a plugin with, and what a file or module registers."""

from typing import Any

from harness import registry
from harness.errors import UsageError
from harness.registry.known import Entry, Spec
from harness.testing.suite import UNITS, I, P

# Kinds of which every built-in name can be checked; data sets, some of which need a file, and
# recorders can be too
KINDS = ("activation", "layer", "update_rule", "loss", "initializer", "schedule", "metric")


# Examples -----------------------------------------------------------------------------------------
def examples(entry: Entry, given: dict[str, Any]) -> list[Spec]:
    """Specs to check a name with: the given arguments, its defaults, and examples where neither
    says anything.
    """
    filled: list[dict[str, Any]] = [{"name": entry.name, **given}]
    for key, parameter in entry.parameters.items():
        rest = parameter.kind is parameter.VAR_POSITIONAL
        needed = rest or (
            parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
        )
        if needed and key not in given:
            filled = [
                {**spec, key: value} for spec in filled for value in _example(entry, key, rest)
            ]
    return [registry.canonical(entry.kind, spec) for spec in filled]


def _example(entry: Entry, key: str, rest: bool) -> list[Any]:
    """Values for one argument, or for all arguments of a *rest."""
    # Another number of features, and the same
    sizes = [{"name": "dense", "units": units} for units in (UNITS, I)]
    role, annotation = entry.role(key), entry.parameters[key].annotation
    if rest and role in ("layer", "update_rule"):
        return [[size, "tanh"] for size in sizes] if role == "layer" else [["clip_norm", "sgd"]]
    single = {
        "scalar": 0.5,
        "layer": sizes[0],
        "activation": "tanh",
        "update_rule": "sgd",
        "initializer": "he",
        "int": UNITS,
        "float": 0.5,
        "bool": False,
    }
    what = role or getattr(annotation, "__name__", annotation)
    if what not in single:
        raise UsageError(
            f"the suite has no example for argument {key!r} of {entry.kind} {entry.signature}; "
            f"annotate it (int, float, Scalar, LayerSpec, ...), give it a default, or check "
            f"{entry.name}({key}=...)"
        )
    return [[single[what]] if rest else single[what]]


def members_of(kind: str, spec: Spec) -> list[Spec]:
    """The spec once for each member, its scalars different; the same ones where the factory refuses
    the others.
    """

    def vary(kind: str, spec: Spec, factor: float) -> Spec:
        entry, changed = registry.find(kind, spec["name"]), dict(spec)
        for key, value in registry.arguments(entry, spec).items():
            role = entry.role(key)
            if role == "scalar" and isinstance(value, int | float) and not isinstance(value, bool):
                changed[key] = value * factor
            elif role not in (None, "scalar"):
                nested = value if isinstance(value, list) else [value]
                varied = [vary(str(role), v, factor) if isinstance(v, dict) else v for v in nested]
                changed[key] = varied if isinstance(value, list) else varied[0]
        return registry.canonical(kind, changed)

    try:
        members = [vary(kind, spec, 1.0 - 0.1 * p) for p in range(P)]
        for each in members:
            registry.make(kind, each)
    except UsageError:
        return [spec] * P
    return members
