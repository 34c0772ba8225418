"""Plugins that lie in no file, on their way to workers.

They are what a notebook or a prompt has defined, as it is now.

A worker loads files and modules by itself. What the main module has defined is sent: the factories
by value, with what they name, and the text of the cells they were written in, which the record of a
trial keeps.
"""

import hashlib
import linecache
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

from harness import registry
from harness.boundary import foreign
from harness.errors import UsageError, in_words
from harness.registry import interactive

LARGEST = 50_000_000  # bytes, since they travel with each job
_WAY_OUT = "put it into a .py file and load that with plugins=['mine.py']"
_received: dict[str, Any] = {"digest": "", "entries": []}  # in a worker


class Defined(NamedTuple):
    """What the main module has defined.

    Attributes
    ----------
    content : bytes
        All that can travel, packed.
    held : dict of str
        By its name, why something cannot.
    """

    content: bytes = b""
    held: dict[str, str] = {}  # noqa: RUF012  nobody writes it

    def refuse(self, names: frozenset[str]) -> None:
        """UsageError where one of these names cannot travel."""
        for name in sorted(names & self.held.keys()):
            raise UsageError(self.held[name])


def take(script: Path | None) -> Defined:
    """What a worker needs to register what the main module has defined.

    What the script defines is left out, because workers load it as a plugin.

    Parameters
    ----------
    script : Path or None
        The script that defines the study.
    """
    from distributed.protocol.pickle import dumps

    loaded = [*registry.plugins(), *([str(script)] if script else [])]
    entries: list[registry.Entry] = []
    held: dict[str, str] = {}
    for entry in registry.entries():
        if entry.module != "__main__" or os.path.realpath(entry.registrar) in loaded:
            continue
        if problem := _cannot_travel(entry):
            held[entry.name] = problem
        else:
            entries.append(entry)
    if not entries:
        return Defined(held=held)
    texts = {}
    for entry in entries:
        texts[entry.origin] = interactive.text_of(entry.origin).decode("utf-8", "replace")
    return Defined(dumps((sys.version_info[:2], texts, dumps(entries))), held)


def _cannot_travel(entry: registry.Entry) -> str:
    """Why an entry cannot be sent, in a sentence; "" where it can."""
    from distributed.protocol.pickle import dumps

    name = f"the {entry.kind.replace('_', ' ')} {entry.name!r} of {entry.registrar}"
    try:
        with foreign(name):
            size = len(dumps(entry))
    except Exception as error:
        return f"{name} must travel to the workers, but {in_words(error)}; {_WAY_OUT}"
    if size > LARGEST:
        return (
            f"{name} must travel to the workers with each job, but it names {size / 1e6:.0f} MB of "
            "data; put the data into a file, or use one worker"
        )
    return ""


def modules() -> list[str]:
    """The modules, not our own, that have registered something.

    They are what a session without a script has imported.
    """
    home = Path(registry.__file__).parents[1]
    names: dict[str, None] = {}
    for entry in registry.entries():
        if not Path(entry.registrar).is_relative_to(home):
            names[entry.module] = None
    return [name for name in names if name != "__main__" and not name.startswith("harness_plugin_")]


def receive(content: bytes) -> str:
    """Registers what `take` has sent, in place of what came before.

    Returns
    -------
    str
        Why that cannot be done, as the end of a sentence; "" where it is done.
    """
    from distributed.protocol.pickle import loads

    digest = hashlib.sha256(content).hexdigest() if content else ""
    if digest == _received["digest"]:
        return ""
    registry.withdraw(_received["entries"])
    _received.update(digest="", entries=[])
    if not content:
        return ""
    version, texts, packed = loads(content)
    if version != sys.version_info[:2]:
        there = ".".join(map(str, version))
        here = ".".join(map(str, sys.version_info[:2]))
        return (
            f"has Python {here}, but what the driver sends was made by Python {there}; {_WAY_OUT}"
        )
    for file, text in texts.items():
        if not os.path.isfile(file):
            linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    try:
        with foreign("what the driver sends"):
            entries = loads(packed)
            registry.adopt(entries)
    except Exception as error:
        return f"cannot use what the driver's session has defined: {in_words(error)}; {_WAY_OUT}"
    _received.update(digest=digest, entries=entries)
    return ""
