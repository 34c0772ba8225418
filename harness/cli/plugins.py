"""harness list, new and check: what is registered, explained, and plugins of one's own."""

import sysconfig
import textwrap
import time
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import click

import harness
from harness import registry
from harness.cli.arguments import load_plugins, look_here
from harness.cli.command import Command, plugin_option, text_option
from harness.cli.hints import command_line
from harness.cli.terminal import WIDTH, echo
from harness.errors import UsageError
from harness.storage.files import on_disk

# The widest that the first and the last column of a list may be
SIGNATURE = 36
ORIGIN = 24


# harness list -------------------------------------------------------------------------------------
@click.command(
    "list",
    cls=Command,
    short_help="List what can be used by name.",
    example="harness list activation",
)
@plugin_option
@click.argument("kind", required=False)
def list_plugins(kind: str | None, plugins: tuple[str, ...]) -> None:
    """List what can be used by name: activations, layers, update rules, data sets and all else that
    is registered.

    KIND is one of activation, layer, update_rule, loss, initializer, schedule, metric, recorder,
    dataset. Each line shows the name with its arguments and their defaults, what it does, and where
    it comes from.
    """
    load_plugins(plugins)
    if kind is not None:
        kind = _kind(kind)
    groups: dict[str, list[registry.Entry]] = {}
    for entry in registry.entries(kind):
        groups.setdefault(entry.kind, []).append(entry)
    for group, entries in groups.items():
        echo(f"{_plural(group)}\n" + "\n".join(_rows_of(entries)) + "\n")


def _plural(kind: str) -> str:
    """The heading of a kind of plugin: "update rules", "losses"."""
    words = _in_words(kind)
    if words.endswith("s"):
        return f"{words}es"
    return f"{words}s"


def _in_words(kind: str) -> str:
    return kind.replace("_", " ")


def _kind(text: str) -> str:
    """A kind of plugin as people write it, such as update-rule or losses."""
    kinds: dict[str, str] = {}
    for kind in registry.KINDS:
        kinds[kind] = kind
        kinds[_plural(kind).replace(" ", "_")] = kind
    wanted = text.replace("-", "_").replace(" ", "_")
    if wanted not in kinds:
        raise UsageError(
            f"unknown kind of plugin {text!r}; {registry.suggest(text, registry.KINDS)}"
        )
    return kinds[wanted]


def _rows_of(entries: list[registry.Entry]) -> Iterator[str]:
    """Signature, summary and origin of each entry in columns, long texts folded."""
    origins = [_origin(entry) for entry in entries]
    right = max(map(len, origins))
    left = min(max(len(entry.signature) for entry in entries), SIGNATURE)
    middle = WIDTH - 6 - left - right  # two blanks before each column
    for entry, origin in zip(entries, origins, strict=True):
        signatures = textwrap.wrap(entry.signature, left, subsequent_indent="  ")
        summaries = textwrap.wrap(entry.summary, middle)
        for signature, summary, place in zip_longest(signatures, summaries, [origin], fillvalue=""):
            yield f"  {signature:<{left}}  {summary:<{middle}}  {place}".rstrip()


def _origin(entry: registry.Entry) -> str:
    """Where an entry comes from; of a long path its end."""
    text = _place(entry)
    if len(text) <= ORIGIN:
        return text
    return f"...{text[3 - ORIGIN :]}"


def _place(entry: registry.Entry) -> str:
    """Where an entry comes from: "built-in", or its file.

    The file is given as seen from here, or from where packages are installed.
    """
    path = Path(entry.origin)
    if path.is_relative_to(Path(harness.__file__).parent):
        return "built-in"
    for folder in (Path(sysconfig.get_path("purelib")), Path.cwd()):
        if path.is_relative_to(folder):
            return str(path.relative_to(folder))
    return str(path)


# harness show -------------------------------------------------------------------------------------
def explain(name: str, out: str | None, kind: str | None) -> Path | None:
    """Prints what a name stands for, and draws it; see `harness show`.

    Returns
    -------
    Path or None
        The file; None where there is nothing to draw.
    """
    from harness.pictures.plugins import draw, drawable
    from harness.testing.samples import examples

    entry = _only_entry(name, kind)
    given = _given(entry, name)
    can_be_drawn = drawable(entry.kind)
    if out is not None and not can_be_drawn:
        raise UsageError(
            f"--out is for what can be drawn, but {entry.name!r} is a {_in_words(entry.kind)}"
        )
    about = f"{_in_words(entry.kind)}, {_place(entry)}"
    echo(f"{_head(entry, given)}\n{about}\n\n{entry.doc}".rstrip())
    spec = examples(entry, given)[0]
    if computed := _computed(entry, spec):
        echo("\nas it is computed:\n" + "\n".join(f"    {line}" for line in computed))
    if not can_be_drawn:
        return None
    file = out or f"{entry.name}.png"
    with on_disk(file):
        path = draw(entry.kind, spec, file)
    echo(f"\n{registry.text(spec)} is drawn in {path}")
    return path


