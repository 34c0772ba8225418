"""The sources of plugins and of what they import, as they are kept with every run."""

import ast
import hashlib
import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Collection, Iterator
from itertools import accumulate
from pathlib import Path

from harness.registry import factories, interactive
from harness.registry.known import Entry, entries


def sources(names: Collection[str] | None = None) -> dict[str, bytes]:
    """The source of every file or notebook cell, but our own, that has registered something:
    {"mine.py": bytes}.

    names: only of those that have registered one of these. With the modules that these import and
    that belong to no installed package, under the paths by which they are imported: {"helper.py":
    ..., "tools/maths.py": ...}.
    """
    home, found, seen = Path(__file__).resolve().parents[1], dict[str, bytes](), set()
    # Sources whose imports are looked at, and the packages they are in
    imported: list[tuple[bytes, str]] = []
    reached: set[str] = set()  # modules that something without a file takes things from
    wanted = None if names is None else set(names)
    theirs = [
        e
        for e in entries()
        if not Path(e.origin).resolve().is_relative_to(home) or e.registrar != e.origin
    ]

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
    # A source may name another plugin, as make("activation", "mine") does
    while before != len(seen):
        before = len(seen)
        for entry in theirs:
            if wanted is None or entry.name in wanted:
                keep(entry.origin, _module_of(entry))
                keep(entry.registrar or entry.origin, entry.module)
                if interactive.is_loose(entry.origin, entry.module):
                    reached |= interactive.modules(entry.factory)
        if wanted is None:
            break
    todo = [
        module for module in sorted(reached) if getattr(sys.modules.get(module), "__file__", None)
    ]
    for source, package in [("".join(f"import {each}\n" for each in todo).encode(), ""), *imported]:
        _keep_imports(source, package, found, seen)
    return found


def _module_of(entry: Entry) -> str:
    """The module in which a factory is written: that in which it was registered, unless that is
    another file's.
    """
    own = getattr(factories.function_of(entry.factory), "__module__", None)
    return own if own and entry.origin != entry.registrar else entry.module


def _named_in(source: bytes, theirs: list[Entry]) -> set[str]:
    """Names of these entries that stand in a source as texts."""
    try:
        nodes = ast.walk(ast.parse(source))
        texts = {
            node.value
            for node in nodes
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
    except (SyntaxError, ValueError):
        # A notebook's cell may hold more than Python; it may name all
        return {entry.name for entry in theirs}
    words = {word for each in texts for word in re.findall(r"\w+", each)}
    return {entry.name for entry in theirs if entry.name in words}


def _keep_imports(source: bytes, package: str, found: dict[str, bytes], seen: set[Path]) -> None:
    """Adds what a source imports, and what that imports, as far as it belongs to the user."""
    home = Path(__file__).resolve().parents[1]
    for module in _imports(source, package):
        path = Path(sys.modules[module].__file__ or "").resolve()
        if path in seen or path.is_relative_to(home) or not _own(path):
            continue
        seen.add(path)
        name = module.replace(".", "/") + ("/__init__.py" if path.name == "__init__.py" else ".py")
        found[name] = path.read_bytes()
        _keep_imports(found[name], sys.modules[module].__package__ or "", found, seen)


def loose(names: Collection[str] | None = None) -> list[Entry]:
    """The entries (of these names) that were defined in the main module, but in no file: in a
    notebook, at a prompt.
    """
    return [
        e
        for e in entries()
        if interactive.is_loose(e.origin, e.module) and (names is None or e.name in names)
    ]


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
        names = (
            [each.name for each in node.names]
            if isinstance(node, ast.Import | ast.ImportFrom)
            else []
        )
        if isinstance(node, ast.ImportFrom):
            given = "." * node.level + (node.module or "")
            base = importlib.util.resolve_name(given, package) if package or not node.level else ""
            names = [base, *(f"{base}.{each}" for each in names)]
        for name in names:
            for module in accumulate(name.split("."), "{}.{}".format):
                if getattr(sys.modules.get(module), "__file__", None):
                    yield module
