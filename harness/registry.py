"""Names and what they stand for: registers factories, parses specs such as "leaky_relu(slope=0.1)" (never evaluated),
loads plugins.

A *factory* is a plain function of hyperparameters. Calling it through its registered name gives a *product* (a layer,
an activation, a rule, ...) that carries the *spec* it was made from, a plain dict such as {"name": "dense", "units":
100}.
"""

import ast
import contextlib
import difflib
import hashlib
import importlib
import importlib.util
import inspect
import keyword
import os
import re
import sys
import unicodedata
import warnings
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import wraps
from importlib.machinery import SourceFileLoader
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from harness import checks, factories, interactive
from harness.boundary import foreign
from harness.errors import UsageError, in_words
from harness.escapes import printable
from harness.ops import debug

KINDS = (
    "activation",
    "layer",
    "update_rule",
    "loss",
    "initializer",
    "schedule",
    "metric",
    "recorder",
    "dataset",
)

# Annotations by which a factory says what an argument is. A Scalar is a number that may differ between the members of a
# population; the others are specs of that kind (or products, or names).
Scalar = Annotated[Any, "scalar"]
LayerSpec = Annotated[Any, "layer"]
ActivationSpec = Annotated[Any, "activation"]
RuleSpec = Annotated[Any, "update_rule"]
InitSpec = Annotated[Any, "initializer"]

Spec = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """One registered name. `options` are what the decorator was told, such as inplace=True."""

    kind: str
    name: str
    factory: Callable[..., Any]
    parameters: dict[str, inspect.Parameter]
    origin: str  # the file in which the factory is written, or that registers it where the factory has none
    options: dict[str, Any] = field(default_factory=dict)
    registrar: str = ""  # the file in which it was registered, mostly the same
    module: str = ""  # the name of the module in which it was registered

    @property
    def signature(self) -> str:
        shown = [p.replace(annotation=inspect.Parameter.empty) for p in self.parameters.values()]
        with foreign(f"the {self.kind} {self.name!r}"):  # the repr of a default may be the plugin's
            return printable(f"{self.name}({', '.join(map(str, shown))})")

    @property
    def doc(self) -> str:
        return printable(factories.documentation(self.factory))

    @property
    def summary(self) -> str:
        return self.doc.partition("\n")[0]

    def role(self, parameter: str) -> str | None:
        """What the parameter is declared to be: "scalar", a kind, or None for a plain value."""
        annotation = self.parameters[parameter].annotation
        if get_origin(annotation) is Annotated:
            return get_args(annotation)[1]
        if isinstance(annotation, str):  # the plugin's module uses `from __future__ import annotations`
            known = {
                "Scalar": "scalar",
                "LayerSpec": "layer",
                "ActivationSpec": "activation",
                "RuleSpec": "update_rule",
            }
            return {**known, "InitSpec": "initializer"}.get(annotation.rpartition(".")[2])
        return None


_NESTED = (dict, list, tuple)
DEEPEST = 60  # levels of dicts and lists: each layer within a layer takes two
TOO_DEEP = f"a spec must be nested at most {DEEPEST} levels deep, got more; put fewer layers within each other"
_READABLE = 12  # names in a message: longer lists hide what it says
_entries: dict[tuple[str, str], Entry] = {}
_plugins: dict[str, str] = {}  # reference given by the user -> sha256 of its source
_state = {"entry_points": False}


