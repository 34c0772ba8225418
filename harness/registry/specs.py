"""Specs such as "leaky_relu(slope=0.1)": parsed, never evaluated, brought to one form, written.

In normal form a spec is a dict: {"name": "leaky_relu", "slope": 0.1}. It has the name, and by their
names the arguments that were given; specs within it are dicts too. Defaults stay out, so that a
spec means the same where a default changes its place.
"""

import ast
import contextlib
from typing import Any

from harness import checks
from harness.errors import UsageError
from harness.registry import known
from harness.registry.known import KINDS, Entry, Spec, find, suggest

_POSITIONAL = "*"  # the key of arguments without a name, between `parse` and `bind`

DEEPEST = 60  # levels of dicts and lists: each layer within a layer takes two

TOO_DEEP = (
    f"a spec must be nested at most {DEEPEST} levels deep, got more; put fewer layers within each "
    f"other"
)


# Reading ------------------------------------------------------------------------------------------


def parse(text: str) -> Spec:
    """Reads a spec from text. Only names, calls and literals are understood; nothing is evaluated.

    Parameters
    ----------
    text
        A name, or a call such as "dense(100, init=he)".

    Returns
    -------
    The name, the arguments by name, and those without a name under "*":
    {"name": "dense", "*": [100], "init": "he"}.

    Raises
    ------
    UsageError
        If it is anything else.
    """
    try:
        node = ast.parse(text.strip(), mode="eval").body
        spec = _node(node)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        # The last two come of a text that is nested without end.
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
    """The value of a part of a spec; ValueError where a spec may not have such a part."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return _call(node.func.id, node)
    if isinstance(node, ast.List | ast.Tuple):
        return [_node(element) for element in node.elts]
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise ValueError(f"{ast.unparse(node)!r} is no name, number, text, list or call") from None


def _call(name: str, node: ast.Call) -> Spec:
    spec: Spec = {"name": name}
    if node.args:
        spec[_POSITIONAL] = [_node(argument) for argument in node.args]
    for keyword in node.keywords:
        # No factory has an argument called "name".
        if keyword.arg is None or keyword.arg in spec:
            raise ValueError(f"{keyword.arg or '**'} is not allowed here")
        spec[keyword.arg] = _node(keyword.value)
    return spec


# The normal form ----------------------------------------------------------------------------------


def canonical(kind: str, spec: Any) -> Spec:
    """The normal form of a spec. Names and arguments are checked; nothing is made.

    Parameters
    ----------
    kind
        The kind of plugin, such as "layer".
    spec
        A name, a spec as text or as a dict, or a product, which knows its spec.

    Raises
    ------
    UsageError
        If it is none of these, is nested too deeply, or a name or an argument is unknown.
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
    named = {key: value for key, value in spec.items() if key not in ("name", _POSITIONAL)}
    return bind(find(kind, spec["name"]), spec.get(_POSITIONAL, ()), named)


def _refuse_deep(spec: Any) -> None:
    """Raises UsageError for a spec that is too deep to be copied and written later."""
    level = [spec]
    for _ in range(DEEPEST):
        parts: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                parts += value.values()
            elif isinstance(value, list | tuple):
                parts += value
        level = parts
        if not level:
            return
    raise UsageError(TOO_DEEP)


