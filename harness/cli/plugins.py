"""harness list, show, new and check: what is registered, and plugins of one's own."""

import sysconfig
import textwrap
import time
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import harness
from harness import registry
from harness.cli.common import command_line, load_plugins, look_here, plural, similar_names, writing
from harness.cli.group import PLUGIN, WIDTH, declare
from harness.cli.terminal import echo
from harness.errors import UsageError

if TYPE_CHECKING:
    pass


@declare(
    *PLUGIN, name="list", short="List what can be used by name.", example="harness list activation"
)
@click.argument("kind", required=False)
def list_plugins(kind: str | None, plugins: tuple[str, ...]) -> None:
    """List what can be used by name: activations, layers, update rules, data sets and all else that
    is registered.

    KIND is one of activation, layer, update_rule, loss, initializer, schedule, metric, recorder,
    dataset. Each line shows the name with its arguments and their defaults, what it does, and where
    it comes from.
    """
    load_plugins(plugins)
    kind = None if kind is None else _kind(kind)
    groups: dict[str, list[registry.Entry]] = {}
    for entry in registry.entries(kind):
        groups.setdefault(entry.kind, []).append(entry)
    for group, entries in groups.items():
        echo(f"{plural(group)}\n" + "\n".join(_rows_of(entries)) + "\n")


def _kind(text: str) -> str:
    """A kind of plugin as people write it: update-rule, losses."""
    known = {word: k for k in registry.KINDS for word in (k, plural(k).replace(" ", "_"))}
    wanted = text.replace("-", "_").replace(" ", "_")
    if wanted not in known:
        raise UsageError(
            f"unknown kind of plugin {text!r}; {registry.suggest(text, registry.KINDS)}"
        )
    return known[wanted]


def _rows_of(entries: list[registry.Entry]) -> Iterator[str]:
    """Signature, summary and origin of each entry in columns, long texts folded."""
    origins = [_origin(entry) for entry in entries]
    right = max(map(len, origins))
    left = min(max(len(entry.signature) for entry in entries), 36)
    middle = WIDTH - 6 - left - right
    for entry, origin in zip(entries, origins, strict=True):
        signature = textwrap.wrap(entry.signature, left, subsequent_indent="  ")
        summary = textwrap.wrap(entry.summary, middle)
        for a, b, c in zip_longest(signature, summary, [origin], fillvalue=""):
            yield f"  {a:<{left}}  {b:<{middle}}  {c}".rstrip()


def _origin(entry: registry.Entry) -> str:
    text = _place(entry)
    return text if len(text) <= 24 else f"...{text[-21:]}"


def _place(entry: registry.Entry) -> str:
    """Where an entry comes from: its file as seen from here, its file in an installed package, or
    built-in.
    """
    path = Path(entry.origin)
    if path.is_relative_to(Path(harness.__file__).parent):
        return "built-in"
    for above in (Path(sysconfig.get_path("purelib")), Path.cwd()):
        if path.is_relative_to(above):
            return str(path.relative_to(above))
    return str(path)


@declare(
    (
        "--out",
        "FILE.png",
        "Where to draw to; .svg and .pdf too.  [default: NAME.png in this folder]",
    ),
    ("--kind", "KIND", "Which one, if there are several of that name: initializer, schedule, ..."),
    *PLUGIN,
    short="Explain one name, and draw it.",
    example="harness show 'leaky_relu(slope=0.1)' --out leaky.png",
)
@click.argument("name")
def show(name: str, out: str | None, kind: str | None, plugins: tuple[str, ...]) -> None:
    """Explain what NAME stands for, and draw it.

    Of an activation value and slope are drawn; of an update rule its path down a bowl, w1 flat and
    w2 ten times as steep, for 1000 steps; of a schedule its curve; of an initializer its histogram.
    NAME may have arguments.
    """
    from harness.pictures.plugins import draw, drawable
    from harness.testing.samples import examples

    load_plugins(plugins)
    found = [entry for entry in _entries(name) if kind is None or entry.kind == _kind(kind)]
    if not found:
        raise UsageError(f"there is no {kind or 'plugin'} {name!r}; {similar_names(name)}")
    if len(found) > 1:
        kinds = ", ".join(entry.kind.replace("_", " ") for entry in found)
        raise UsageError(
            f"there are several plugins called {found[0].name!r} ({kinds}); say which with --kind"
        )
    (entry,) = found
    given = _given(entry, name)
    drawn = drawable(entry.kind)
    if out is not None and not drawn:
        raise UsageError(
            f"--out is for what can be drawn, but {entry.name!r} is a "
            f"{entry.kind.replace('_', ' ')}"
        )
    echo(
        f"{_head(entry, given)}\n{entry.kind.replace('_', ' ')}, {_place(entry)}\n\n{entry.doc}".rstrip()
    )
    if drawn:
        spec, file = examples(entry, given)[0], out or f"{entry.name}.png"
        with writing(file):
            echo(f"\n{registry.text(spec)} is drawn in {draw(entry.kind, spec, file)}")