def _register(kind: str, name: Any, options: dict[str, Any]) -> Callable[..., Any]:
    if callable(name):  # the decorator was written without parentheses
        return _register(kind, None, options)(name)

    def decorate(factory: Callable[..., Any]) -> Callable[..., Any]:
        if not callable(factory):
            raise UsageError(f"{kind}: what is registered must be a function, got a {type(factory).__name__}")
        label = name or factories.name_of(kind, factory)
        if not isinstance(label, str) or not label.isidentifier() or keyword.iskeyword(label):
            raise UsageError(f"{kind}: a name must be a Python identifier, got {label!r}; choose letters, digits and _")
        label = unicodedata.normalize("NFKC", label)  # as Python does with names, and so does a spec
        parameters = factories.parameters(kind, label, factory)
        if "name" in parameters:  # in a spec that is the name of the factory itself
            raise UsageError(f"the {kind} {label!r} must not have a parameter called 'name'; call it something else")
        shape = "factory" if options.get("inplace") else _spelling(kind, parameters)
        if shape == "expression":
            parameters.pop(next(iter(parameters)))
        elif shape == "deriv":
            parameters = {k: p for i, (k, p) in enumerate(parameters.items()) if i > 0 and k != "deriv"}
        registrar, module = factories.caller()
        origin = factories.source_file(factory) or registrar
        said = {**options, "spelling": shape}
        entry = Entry(kind, label, factory, parameters, origin, said, registrar, module)
        _refuse_taken(entry)
        _entries[kind, label] = entry

        @wraps(factory, updated=())  # not the attributes of an object that can be called
        def call(*args: Any, **kwargs: Any) -> Any:
            return _build(entry, _bind(entry, args, kwargs))

        call.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
        return call

    return decorate


def _refuse_taken(entry: Entry) -> None:
    """UsageError where the name belongs to somebody else; the same thing may be registered again, perhaps changed."""
    rivals = ("layer", "activation") if entry.kind in ("layer", "activation") else (entry.kind,)
    for rival in rivals:
        other = _entries.get((rival, entry.name))
        if other is None:
            continue
        # a notebook gives every cell a file name of its own, and cells are run again
        again = "__main__" == entry.module == other.module
        same = again or os.path.realpath(other.origin) == os.path.realpath(entry.origin)
        if same and rival == entry.kind:
            if _two_of_one_file(other.factory, entry.factory):
                raise UsageError(
                    f"the {entry.kind} name {entry.name!r} is given twice in {entry.origin}, to "
                    f"{other.factory.__name__} and to {entry.factory.__name__}; register one of them under another name"
                )
        else:
            raise UsageError(
                f"the {entry.kind} name {entry.name!r} from {entry.origin} is taken by the {rival} from "
                f"{other.origin}; register yours under another name"
            )


def _two_of_one_file(one: Callable[..., Any], other: Callable[..., Any]) -> bool:
    """Whether both stand in one file, and are not two versions of one function, of a module that was loaded again."""
    first = factories.qualified(one)
    second = factories.qualified(other)
    if first is None or second is None or first[0] != second[0] or first[1] == second[1]:
        return False
    file = factories.source_file(other)  # none of what was typed at a prompt
    return file is not None and os.path.isfile(file) and file == factories.source_file(one)


def _spelling(kind: str, parameters: dict[str, inspect.Parameter]) -> str:
    """How an activation is written: an "expression" f(z), the article's "deriv" flag, or a "factory" of a pair."""
    if kind != "activation" or not parameters:
        return "factory"
    first = next(iter(parameters.values()))
    if first.default is first.empty and first.kind in (first.POSITIONAL_ONLY, first.POSITIONAL_OR_KEYWORD):
        return "deriv" if "deriv" in parameters else "expression"
    return "factory"


def activation(name: str | None = None, *, inplace: bool = False) -> Callable[..., Any]:
    """Registers an activation: an expression f(z, ...), f(z, deriv=False), or a factory of a pair (see the README)."""
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


def initializer(name: str | None = None) -> Callable[..., Any]:
    """Registers an initializer: a factory that returns draw(rng, shape, fan_in, fan_out) -> float64 array."""
    return _register("initializer", name, {})


def schedule(name: str | None = None) -> Callable[..., Any]:
    """Registers a schedule: a factory that returns at(fraction of the planned steps) -> number."""
    return _register("schedule", name, {})