def bind(entry: Entry, args: Any, kwargs: dict[str, Any]) -> Spec:
    """The normal form of an entry with arguments.

    Parameters
    ----------
    entry
        What is registered.
    args
        The arguments by position.
    kwargs
        The arguments by name. Values of *layers may come as a list under its name.

    Raises
    ------
    UsageError
        If they are not those of the factory.
    """
    for key in kwargs:
        if key not in entry.parameters:
            if key in entry.options.get("retired", {}):
                raise UsageError(entry.options["retired"][key](kwargs[key]))
            hint = "it takes no arguments"
            if entry.parameters:
                hint = suggest(key, list(entry.parameters))
            raise UsageError(f"{entry.in_words} {entry.signature} has no argument {key!r}; {hint}")
    rest = entry.rest
    try:
        bound = entry.call.bind(*args, **{k: v for k, v in kwargs.items() if k != rest})
    except TypeError as error:
        raise UsageError(
            f"{entry.in_words} {entry.signature}: {error}; give the arguments as shown"
        ) from None
    if rest in kwargs:  # {"name": "residual", "layers": [...]}
        bound.arguments[rest] = (*bound.arguments.get(rest, ()), *kwargs[rest])
    spec: Spec = {"name": entry.name}
    for key, value in bound.arguments.items():
        role = entry.role(key)
        if key == rest:
            spec[key] = [_normal(role, element) for element in value]
        else:
            spec[key] = _normal(role, value)
    return spec


def _normal(role: str | None, value: Any) -> Any:
    """An argument in normal form.

    Specs become dicts, numbers become Python's own, and tuples become lists.
    """
    value = checks.plain(getattr(value, "spec", value))
    if role == "scalar":
        if isinstance(value, str | dict):
            return canonical("schedule", value)
        return _scalar(value)
    # False switches off what a spec would describe.
    if role is None or value is None or isinstance(value, bool):
        return value
    return canonical(role, value)


def _scalar(value: Any) -> Any:
    """A Scalar, or a list of one for each member of a population.

    1 and 1.0 are the same number, so they must give the same spec.
    """
    if isinstance(value, list):
        return [_scalar(element) for element in value]
    if checks.is_whole(value):
        return float(value)
    return value


# Using --------------------------------------------------------------------------------------------


def arguments(entry: Entry, spec: Spec) -> dict[str, Any]:
    """All arguments of a spec by name, with defaults; *layers only where the spec has them."""
    given = {key: value for key, value in spec.items() if key != "name"}
    return {**entry.defaults, **given}


def text(spec: Any) -> str:
    """A spec as one writes it: {"name": "dense", "units": 100} -> "dense(units=100)".

    A list of specs is joined by commas; anything else is given as Python writes it.
    """
    if isinstance(spec, list | tuple):
        return ", ".join(map(text, spec))
    if not isinstance(spec, dict) or "name" not in spec:
        return repr(spec)
    given = {key: value for key, value in spec.items() if key != "name"}
    values = list(given.values())
    if not given:
        return spec["name"]
    if len(values) == 1 and _are_specs(values[0]):
        # These come of *layers, which have no name: residual(dense(units=5), tanh).
        return f"{spec['name']}({text(values[0])})"
    return f"{spec['name']}({', '.join(_argument(key, given[key]) for key in given)})"


def _are_specs(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(element, dict) for element in value)


def _argument(key: str, value: Any) -> str:
    if isinstance(value, list):
        return f"{key}=[{text(value)}]"
    return f"{key}={text(value)}"


def names_in(value: Any) -> frozenset[str]:
    """The names of all plugins that specs use.

    Parameters
    ----------
    value
        A spec, or anything that has specs within it. Texts are read as specs where they are some.

    Returns
    -------
    The names, with those of specs within specs and of default arguments.
    """
    names: set[str] = set()
    todo = [value]
    while todo:
        part = todo.pop()
        part = getattr(part, "spec", part)
        if isinstance(part, str):
            with contextlib.suppress(UsageError):  # a text such as a path, which is no spec
                todo.append(parse(part))
        elif isinstance(part, dict):
            todo += [inner for key, inner in part.items() if key != "name"]
            name = part.get("name")
            if isinstance(name, str) and name not in names:
                names.add(name)
                todo += _defaults_of(name)
        elif isinstance(part, list | tuple):
            todo += part
    return frozenset(names)


def _defaults_of(name: str) -> list[Any]:
    """The default arguments of whatever has this name, of any kind."""
    defaults: list[Any] = []
    for kind in KINDS:
        entry = known.registered.get((kind, name))
        if entry is not None:
            defaults += entry.defaults.values()
    return defaults
