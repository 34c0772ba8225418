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
from harness.testing.device import check_device
from harness.testing.layers import check_gradients, modes, ownership, rows, single_precision
from harness.testing.losses import check_loss
from harness.testing.others import dataset, initializer, metric, recorder, schedule
from harness.testing.rules import check_rule
from harness.testing.samples import examples
from harness.testing.suite import Outcome, Suite


def check(
    kind: str, name: str, *, reference: Callable[..., Any] | None = None, **arguments: Any
) -> list[Outcome]:
    """All checks of one registered name, with these arguments; without them its defaults and
    examples.

    reference: an independent slow formula to hold the values against. For an activation f(z) on
    longdouble; for an update rule u(g, theta, step, memory, decayed), memory a dict of its own; for
    a loss the values (B,) of (y, t).
    """
    if kind not in _CHECKS:
        raise UsageError(f"the suite checks {', '.join(_CHECKS)}, got {kind!r}; choose one of them")
    entry = registry.find(kind, name)
    suite = Suite(entry.origin)
    specs = examples(entry, arguments)
    for spec in specs:
        suite.suffix = f" [{registry.text(spec)}]" if len(specs) > 1 else ""
        told = "the factory must take these arguments and return a function or a product"
        suite.add("can be made", told, 0, lambda: registry.make(kind, spec).spec != spec)  # noqa: B023
        if suite.outcomes[-1].ok:
            with np.errstate(all="ignore"):
                suite.groups(*_CHECKS[kind], args=(entry, spec, reference))
    return suite.outcomes


def assert_conforms(kind: str, name: str, **options: Any) -> list[Outcome]:
    """check, for a test: AssertionError with the lines that failed."""
    outcomes = check(kind, name, **options)
    failed = [str(each) for each in outcomes if not each.ok]
    assert not failed, f"{kind} {name}:\n" + "\n".join(failed)
    return outcomes


def check_module(plugin: str | Path | ModuleType) -> dict[str, list[Outcome]]:
    """Checks everything that a file, a module's name or a module registers: {"layer mine":
    outcomes}.
    """
    return {f"{e.kind} {e.name}": check(e.kind, e.name) for e in registered_by(plugin)}


def registered_by(plugin: str | Path | ModuleType) -> list[Entry]:
    """What a file, a module's name or a module registers; UsageError where that is nothing."""
    if isinstance(plugin, ModuleType):
        file = plugin.__file__
    else:
        registry.load_plugin(plugin)
        file = sys.modules[str(plugin)].__file__ if str(plugin) in sys.modules else str(plugin)
    path = Path(file or "").expanduser().resolve()
    inside = path.parent if path.name == "__init__.py" else path
    found = [
        entry
        for entry in registry.entries()
        if any(
            Path(file).resolve().is_relative_to(inside)
            for file in (entry.origin, entry.registrar or entry.origin)
        )
    ]
    if not found:
        what = ", ".join(_CHECKS)
        raise UsageError(
            f"a plugin must register something to check ({what}), {path} does not; "
            f"decorate a function"
        )
    return found


_LAYER = (check_gradients, ownership, modes, single_precision, rows)


_CHECKS: dict[str, tuple[Callable[..., None], ...]] = {
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