def metric(name: str | None = None, *, direction: str = "maximize", task: str = "classification") -> Callable[..., Any]:
    """Registers a metric: a factory that returns score(predictions, y) -> (...,)."""
    for key, given, known in (
        ("direction", direction, ("maximize", "minimize")),
        ("task", task, ("classification", "regression")),
    ):
        if given not in known:
            raise UsageError(
                f"a metric's {key} must be {' or '.join(map(repr, known))}, got {given!r}; write one of them"
            )
    return _register("metric", name, {"direction": direction, "task": task})


def recorder(name: str | None = None) -> Callable[..., Any]:
    """Registers a recorder: a factory that returns record(trained) -> Report(metrics, artifacts)."""
    return _register("recorder", name, {})


def dataset(name: str | None = None) -> Callable[..., Any]:
    """Registers a data set: a factory that returns a Dataset."""
    return _register("dataset", name, {})


# Looking up
# -------------------------------------------------------------------------------------------------------------


def entries(kind: str | None = None) -> list[Entry]:
    """All registered entries, of one kind or of all, in the order of KINDS and then by name."""
    load_entry_points()
    chosen = [e for e in _entries.values() if kind in (None, e.kind)]
    return sorted(chosen, key=lambda e: (KINDS.index(e.kind), e.name))


def table() -> dict[tuple[str, str], Entry]:
    """All that is registered, by kind and name: equal to an earlier one if nothing was registered in between."""
    load_entry_points()
    return dict(_entries)


def find(kind: str, name: str) -> Entry:
    """The entry of that name; a layer's name may also be that of an activation. UsageError with the nearest names."""
    load_entry_points()
    name = unicodedata.normalize("NFKC", name)
    kinds = ("layer", "activation") if kind == "layer" else (kind,)
    for each in kinds:
        if (each, name) in _entries:
            return _entries[each, name]
    names = sorted(n for k, n in _entries if k in kinds)
    lists = " and ".join(f"`harness list {each}`" for each in kinds)
    hint = suggest(name, names, f"{lists} {'show' if len(kinds) > 1 else 'shows'} what there is")
    raise UsageError(f"unknown {kind.replace('_', ' ')} {name!r}; {hint}")


def suggest(name: str, names: list[str] | tuple[str, ...], many: str = "") -> str:
    """'did you mean ...?' where something is near, else the whole list; `many` instead of a list that nobody reads."""
    known = [str(each) for each in names]
    if near := difflib.get_close_matches(str(name), known, n=3, cutoff=0.6):
        return f"did you mean {' or '.join(map(repr, near))}?"
    if len(known) <= _READABLE:
        return f"there is {', '.join(known) or 'none'}"
    return many or f"there is {', '.join(known[:_READABLE])}, ... ({len(known)} in all)"


def _bind(entry: Entry, args: Any, kwargs: dict[str, Any]) -> Spec:
    """Arguments -> spec with named arguments, nested specs in their own normal form. Defaults stay out."""
    unknown = [k for k in kwargs if k not in entry.parameters]
    if unknown:
        hint = suggest(unknown[0], list(entry.parameters)) if entry.parameters else "it takes no arguments"
        raise UsageError(f"{entry.kind.replace('_', ' ')} {entry.signature} has no argument {unknown[0]!r}; {hint}")
    sig = inspect.Signature(list(entry.parameters.values()))
    rest = next((k for k, p in entry.parameters.items() if p.kind is p.VAR_POSITIONAL), None)
    try:
        bound = sig.bind(*args, **{k: v for k, v in kwargs.items() if k != rest})
    except TypeError as error:
        raise UsageError(
            f"{entry.kind.replace('_', ' ')} {entry.signature}: {error}; give the arguments as shown"
        ) from None
    if rest in kwargs:  # {"name": "residual", "layers": [...]}
        bound.arguments[rest] = (*bound.arguments.get(rest, ()), *kwargs[rest])
    spec: Spec = {"name": entry.name}
    for key, value in bound.arguments.items():
        role = entry.role(key)
        spec[key] = [_inner(role, v) for v in value] if key == rest else _inner(role, value)
    return spec


