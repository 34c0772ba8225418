"""The table of names: what is registered, by whom, and how it is found."""

import difflib
import inspect
import unicodedata
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, get_args, get_origin

from harness.boundary import foreign
from harness.errors import UsageError, in_words
from harness.escapes import printable
from harness.registry import factories

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


# Annotations by which a factory says what an argument is. A Scalar is a number that may differ
# between the members of a population; the others are specs of that kind (or products, or names).
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
    # The file in which the factory is written, or that registers it where the factory has none
    origin: str
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
        # The plugin's module uses `from __future__ import annotations`
        if isinstance(annotation, str):
            known = {
                "Scalar": "scalar",
                "LayerSpec": "layer",
                "ActivationSpec": "activation",
                "RuleSpec": "update_rule",
            }
            return {**known, "InitSpec": "initializer"}.get(annotation.rpartition(".")[2])
        return None


_READABLE = 12  # names in a message: longer lists hide what it says


registered: dict[tuple[str, str], Entry] = {}


loaded_plugins: dict[str, str] = {}  # reference given by the user -> sha256 of its source


_state = {"entry_points": False}


# Looking up
# --------------------------------------------------------------------------------------------------
def entries(kind: str | None = None) -> list[Entry]:
    """All registered entries, of one kind or of all, in the order of KINDS and then by name."""
    load_entry_points()
    chosen = [e for e in registered.values() if kind in (None, e.kind)]
    return sorted(chosen, key=lambda e: (KINDS.index(e.kind), e.name))


def table() -> dict[tuple[str, str], Entry]:
    """All that is registered, by kind and name: equal to an earlier one if nothing was registered
    in between.
    """
    load_entry_points()
    return dict(registered)


def find(kind: str, name: str) -> Entry:
    """The entry of that name; a layer's name may also be that of an activation. UsageError with the
    nearest names.
    """
    load_entry_points()
    name = unicodedata.normalize("NFKC", name)
    kinds = ("layer", "activation") if kind == "layer" else (kind,)
    for each in kinds:
        if (each, name) in registered:
            return registered[each, name]
    names = sorted(n for k, n in registered if k in kinds)
    lists = " and ".join(f"`harness list {each}`" for each in kinds)
    hint = suggest(name, names, f"{lists} {'show' if len(kinds) > 1 else 'shows'} what there is")
    raise UsageError(f"unknown {kind.replace('_', ' ')} {name!r}; {hint}")


def suggest(name: str, names: list[str] | tuple[str, ...], many: str = "") -> str:
    """'did you mean ...?' where something is near, else the whole list; `many` instead of a list
    that nobody reads.
    """
    known = [str(each) for each in names]
    if near := difflib.get_close_matches(str(name), known, n=3, cutoff=0.6):
        return f"did you mean {' or '.join(map(repr, near))}?"
    if len(known) <= _READABLE:
        return f"there is {', '.join(known) or 'none'}"
    return many or f"there is {', '.join(known[:_READABLE])}, ... ({len(known)} in all)"


def load_entry_points() -> None:
    """Loads the plugins of installed packages (entry-point group harness.plugins), once. A broken
    one is a warning.
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
