"""The table of names: what is registered, by whom, and how it is found."""

import difflib
import importlib
import inspect
import unicodedata
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, get_args, get_origin

from harness.boundary import foreign
from harness.errors import UsageError, in_words
from harness.escapes import printable
from harness.registry import factories

KINDS = (
    *("activation", "layer", "update_rule", "loss", "initializer", "schedule", "metric"),
    *("recorder", "dataset"),
)

# Annotations by which a factory says what an argument is. A Scalar is a number that may differ
# between the members of a population; the others are specs of that kind (or products, or names).
Scalar = Annotated[Any, "scalar"]
LayerSpec = Annotated[Any, "layer"]
ActivationSpec = Annotated[Any, "activation"]
RuleSpec = Annotated[Any, "update_rule"]
InitSpec = Annotated[Any, "initializer"]

# The same by their names, for a module that uses `from __future__ import annotations`
_ROLES = {
    "Scalar": "scalar",
    "LayerSpec": "layer",
    "ActivationSpec": "activation",
    "RuleSpec": "update_rule",
    "InitSpec": "initializer",
}

Spec = dict[str, Any]

_READABLE = 12  # names in a message: longer lists hide what it says


@dataclass(frozen=True)
class Entry:
    """One registered name.

    Attributes
    ----------
    kind
        One of KINDS.
    name
        The name.
    factory
        What was decorated.
    parameters
        The hyperparameters by name, in their order: without the z of an expression.
    origin
        The file in which the factory is written, or the registrar where that is none.
    options
        What the decorator was told, such as inplace=True, and the "spelling" of an activation.
    registrar
        The file in which it was registered, mostly the same.
    module
        The name of the module in which it was registered.
    """

    kind: str
    name: str
    factory: Callable[..., Any]
    parameters: dict[str, inspect.Parameter]
    origin: str
    options: dict[str, Any] = field(default_factory=dict)
    registrar: str = ""
    module: str = ""

    @property
    def signature(self) -> str:
        """The name with all arguments and their defaults, as one writes them."""
        shown = [p.replace(annotation=inspect.Parameter.empty) for p in self.parameters.values()]
        with foreign(f"the {self.kind} {self.name!r}"):  # the repr of a default may be the plugin's
            return printable(f"{self.name}({', '.join(map(str, shown))})")

    @property
    def doc(self) -> str:
        """The docstring of the factory."""
        return printable(factories.documentation(self.factory))

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return self.doc.partition("\n")[0]

    @property
    def in_words(self) -> str:
        """The kind as a message writes it, such as "update rule"."""
        return self.kind.replace("_", " ")

    @cached_property
    def call(self) -> inspect.Signature:
        """The hyperparameters as the signature of a call."""
        return inspect.Signature(list(self.parameters.values()))

    @cached_property
    def rest(self) -> str | None:
        """The argument that takes any number of values, such as *layers; None without one."""
        for name, parameter in self.parameters.items():
            if parameter.kind is parameter.VAR_POSITIONAL:
                return name
        return None

    @cached_property
    def defaults(self) -> dict[str, Any]:
        """The defaults of those arguments that have one."""
        return {
            name: parameter.default
            for name, parameter in self.parameters.items()
            if parameter.default is not parameter.empty
        }

    def role(self, parameter: str) -> str | None:
        """What an argument is declared to be: "scalar", a kind, or None for a plain value.

        Parameters
        ----------
        parameter
            The name of the argument.
        """
        annotation = self.parameters[parameter].annotation
        if get_origin(annotation) is Annotated:
            return get_args(annotation)[1]
        if isinstance(annotation, str):
            return _ROLES.get(annotation.rpartition(".")[2])
        return None


registered: dict[tuple[str, str], Entry] = {}  # by kind and name

loaded_plugins: dict[str, str] = {}  # reference given by the user -> sha256 of its source

# The rooms that register what comes with the harness. They are loaded as plugins are, by name and
# when somebody first looks a name up: `harness --help` need not wait for them.
_BUILTIN = ("harness.expressions", "harness.data", "harness.builtin", "harness.recorders")
_state = {"builtin": False, "entry_points": False}


def entries(kind: str | None = None, where: Callable[[Entry], bool] | None = None) -> list[Entry]:
    """All registered entries, of one kind or of all, in the order of KINDS and then by name.

    Parameters
    ----------
    kind
        One of KINDS; None for all.
    where
        Says which entries are wanted; None for all.
    """
    load_all()
    wanted = [entry for entry in registered.values() if kind in (None, entry.kind)]
    if where is not None:
        wanted = list(filter(where, wanted))
    return sorted(wanted, key=_order)


def _order(entry: Entry) -> tuple[int, str]:
    return KINDS.index(entry.kind), entry.name


def table() -> dict[tuple[str, str], Entry]:
    """All that is registered, by kind and name.

    It equals an earlier table if nothing was registered in between.
    """
    load_all()
    return dict(registered)


def rivals(kind: str) -> tuple[str, ...]:
    """The kinds that share their names with a kind: a spec does not tell layers and activations."""
    if kind in ("layer", "activation"):
        return ("layer", "activation")
    return (kind,)


def find(kind: str, name: str) -> Entry:
    """The entry of a name.

    Parameters
    ----------
    kind
        One of KINDS. An activation can be found as a layer, too.
    name
        The name.

    Raises
    ------
    UsageError
        If there is none; the message has the nearest names.
    """
    load_all()
    name = unicodedata.normalize("NFKC", name)
    kinds: tuple[str, ...] = (kind,)
    show = "shows"
    if kind == "layer":
        kinds = rivals(kind)
        show = "show"
    for each_kind in kinds:
        if (each_kind, name) in registered:
            return registered[each_kind, name]
    names = sorted(entry.name for entry in registered.values() if entry.kind in kinds)
    lists = " and ".join(f"`harness list {each_kind}`" for each_kind in kinds)
    hint = suggest(name, names, f"{lists} {show} what there is")
    raise UsageError(f"unknown {kind.replace('_', ' ')} {name!r}; {hint}")


def suggest(name: str, names: list[str] | tuple[str, ...], many: str = "") -> str:
    """The end of a message about a name that is not there.

    Parameters
    ----------
    name
        What was asked for.
    names
        What there is.
    many
        What to say instead of a list that is too long to be read.

    Returns
    -------
    "did you mean ...?" where something is near, else a list of what there is.
    """
    texts = [str(each) for each in names]
    if near := difflib.get_close_matches(str(name), texts, n=3, cutoff=0.6):
        return f"did you mean {' or '.join(map(repr, near))}?"
    if len(texts) <= _READABLE:
        return f"there is {', '.join(texts) or 'none'}"
    return many or f"there is {', '.join(texts[:_READABLE])}, ... ({len(texts)} in all)"


def load_all() -> None:
    """Loads what comes with the harness and the plugins of installed packages, once."""
    load_builtin()
    load_entry_points()


def load_builtin() -> None:
    """Loads what comes with the harness, once."""
    if _state["builtin"]:
        return
    # Set first, because these rooms look names up while they are loaded.
    _state["builtin"] = True
    try:
        for room in _BUILTIN:
            importlib.import_module(room)
    except BaseException:  # A Ctrl-C, too, must not leave half of it for the rest of the process.
        _state["builtin"] = False
        raise


def load_entry_points() -> None:
    """Loads the plugins of installed packages, once: the entry points of group harness.plugins.

    One that cannot be loaded is a RuntimeWarning.
    """
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