def _inner(role: str | None, value: Any) -> Any:
    """A nested argument in normal form: specs become dicts, numbers plain Python numbers, tuples lists."""
    if hasattr(value, "spec"):
        value = value.spec
    value = checks.plain(value)
    if role == "scalar":
        return canonical("schedule", value) if isinstance(value, str | dict) else _scalar(value)
    if role is not None and value is not None and not isinstance(value, bool):
        return canonical(role, value)
    return value


def _scalar(value: Any) -> Any:
    """A Scalar, or one for each member of a population: 1 and 1.0 are one value, so they must give one spec."""
    if isinstance(value, list):
        return [_scalar(each) for each in value]
    return float(value) if checks.is_whole(value) else value


def parse(text: str) -> Spec:
    """'dense(100, init=he)' -> {"name": "dense", "*": [100], "init": "he"}: names, calls, literals; nothing is
    evaluated."""
    try:
        node = ast.parse(text.strip(), mode="eval").body
        spec = _node(node)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # the last two: nested without end
        raise UsageError(
            f"cannot read the spec {text!r}: {getattr(error, 'msg', error)}; write a name or a call such as "
            "'dense(100)'"
        ) from None
    if isinstance(spec, str) and isinstance(node, ast.Name):
        return {"name": spec}
    if not isinstance(spec, dict) or "name" not in spec:
        raise UsageError(f"cannot read the spec {text!r}: it is no name and no call; write one such as 'dense(100)'")
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
    """A name, a spec string, a dict or a product -> its normal form. Checks names and arguments; makes nothing."""
    spec = getattr(spec, "spec", spec)
    if isinstance(spec, str):
        spec = parse(spec)
    _refuse_deep(spec)
    if not isinstance(spec, dict) or not isinstance(spec.get("name"), str):
        raise UsageError(f"{kind.replace('_', ' ')} must be a name, a spec or a product of its factory, got {spec!r}")
    entry = find(kind, spec["name"])
    return _bind(entry, spec.get("*", ()), {k: v for k, v in spec.items() if k not in ("name", "*")})


def _refuse_deep(spec: Any) -> None:
    """UsageError where a spec is nested so deeply that copying and writing it could fail later."""
    level = [spec]
    for _ in range(DEEPEST):
        inner = [each.values() if isinstance(each, dict) else each for each in level if isinstance(each, _NESTED)]
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
    if len(given) == 1 and isinstance(given[0][1], list) and all(isinstance(v, dict) for v in given[0][1]):
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

    return {k: strip(k, v) if k != "name" else v for k, v in spec.items() if k == "name" or entry.role(k) != "scalar"}


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
                merged[key] = merge(role, values) if role and isinstance(values[0], dict) else values[0]
    return merged


def make(kind: str, spec: Any) -> Any:
    """The product of a spec. A product is returned as it is."""
    if not isinstance(spec, str | dict):
        if hasattr(spec, "spec") or callable(spec):
            return spec
        raise UsageError(f"{kind.replace('_', ' ')} must be a name, a spec or a product of its factory, got {spec!r}")
    spec = canonical(kind, spec)
    return _build(find(kind, spec["name"]), spec)


def arguments(entry: Entry, spec: Spec) -> dict[str, Any]:
    """All arguments of a spec by name, defaults filled in (a *rest argument only where the spec has it)."""
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    filled = {k: p.default for k, p in entry.parameters.items() if p.default is not p.empty and p.kind not in kinds}
    return {**filled, **{k: v for k, v in spec.items() if k != "name"}}


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


# How the spellings of an activation become the in-place pair; tracing.py sets it, so that this module stays below it.
spellings: dict[str, Callable[[Entry, dict[str, Any]], tuple[Any, Any]]] = {}


