"""Specs such as "leaky_relu(slope=0.1)": parsed and never evaluated, brought to one form, written
as text.
"""

import ast
import contextlib
import inspect
from typing import Any

from harness import checks
from harness.errors import UsageError
from harness.registry import known
from harness.registry.known import KINDS, Entry, Spec, find, suggest

_NESTED = (dict, list, tuple)


DEEPEST = 60  # levels of dicts and lists: each layer within a layer takes two


TOO_DEEP = f"a spec must be nested at most {DEEPEST} levels deep, got more; put fewer layers within each other"


def bind(entry: Entry, args: Any, kwargs: dict[str, Any]) -> Spec:
    """Arguments -> spec with named arguments, nested specs in their own normal form. Defaults stay
    out.
    """
    unknown = [k for k in kwargs if k not in entry.parameters]
    if unknown:
        retired = entry.options.get("retired", {})
        if unknown[0] in retired:
            raise UsageError(retired[unknown[0]](kwargs[unknown[0]]))
        hint = (
            suggest(unknown[0], list(entry.parameters))
            if entry.parameters
            else "it takes no arguments"
        )
        raise UsageError(
            f"{entry.kind.replace('_', ' ')} {entry.signature} has no argument "
            f"{unknown[0]!r}; {hint}"
        )
    sig = inspect.Signature(list(entry.parameters.values()))
    rest = next((k for k, p in entry.parameters.items() if p.kind is p.VAR_POSITIONAL), None)
    try:
        bound = sig.bind(*args, **{k: v for k, v in kwargs.items() if k != rest})
    except TypeError as error:
        raise UsageError(
            f"{entry.kind.replace('_', ' ')} {entry.signature}: {error}; give the arguments as "
            f"shown"
        ) from None
    if rest in kwargs:  # {"name": "residual", "layers": [...]}
        bound.arguments[rest] = (*bound.arguments.get(rest, ()), *kwargs[rest])
    spec: Spec = {"name": entry.name}
    for key, value in bound.arguments.items():
        role = entry.role(key)
        spec[key] = [_inner(role, v) for v in value] if key == rest else _inner(role, value)
    return spec


def _inner(role: str | None, value: Any) -> Any:
    """A nested argument in normal form: specs become dicts, numbers plain Python numbers, tuples
    lists.
    """
    if hasattr(value, "spec"):
        value = value.spec
    value = checks.plain(value)
    if role == "scalar":
        return canonical("schedule", value) if isinstance(value, str | dict) else _scalar(value)
    if role is not None and value is not None and not isinstance(value, bool):
        return canonical(role, value)
    return value


def _scalar(value: Any) -> Any:
    """A Scalar, or one for each member of a population: 1 and 1.0 are one value, so they must give
    one spec.
    """
    if isinstance(value, list):
        return [_scalar(each) for each in value]
    return float(value) if checks.is_whole(value) else value


def parse(text: str) -> Spec:
    """'dense(100, init=he)' -> {"name": "dense", "*": [100], "init": "he"}: names, calls, literals;
    nothing is evaluated.
    """
    try:
        node = ast.parse(text.strip(), mode="eval").body
        spec = _node(node)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        # The last two: nested without end
        raise UsageError(
            f"cannot read the spec {text!r}: {getattr(error, 'msg', error)}; write a name or a "
            f"call such as "
            "'dense(100)'"
        ) from None
    if isinstance(spec, str) and isinstance(node, ast.Name):
        return {"name": spec}
    if not isinstance(spec, dict) or "name" not in spec:
        raise UsageError(
            f"cannot read the spec {text!r}: it is no name and no call; write one "
            f"such as 'dense(100)'"
        )
    return spec


def _node(node: ast.expr) -> Any:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        spec: Spec = {"name": node.func.id}
        if node.args:
            spec["*"] = [_node(a) for a in node.args]
        for keyword in node.keywords:
            if keyword.arg is None or keyword.arg in spec:  # the name is an argument of no factory
                raise ValueError(f"{keyword.arg or '**'} is not allowed here")
            spec[keyword.arg] = _node(keyword.value)
        return spec
    if isinstance(node, ast.List | ast.Tuple):
        return [_node(e) for e in node.elts]
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise ValueError(f"{ast.unparse(node)!r} is no name, number, text, list or call") from None


