"""The sources of plugins and of what they import, as they are kept with every run."""

import ast
import hashlib
import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Collection, Iterator
from functools import cache, lru_cache
from itertools import accumulate
from pathlib import Path

from harness.registry import factories, interactive
from harness.registry.known import Entry, entries

HOME = Path(__file__).resolve().parents[1]  # the folder of the harness itself


def sources(names: Collection[str] | None = None) -> dict[str, bytes]:
    """The source of every file or notebook cell, but our own, that has registered something.

    Parameters
    ----------
    names
        Only of those that have registered one of these names, and of plugins that they name
        themselves. None for all.

    Returns
    -------
    Sources by file name, {"mine.py": bytes}. With them come the modules that they import, as far as
    these belong to no installed package: {"helper.py": ..., "tools/maths.py": ...}.
    """
    collection = _Collection(names)
    collection.add_plugins()
    collection.add_imports()
    return collection.files


def loose(names: Collection[str] | None = None) -> list[Entry]:
    """The entries that were defined in the main module, but in no file: in a notebook, at a prompt.

    Parameters
    ----------
    names
        Only entries of these names; None for all.
    """

    def is_wanted(entry: Entry) -> bool:
        is_named = names is None or entry.name in names
        return is_named and interactive.is_loose(entry.origin, entry.module)

    return entries(where=is_wanted)


class _Collection:
    """Sources that are being collected.

    Attributes
    ----------
    files
        What has been collected, by the file names under which it is kept.
    """

    def __init__(self, names: Collection[str] | None) -> None:
        self.files: dict[str, bytes] = {}
        self._wanted = None if names is None else set(names)
        self._theirs = [entry for entry in entries() if not _is_ours(entry)]
        self._seen: set[Path] = set()
        # Sources whose imports are looked at, and the packages that they are in
        self._importing: list[tuple[bytes, str]] = []
        # Modules that something without a file takes things from
        self._reached: set[str] = set()

    def add_plugins(self) -> None:
        """Adds the files in which the plugins are written and in which they are registered."""
        before = None
        # A source may name another plugin, as make("activation", "mine") does, and that a third
        # one. So this goes on until nothing new has come.
        while before != len(self._seen):
            before = len(self._seen)
            for entry in self._theirs:
                if self._wanted is not None and entry.name not in self._wanted:
                    continue
                self._add(entry.origin, _module_of(entry))
                self._add(entry.registrar or entry.origin, entry.module)
                if interactive.is_loose(entry.origin, entry.module):
                    self._reached |= interactive.modules(entry.factory)

    def add_imports(self) -> None:
        """Adds the modules that the sources so far import, as far as they belong to the user."""
        modules = [module for module in sorted(self._reached) if _file_of(module)]
        self._follow("".join(f"import {module}\n" for module in modules).encode(), "")
        for source, package in self._importing:
            self._follow(source, package)

    def _add(self, file: str, module: str) -> None:
        """Adds the source of a plugin, unless it is ours or there already."""
        path = Path(file).resolve()
        if path in self._seen or path.is_relative_to(HOME):
            return
        self._seen.add(path)
        source = interactive.text_of(file)
        if not source:
            return
        name = module
        if module == "__main__" or module.startswith("harness_plugin_"):
            name = path.stem.strip("<>")
        if f"{name}.py" in self.files:
            name += f"-{hashlib.sha256(source).hexdigest()[:8]}"
        self.files[f"{name}.py"] = source
        self._importing.append((source, _package_of(module)))
        if self._wanted is not None:
            self._wanted |= _named_in(source, self._theirs)

    def _follow(self, source: bytes, package: str) -> None:
        """Adds the user's modules that a source imports, and those that these import."""
        for module in _imports(source, package):
            path = Path(_file_of(module)).resolve()
            if path in self._seen or path.is_relative_to(HOME) or not _is_users(path):
                continue
            self._seen.add(path)
            name = module.replace(".", "/")
            if path.name == "__init__.py":
                name += "/__init__"
            self.files[f"{name}.py"] = path.read_bytes()
            self._follow(self.files[f"{name}.py"], _package_of(module))


def _is_ours(entry: Entry) -> bool:
    """Whether an entry comes with the harness."""
    # A plugin may register a function of ours under a name of its own.
    return entry.registrar == entry.origin and _lies_in_ours(entry.origin)


@cache
def _lies_in_ours(file: str) -> bool:
    """Whether a file is one of the harness."""
    return Path(file).resolve().is_relative_to(HOME)


def _is_users(path: Path) -> bool:
    """Whether a module's file belongs to the user: to no installed package and not to Python."""
    if path.suffix != ".py" or not path.is_file():
        return False
    if {"site-packages", "dist-packages"} & set(path.parts):
        return False
    return not path.is_relative_to(Path(os.__file__).resolve().parent)


def _module_of(entry: Entry) -> str:
    """The module in which a factory is written.

    It is the one in which the factory was registered, unless it was written in another file.
    """
    own = getattr(factories.function_of(entry.factory), "__module__", None)
    if own and entry.origin != entry.registrar:
        return own
    return entry.module


def _file_of(module: str) -> str:
    """The file of a module that is loaded; "" where it has none or is not loaded."""
    return getattr(sys.modules.get(module), "__file__", None) or ""


def _package_of(module: str) -> str:
    """The package that a loaded module is in; "" where it is in none."""
    return getattr(sys.modules.get(module), "__package__", None) or ""


def _named_in(source: bytes, theirs: list[Entry]) -> set[str]:
    """The names of these entries that stand in a source as texts."""
    names = {entry.name for entry in theirs}
    words = _words_of(source)
    # A notebook's cell may hold more than Python, so it may name all of them.
    return names if words is None else names & words


def _imports(source: bytes, package: str) -> Iterator[str]:
    """The loaded modules that a source imports, packages before what is in them."""
    return filter(_file_of, _imported_modules(source, package))


# A session asks for the same sources at each of its sweeps, and to parse them takes longest.
@lru_cache(128)
def _words_of(source: bytes) -> frozenset[str] | None:
    """The words in the texts of a source; None where it is no Python."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return None
    words: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            words.update(re.findall(r"\w+", node.value))
    return frozenset(words)


@lru_cache(128)
def _imported_modules(source: bytes, package: str) -> tuple[str, ...]:
    """The modules that a source may import, each once, packages before what is in them."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # a notebook's cell may hold more than Python
        return ()
    modules: dict[str, None] = {}
    for node in ast.walk(tree):
        for name in _imported_names(node, package):
            # "tools.maths" also loads "tools".
            modules |= dict.fromkeys(accumulate(name.split("."), "{}.{}".format))
    return tuple(modules)


def _imported_names(node: ast.AST, package: str) -> list[str]:
    """The names that a statement may import as modules; empty for any other node."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = ""
    if package or not node.level:
        base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
    # What is imported from a package may be a module within it.
    return [base, *(f"{base}.{alias.name}" for alias in node.names)]
