"""Plugins that lie in no file, on their way to workers: what a notebook or a prompt has defined, as
it is now.

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
    """What the main module has defined: as it travels, and by its name why something of it
    cannot.
    """

    content: bytes = b""
    held: dict[str, str] = {}  # noqa: RUF012  nobody writes it

    def refuse(self, names: frozenset[str]) -> None:
        """UsageError where one of these names cannot travel."""
        for name in sorted(names & self.held.keys()):
            raise UsageError(self.held[name])


def take(script: Path | None) -> Defined:
    """What a worker needs to register what the main module has defined, other than in the
    script.
    """
    from distributed.protocol.pickle import dumps

    loaded = [*registry.plugins(), *([str(script)] if script else [])]
    theirs = [
        e
        for e in registry.entries()
        if e.module == "__main__" and os.path.realpath(e.registrar) not in loaded
    ]
    entries: list[registry.Entry] = []
    held: dict[str, str] = {}
    for entry in theirs:
        what = f"the {entry.kind.replace('_', ' ')} {entry.name!r} of {entry.registrar}"
        try:
            with foreign(what):
                size = len(dumps(entry))
        except Exception as error:
            held[entry.name] = (
                f"{what} must travel to the workers, but {in_words(error)}; {_WAY_OUT}"
            )
            continue
        if size > LARGEST:
            held[entry.name] = (
                f"{what} must travel to the workers with each job, but it names {size / 1e6:.0f} "
                f"MB of data; "
                "put the data into a file, or use one worker"
            )
        else:
            entries.append(entry)
    if not entries:
        return Defined(held=held)
    texts = {e.origin: interactive.text_of(e.origin).decode("utf-8", "replace") for e in entries}
    return Defined(dumps((sys.version_info[:2], texts, dumps(entries))), held)


def modules() -> list[str]:
    """The modules, not our own, that have registered something: what a session without a script has
    imported.
    """
    home = Path(registry.__file__).parent
    found = dict.fromkeys(
        e.module for e in registry.entries() if not Path(e.registrar).is_relative_to(home)
    )
    return [name for name in found if name != "__main__" and not name.startswith("harness_plugin_")]


def receive(content: bytes) -> str:
    """Registers what `take` has sent, in place of what came before; why that cannot be done, or
    nothing.
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
        there, here = (".".join(map(str, each)) for each in (version, sys.version_info[:2]))
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