def canonical(kind: str, spec: Any) -> Spec:
    """A name, a spec string, a dict or a product -> its normal form. Checks names and arguments;
    makes nothing.
    """
    spec = getattr(spec, "spec", spec)
    if isinstance(spec, str):
        spec = parse(spec)
    _refuse_deep(spec)
    if not isinstance(spec, dict) or not isinstance(spec.get("name"), str):
        raise UsageError(
            f"{kind.replace('_', ' ')} must be a name, a spec or a product of its "
            f"factory, got {spec!r}"
        )
    entry = find(kind, spec["name"])
    return bind(entry, spec.get("*", ()), {k: v for k, v in spec.items() if k not in ("name", "*")})


def _refuse_deep(spec: Any) -> None:
    """UsageError where a spec is nested so deeply that copying and writing it could fail later."""
    level = [spec]
    for _ in range(DEEPEST):
        inner = [
            each.values() if isinstance(each, dict) else each
            for each in level
            if isinstance(each, _NESTED)
        ]
        level = [part for parts in inner for part in parts]
        if not level:
            return
    raise UsageError(TOO_DEEP)


def text(spec: Any) -> str:
    """A spec as one writes it: {"name": "dense", "units": 100} -> 'dense(units=100)'."""
    if isinstance(spec, list | tuple):
        return ", ".join(map(text, spec))
    if not isinstance(spec, dict) or "name" not in spec:
        return repr(spec)
    given = [(k, v) for k, v in spec.items() if k != "name"]
    inner = [f"{k}=[{text(v)}]" if isinstance(v, list) else f"{k}={text(v)}" for k, v in given]
    if (
        len(given) == 1
        and isinstance(given[0][1], list)
        and all(isinstance(v, dict) for v in given[0][1])
    ):
        inner = [text(given[0][1])]  # residual(dense(units=5), tanh)
    return spec["name"] + (f"({', '.join(inner)})" if inner else "")


def shape(kind: str, spec: Spec) -> Spec:
    """The spec without its scalars: what members of a population must share."""
    entry = find(kind, spec["name"])

    def strip(key: str, value: Any) -> Any:
        role = entry.role(key)
        if isinstance(value, list):
            return [strip(key, v) for v in value]
        return shape(role, value) if role and isinstance(value, dict) else value

    return {
        k: strip(k, v) if k != "name" else v
        for k, v in spec.items()
        if k == "name" or entry.role(k) != "scalar"
    }


def merge(kind: str, specs: list[Spec]) -> Spec:
    """Specs of one shape -> one spec whose scalars are lists, one value per spec."""
    entry = find(kind, specs[0]["name"])
    merged: Spec = {"name": entry.name}
    for key in entry.parameters:
        if entry.role(key) == "scalar":
            if any(key in s for s in specs):
                merged[key] = [arguments(entry, s)[key] for s in specs]
        elif key in specs[0]:
            values, role = [s[key] for s in specs], entry.role(key)
            if role and isinstance(values[0], list):
                merged[key] = [merge(role, list(column)) for column in zip(*values, strict=True)]
            else:
                merged[key] = (
                    merge(role, values) if role and isinstance(values[0], dict) else values[0]
                )
    return merged


def arguments(entry: Entry, spec: Spec) -> dict[str, Any]:
    """All arguments of a spec by name, defaults filled in (a *rest argument only where the spec has
    it).
    """
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    filled = {
        k: p.default
        for k, p in entry.parameters.items()
        if p.default is not p.empty and p.kind not in kinds
    }
    return {**filled, **{k: v for k, v in spec.items() if k != "name"}}


def names_in(value: Any) -> frozenset[str]:
    """The names of all plugins that specs use: those within others, those in texts, and those of
    default arguments.
    """
    names: set[str] = set()
    todo = [value]
    while todo:
        each = todo.pop()
        each = getattr(each, "spec", each)
        if isinstance(each, str):
            with contextlib.suppress(UsageError):  # a text such as a path, which is no spec
                todo.append(parse(each))
        elif isinstance(each, dict):
            name = each.get("name")
            todo += [part for key, part in each.items() if key != "name"]
            if isinstance(name, str) and name not in names:
                names.add(name)
                meant = [
                    known.registered[kind, name]
                    for kind in KINDS
                    if (kind, name) in known.registered
                ]
                todo += [
                    p.default
                    for entry in meant
                    for p in entry.parameters.values()
                    if p.default is not p.empty
                ]
        elif isinstance(each, list | tuple):
            todo += each
    return frozenset(names)