def _computed(entry: registry.Entry, spec: registry.Spec) -> list[str]:
    """The formulas that run for an activation or an update rule, where it consists of some."""
    if entry.kind == "update_rule":
        formula = getattr(registry.make("update_rule", spec), "formula", None)
        return [] if formula is None else formula.words()
    if entry.kind == "activation":
        value, _ = registry.make("activation", spec)
        words = getattr(value, "words", None)
        return [] if words is None else words()
    return []


def is_registered(text: str) -> bool:
    """Whether something is registered under the name of a spec."""
    return bool(_entries(text))


def unknown_name(name: str, kind: str | None) -> str:
    """Says that nothing is registered under a name, and which one may be meant."""
    return f"there is no {kind or 'plugin'} {name!r}; {_similar_names(name)}"


def _only_entry(name: str, kind: str | None) -> registry.Entry:
    """The entry of this name, and of this kind where one is given."""
    entries = [entry for entry in _entries(name) if kind is None or entry.kind == _kind(kind)]
    if not entries:
        raise UsageError(unknown_name(name, kind))
    if len(entries) > 1:
        kinds = ", ".join(_in_words(entry.kind) for entry in entries)
        raise UsageError(
            f"there are several plugins called {entries[0].name!r} ({kinds}); say which with --kind"
        )
    return entries[0]


def _entries(text: str) -> list[registry.Entry]:
    """All that is registered under the name of a spec."""
    name = text.partition("(")[0].strip()
    return [entry for entry in registry.entries() if entry.name == name]


def _similar_names(name: str) -> str:
    """What to do about a name that nothing has."""
    names = sorted({entry.name for entry in registry.entries()})
    near = registry.suggest(name.partition("(")[0], names)
    if near.startswith("did you mean"):
        return near
    return "harness list shows what there is"


def _given(entry: registry.Entry, text: str) -> dict[str, Any]:
    """The arguments that a spec gives; a bare name gives none, not even those that are needed."""
    if "(" not in text:
        return {}
    spec = registry.canonical(entry.kind, text)
    return {key: value for key, value in spec.items() if key != "name"}


def _head(entry: registry.Entry, given: dict[str, Any]) -> str:
    """An entry's signature, or its spec with all arguments where some are given."""
    if not given:
        return entry.signature
    return registry.text({"name": entry.name, **registry.arguments(entry, given)})


# harness new --------------------------------------------------------------------------------------
@click.command(
    cls=Command,
    short_help="Write a plugin to begin with.",
    example="harness new activation ripple",
)
@text_option("--dir", "folder", metavar="FOLDER", help="Where to put it.  [default: this folder]")
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


# harness check ------------------------------------------------------------------------------------
@click.command(
    cls=Command,
    short_help="Check plugins: gradients, dtypes, who writes what, populations, ...",
    example="harness check my_plugins.py",
)
@plugin_option
@click.argument("what")
def check(what: str, plugins: tuple[str, ...]) -> None:
    """Check all that a file or a module registers, or what is registered under a name.

    WHAT is a .py file, a package.module, or a name from `harness list`, with arguments where the
    defaults will not do: 'leaky_relu(slope=0.5)'. A line for each check: what was measured, and how
    much is allowed. The exit code is 1 if a check has failed.
    """
    from harness import testing

    load_plugins(plugins)
    checks = 0
    failed = 0
    unchecked: list[UsageError] = []
    begun = time.perf_counter()
    for entry, given in _to_check(what):
        echo(f"{_in_words(entry.kind)} {_head(entry, given)}")
        try:
            outcomes = testing.check(entry.kind, entry.name, **given)
        except UsageError as error:
            # No example is known of one of its arguments. The others are checked all the same.
            unchecked.append(error)
            echo("  not checked")
            continue
        for outcome in outcomes:
            echo(textwrap.fill(str(outcome), WIDTH, initial_indent="  ", subsequent_indent=" " * 8))
        checks += len(outcomes)
        failed += sum(not outcome.ok for outcome in outcomes)
    result = f"all {checks} checks passed"
    if failed:
        result = f"{failed} of {checks} checks failed"
    echo(f"{result}, {time.perf_counter() - begun:.1f} s")
    if unchecked:
        raise unchecked[0]
    if failed:
        raise click.exceptions.Exit(1)


class _ToCheck(NamedTuple):
    """An entry, and the arguments that are given with its name."""

    entry: registry.Entry
    given: dict[str, Any]


def _to_check(what: str) -> list[_ToCheck]:
    """What a name, a file or a module stands for; of the last two all that they register."""
    from importlib.util import find_spec

    from harness.testing.conformance import registered_by

    name = what.partition("(")[0].strip()
    if name.isidentifier():
        entries = _entries(what)
        if entries:
            return [_ToCheck(entry, _given(entry, what)) for entry in entries]
        look_here()
        if name != what or find_spec(name) is None:
            raise UsageError(f"there is no plugin, file or module {what!r}; {_similar_names(what)}")
    load_plugins((what,))
    return [_ToCheck(entry, {}) for entry in registered_by(what)]