def activation_pair(entry: Entry, kwargs: dict[str, Any]) -> Activation:
    """The in-place pair (value, pullback) of an activation, whichever way it is written. kwargs may hold arrays."""
    how = "inplace" if entry.options.get("inplace") else entry.options["spelling"]
    return Activation(*debug.guard("activation", entry.name, spellings[how](entry, kwargs)))


# What a factory of each kind returns, in words and as far as it can be told before it is used
_PRODUCTS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "layer": ("a function bind(ctx, I)", callable),
    "update_rule": ("Rule(init, update)", lambda made: hasattr(made, "init") and hasattr(made, "update")),
    "loss": ("a function bind(ctx, O)", callable),
    "initializer": ("a function draw(rng, shape, fan_in, fan_out)", callable),
    "schedule": ("a function of the fraction of the planned steps", callable),
    "metric": ("a function score(predictions, y)", callable),
    "recorder": ("a function record(trained)", callable),
    "dataset": ("a Dataset, such as harness.data.from_arrays makes", lambda made: hasattr(type(made), "digest")),
}


def _build(entry: Entry, spec: Spec) -> Any:
    """The product of an entry: what its factory makes of a spec's arguments."""
    with foreign(f"the {entry.kind.replace('_', ' ')} {entry.name!r}"):
        return _made(entry, spec)


def _made(entry: Entry, spec: Spec) -> Any:
    args = {k: v for k, v in spec.items() if k != "name"}
    if entry.kind == "activation":
        product = activation_pair(entry, args)
    else:
        rest = next((k for k, p in entry.parameters.items() if p.kind is p.VAR_POSITIONAL), None)
        named = [k for k, p in entry.parameters.items() if rest and p.kind is p.POSITIONAL_OR_KEYWORD]
        before = [args.pop(k, entry.parameters[k].default) for k in named]
        made = entry.factory(*before, *(args.pop(rest, ()) if rest else ()), **args)
        form, fits = _PRODUCTS[entry.kind]
        if not fits(made):
            raise UsageError(
                f"the {entry.kind.replace('_', ' ')} {entry.name!r} must return {form}, got {type(made).__name__}; "
                f"see {entry.origin}"
            )
        product = debug.guard(entry.kind, entry.name, made)
    try:
        object.__setattr__(product, "spec", spec)
    except (AttributeError, TypeError):
        raise UsageError(
            f"the {entry.kind} {entry.name!r} must return a function or a product that can carry its spec, got "
            f"{type(product).__name__}"
        ) from None
    return product


# Plugins
# ----------------------------------------------------------------------------------------------------------------


class _SourceLoader(SourceFileLoader):
    """Always compiles the source: cached bytecode is told from it by size and second only, too coarse for an editor."""

    def path_stats(self, path: str) -> Any:
        raise OSError


def load_plugin(reference: str | os.PathLike[str]) -> None:
    """Loads a plugin: a path to a .py file or a dotted module name. What it registers is there afterwards.

    The plugin's own errors pass through with their traceback; a file or module that does not exist is a UsageError.
    """
    text = os.fspath(reference)
    if not text.strip(". "):
        raise UsageError(f"a plugin must be a .py file or a module, got {text!r}; check the path")
    if text.endswith(".py") or os.sep in text:
        path = Path(text).expanduser().resolve()
        if not path.is_file():
            raise UsageError(f"a plugin must be a .py file or a module, there is no file {text!r}; check the path")
        source = path.read_bytes()
        name = "harness_plugin_" + hashlib.sha256(str(path).encode()).hexdigest()[:12]
        digest = hashlib.sha256(source).hexdigest()
        if _plugins.get(str(path)) == digest:
            return
        if str(path.parent) not in sys.path:
            sys.path.append(str(path.parent))  # last, so that it hides nothing: a plugin may import what lies beside it
        before = dict(_entries)
        _forget(str(path))
        loader = _SourceLoader(name, str(path))
        spec = importlib.util.spec_from_file_location(name, path, loader=loader)
        assert spec is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            with _loading(text):
                loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            _entries.clear()
            _entries.update(before)  # all of a file, or nothing
            raise
        _plugins[str(path)] = digest
        return
    if not all(part.isidentifier() for part in text.split(".")):
        raise UsageError(f"a plugin must be a .py file or the dotted name of a module, got {text!r}; check the path")
    try:
        with _loading(text):
            module = importlib.import_module(text)
    except ModuleNotFoundError as error:
        if error.name is None or not (text == error.name or text.startswith(error.name + ".")):
            raise
        raise UsageError(
            f"a plugin must be a .py file or a module, there is no module {text!r}; check the name or install it"
        ) from None
    file = getattr(module, "__file__", None)
    _plugins[text] = hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ""


