"""The sources of plugins, as they are kept with every run that uses them."""

import hashlib
import json
import sys

from harness import registry
from harness.escapes import printable


def plugin_files(before: dict[str, str]) -> tuple[dict[str, bytes], dict[str, str]]:
    """The sources of all plugins as artifacts, and the tag that names them.

    Where a source has changed since the last time both are kept, and a line on stderr says so.

    Parameters
    ----------
    before : dict
        The tags that the run has had so far.

    Returns
    -------
    files : dict
        The sources by path, "plugins/mine.py".
    tags : dict
        `harness.plugins`: JSON of name -> SHA-256; nothing where there are no plugins.
    """
    known: dict[str, str] = json.loads(before.get("harness.plugins", "{}"))
    files: dict[str, bytes] = {}
    for name, source in registry.sources().items():
        digest = hashlib.sha256(source).hexdigest()
        kept_as = name
        if known.get(name, digest) != digest:
            kept_as = f"{name[:-3]}-{digest[:8]}.py"
            if kept_as not in known:
                _say_changed(name, kept_as)
        known[kept_as] = digest
        files[f"plugins/{kept_as}"] = source
    tags = {"harness.plugins": json.dumps(known)} if known else {}
    return files, tags


def _say_changed(name: str, kept_as: str) -> None:
    sentence = (
        f"the plugin {name} has changed since this began: what has ended keeps its results; "
        f"the new source is kept as plugins/{kept_as}"
    )
    print(printable(sentence), file=sys.stderr)
