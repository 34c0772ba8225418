"""Running the suite: all checks of a name, of a module, of a file."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from harness import registry
from harness.errors import UsageError
from harness.registry.known import Entry
from harness.testing.activations import elementwise
from harness.testing.datasets import dataset
from harness.testing.device import check_device
from harness.testing.gradients import check_gradients
from harness.testing.initializers import initializer
from harness.testing.layers import modes, rows, single_precision
from harness.testing.losses import check_loss
from harness.testing.metrics import metric
from harness.testing.ownership import ownership
from harness.testing.recorders import recorder
from harness.testing.rules import check_rule
from harness.testing.samples import examples
from harness.testing.schedules import schedule
from harness.testing.suite import Check, Outcome, Subject, Suite

_Group = Callable[[Suite, Subject], None]

_LAYER: tuple[_Group, ...] = (check_gradients, ownership, modes, single_precision, rows)

# The groups of checks of each kind, in the order in which they are made.
_GROUPS: dict[str, tuple[_Group, ...]] = {
    "activation": (elementwise, *_LAYER, check_device),
    "layer": (*_LAYER, check_device),
    "update_rule": (check_rule, check_device),
    "loss": (check_loss, check_device),
    "initializer": (initializer,),
    "schedule": (schedule,),
    "metric": (metric,),
    "dataset": (dataset,),
    "recorder": (recorder,),
}


def check(
    kind: str, name: str, *, reference: Callable[..., Any] | None = None, **arguments: Any
) -> list[Outcome]:
    """Makes all checks of one registered name.

    Parameters
    ----------
    kind
        "activation", "layer", "update_rule", "loss", "initializer", "schedule", "metric", "dataset"
        or "recorder".
    name
        What is checked.
    reference
        An independent slow formula to hold the values against. For an activation f(z) on
        longdouble; for an update rule u(g, theta, step, memory, decayed), memory a dict of its own;
        for a loss the values (B,) of (y, t).
    arguments
        Those of the plugin. Where one is missing, its default is taken, or an example.

    Returns
    -------
    list of Outcome
        One for each check, in the order of the tables.

    Raises
    ------
    UsageError
        If there is no such kind or name, or no example of an argument.
    """
    if kind not in _GROUPS:
        kinds = ", ".join(_GROUPS)
        raise UsageError(f"the suite checks {kinds}, got {kind!r}; choose one of them")
    entry = registry.find(kind, name)
    suite = Suite(entry.origin)
    specs = examples(entry, arguments)
    for spec in specs:
        subject = Subject(entry, spec, reference)
        if len(specs) > 1:
            suite.suffix = f" [{registry.text(spec)}]"
        suite.add(_CAN_BE_MADE, subject)
        if suite.outcomes[-1].ok:
            # A formula may overflow on the way to a right result, and checks try extreme numbers.
            with np.errstate(all="ignore"):
                suite.run_groups(_GROUPS[kind], subject)
    return suite.outcomes


def _makes_another_spec(subject: Subject) -> bool:
    return registry.make(subject.entry.kind, subject.spec).spec != subject.spec


_CAN_BE_MADE = Check(
    "can be made",
    "the factory must take these arguments and return a function or a product",
    _makes_another_spec,
)


def assert_conforms(kind: str, name: str, **options: Any) -> list[Outcome]:
    """Makes the checks of `check` within a test.

    Parameters
    ----------
    kind, name, **options
        As those of `check`.

    Returns
    -------
    list of Outcome
        All of which hold.

    Raises
    ------
    AssertionError
        With the lines of the checks that failed.
    UsageError
        As `check` does.
    """
    outcomes = check(kind, name, **options)
    failed = [str(outcome) for outcome in outcomes if not outcome.ok]
    assert not failed, f"{kind} {name}:\n" + "\n".join(failed)
    return outcomes


def check_module(plugin: str | Path | ModuleType) -> dict[str, list[Outcome]]:
    """Makes the checks of everything that a file or a module registers.

    Parameters
    ----------
    plugin
        A file, a module's name, or a module.

    Returns
    -------
    dict
        {"layer mine": outcomes}.

    Raises
    ------
    UsageError
        If nothing is registered there, or there is no example of an argument.
    """
    entries = registered_by(plugin)
    return {f"{entry.kind} {entry.name}": check(entry.kind, entry.name) for entry in entries}


def registered_by(plugin: str | Path | ModuleType) -> list[Entry]:
    """What a file or a module registers; it is loaded if need be.

    Parameters
    ----------
    plugin
        A file, a module's name, or a module. A package stands for all of its files.

    Returns
    -------
    list of Entry
        In the order of kinds, and then by name.

    Raises
    ------
    UsageError
        If nothing is registered there.
    """
    file = _file_of(plugin)
    # A package is all that lies in its folder.
    place = file.parent if file.name == "__init__.py" else file
    entries = [entry for entry in registry.entries() if _comes_from(entry, place)]
    if not entries:
        kinds = ", ".join(_GROUPS)
        raise UsageError(
            f"a plugin must register something to check ({kinds}), {file} does not; "
            f"decorate a function"
        )
    return entries


def _file_of(plugin: str | Path | ModuleType) -> Path:
    if not isinstance(plugin, ModuleType):
        registry.load_plugin(plugin)
    module = plugin if isinstance(plugin, ModuleType) else sys.modules.get(str(plugin))
    if module is None:
        return Path(str(plugin)).expanduser().resolve()
    return Path(module.__file__ or "").expanduser().resolve()


def _comes_from(entry: Entry, place: Path) -> bool:
    """Whether the factory is written there, or is registered there."""
    files = (entry.origin, entry.registrar or entry.origin)
    return any(Path(file).resolve().is_relative_to(place) for file in files)