def _loading(text: str) -> contextlib.AbstractContextManager[None]:
    """The boundary around a file or a module that is loaded for what it defines."""
    remedy = "put what is to run below if __name__ == '__main__':"
    return foreign(f"what {text} runs when it is loaded", UsageError, remedy)


def unload_plugin(reference: str | os.PathLike[str]) -> None:
    """Forgets what a plugin file has registered. A module stays: Python would not run it a second time."""
    _forget(os.path.realpath(reference))
    _plugins.pop(os.path.realpath(reference), None)


def adopt(entries: list[Entry]) -> None:
    """Registers entries of another process."""
    for entry in entries:
        _refuse_taken(entry)
        _entries[entry.kind, entry.name] = entry


def withdraw(entries: list[Entry]) -> None:
    """Takes back what `adopt` has registered."""
    for entry in entries:
        if _entries.get((entry.kind, entry.name)) is entry:
            del _entries[entry.kind, entry.name]


def _forget(path: str) -> None:
    for key in [k for k, e in _entries.items() if path in (os.path.realpath(e.origin), os.path.realpath(e.registrar))]:
        del _entries[key]


def plugins() -> dict[str, str]:
    """References of the plugins loaded in this process by a user, with the SHA-256 of their source."""
    return dict(_plugins)


def sources(names: Collection[str] | None = None) -> dict[str, bytes]:
    """The source of every file or notebook cell, but our own, that has registered something: {"mine.py": bytes}.

    names: only of those that have registered one of these.
    With the modules that these import and that belong to no installed package, under the paths by which they are
    imported: {"helper.py": ..., "tools/maths.py": ...}.
    """
    home, found, seen = Path(__file__).resolve().parent, dict[str, bytes](), set()
    imported: list[tuple[bytes, str]] = []  # sources whose imports are looked at, and the packages they are in
    reached: set[str] = set()  # modules that something without a file takes things from
    wanted = None if names is None else set(names)
    theirs = [e for e in entries() if not Path(e.origin).resolve().is_relative_to(home) or e.registrar != e.origin]

    def keep(file: str, module: str) -> None:
        path = Path(file).resolve()
        if path in seen or path.is_relative_to(home):
            return
        seen.add(path)
        source = interactive.text_of(file)
        loaded = module == "__main__" or module.startswith("harness_plugin_")
        name = path.stem.strip("<>") if loaded else module
        if name + ".py" in found:
            name += f"-{hashlib.sha256(source).hexdigest()[:8]}"
        if source:
            found[name + ".py"] = source
            imported.append((source, getattr(sys.modules.get(module), "__package__", None) or ""))
            if wanted is not None:
                wanted.update(_named_in(source, theirs))

    before = None
    while before != len(seen):  # a source may name another plugin, as make("activation", "mine") does
        before = len(seen)
        for entry in theirs:
            if wanted is None or entry.name in wanted:
                keep(entry.origin, _module_of(entry))
                keep(entry.registrar or entry.origin, entry.module)
                if interactive.is_loose(entry.origin, entry.module):
                    reached |= interactive.modules(entry.factory)
        if wanted is None:
            break
    todo = [module for module in sorted(reached) if getattr(sys.modules.get(module), "__file__", None)]
    for source, package in [("".join(f"import {each}\n" for each in todo).encode(), ""), *imported]:
        _keep_imports(source, package, found, seen)
    return found