def _entries(text: str) -> list[registry.Entry]:
    """All that is registered under the name of a spec."""
    name = text.partition("(")[0].strip()
    return [entry for entry in registry.entries() if entry.name == name]


def _given(entry: registry.Entry, text: str) -> dict[str, Any]:
    """The arguments that a spec gives; a bare name gives none, not even those that are needed."""
    return (
        {k: v for k, v in registry.canonical(entry.kind, text).items() if k != "name"}
        if "(" in text
        else {}
    )


def _head(entry: registry.Entry, given: dict[str, Any]) -> str:
    """An entry's signature; with the arguments that are given, and the defaults of the others,
    where there are some.
    """
    if not given:
        return entry.signature
    return registry.text({"name": entry.name, **registry.arguments(entry, given)})


@declare(
    ("--dir folder", "FOLDER", "Where to put it.  [default: this folder]"),
    short="Write a plugin to begin with.",
    example="harness new activation ripple",
)
@click.argument("kind")
@click.argument("name")
def new(kind: str, name: str, folder: str | None) -> None:
    """Write NAME.py, a commented plugin that works as it stands, to be changed into your own.

    KIND is one of activation, layer, update_rule, loss, dataset. A file that is there is never
    overwritten.
    """
    from harness.cli.templates import write
    from harness.pictures.plugins import drawable

    path = write(_kind(kind), name, folder or ".")
    echo(f"{path} works as it stands; change it, then:")
    echo(f"  {command_line('check', str(path))}")
    if drawable(_kind(kind)):
        echo(f"  {command_line('show', name, '--plugin', str(path))}")


@declare(
    *PLUGIN,
    short="Check plugins: gradients, dtypes, who writes what, populations, ...",
    example="harness check my_plugins.py",
)
@click.argument("what")
def check(what: str, plugins: tuple[str, ...]) -> None:
    """Check all that a file or a module registers, or what is registered under a name.

    WHAT is a .py file, a package.module, or a name from `harness list`, with arguments where the
    defaults will not do: 'leaky_relu(slope=0.5)'. A line for each check: what was measured, and how
    much is allowed. The exit code is 1 if a check has failed.
    """
    from harness import testing

    load_plugins(plugins)
    checks = failed = 0
    unchecked: list[UsageError] = []
    begun = time.perf_counter()
    for entry, given in _to_check(what):
        echo(f"{entry.kind.replace('_', ' ')} {_head(entry, given)}")
        try:
            outcomes = testing.check(entry.kind, entry.name, **given)
        except UsageError as error:
            # An argument of which it knows no example; the others are checked all the same
            unchecked.append(error)
            echo("  not checked")
            continue
        for outcome in outcomes:
            echo(textwrap.fill(str(outcome), WIDTH, initial_indent="  ", subsequent_indent=" " * 8))
            checks, failed = checks + 1, failed + (not outcome.ok)
    result = f"{failed} of {checks} checks failed" if failed else f"all {checks} checks passed"
    echo(f"{result}, {time.perf_counter() - begun:.1f} s")
    if unchecked:
        raise unchecked[0]
    if failed:
        raise click.exceptions.Exit(1)


def _to_check(what: str) -> list[tuple[registry.Entry, dict[str, Any]]]:
    """What a file, a module or a name stands for, and the arguments that are given with a name."""
    from importlib.util import find_spec

    from harness.testing.conformance import registered_by

    name = what.partition("(")[0].strip()
    if name.isidentifier():
        if found := _entries(what):
            return [(entry, _given(entry, what)) for entry in found]
        look_here()
        if name != what or find_spec(name) is None:
            raise UsageError(f"there is no plugin, file or module {what!r}; {similar_names(what)}")
    load_plugins((what,))
    return [(entry, {}) for entry in registered_by(what)]