def _module_of(entry: Entry) -> str:
    """The module in which a factory is written: that in which it was registered, unless that is another file's."""
    own = getattr(factories.function_of(entry.factory), "__module__", None)
    return own if own and entry.origin != entry.registrar else entry.module


def _named_in(source: bytes, theirs: list[Entry]) -> set[str]:
    """Names of these entries that stand in a source as texts."""
    try:
        nodes = ast.walk(ast.parse(source))
        texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    except (SyntaxError, ValueError):
        return {entry.name for entry in theirs}  # a notebook's cell may hold more than Python; it may name all
    words = {word for each in texts for word in re.findall(r"\w+", each)}
    return {entry.name for entry in theirs if entry.name in words}


def _keep_imports(source: bytes, package: str, found: dict[str, bytes], seen: set[Path]) -> None:
    """Adds what a source imports, and what that imports, as far as it belongs to the user."""
    home = Path(__file__).resolve().parent
    for module in _imports(source, package):
        path = Path(sys.modules[module].__file__ or "").resolve()
        if path in seen or path.is_relative_to(home) or not _own(path):
            continue
        seen.add(path)
        name = module.replace(".", "/") + ("/__init__.py" if path.name == "__init__.py" else ".py")
        found[name] = path.read_bytes()
        _keep_imports(found[name], sys.modules[module].__package__ or "", found, seen)


def loose(names: Collection[str] | None = None) -> list[Entry]:
    """The entries (of these names) that were defined in the main module, but in no file: in a notebook, at a prompt."""
    return [e for e in entries() if interactive.is_loose(e.origin, e.module) and (names is None or e.name in names)]


def names_in(value: Any) -> frozenset[str]:
    """The names of all plugins that specs use: those within others, those in texts, and those of default arguments."""
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
                meant = [_entries[kind, name] for kind in KINDS if (kind, name) in _entries]
                todo += [p.default for entry in meant for p in entry.parameters.values() if p.default is not p.empty]
        elif isinstance(each, list | tuple):
            todo += each
    return frozenset(names)


def _own(path: Path) -> bool:
    """Whether a module's file belongs to the user: to no installed package and not to Python."""
    installed = {"site-packages", "dist-packages"} & set(path.parts)
    return (
        path.suffix == ".py"
        and path.is_file()
        and not installed
        and not path.is_relative_to(Path(os.__file__).resolve().parent)
    )


def _imports(source: bytes, package: str) -> Iterator[str]:
    """Names of the loaded modules that a source imports, packages before what is in them."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError):  # a notebook's cell may hold more than Python
        return
    for node in nodes:
        names = [each.name for each in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        if isinstance(node, ast.ImportFrom):
            given = "." * node.level + (node.module or "")
            base = importlib.util.resolve_name(given, package) if package or not node.level else ""
            names = [base, *(f"{base}.{each}" for each in names)]
        for name in names:
            for module in accumulate(name.split("."), "{}.{}".format):
                if getattr(sys.modules.get(module), "__file__", None):
                    yield module


def load_entry_points() -> None:
    """Loads the plugins of installed packages (entry-point group harness.plugins), once. A broken one is a warning."""
    if _state["entry_points"]:
        return
    _state["entry_points"] = True
    from importlib.metadata import entry_points  # 50 ms that `harness --help` need not spend

    for point in entry_points(group="harness.plugins"):
        try:
            with foreign(f"the plugin {point.name!r}"):
                point.load()
        except Exception as error:
            warnings.warn(
                f"the plugin {point.name!r} ({point.value}) could not be loaded: {in_words(error)}",
                RuntimeWarning,
                stacklevel=2,
            )
