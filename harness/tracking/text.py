"""What libraries say of servers and stores, in a few words."""

import re

from harness.storage.secrets import mask

# The parts that matter in messages of sqlite, of the operating system and of HTTP libraries.
_MATTERS = re.compile(
    r"\(sqlite3\.\w+\) (.+?) [\[(]"
    r"|\[Errno -?\d+\] ([\w ]+)"
    r"|(Read timed out)"
    r"|(too many \d+ error responses)"
    r"|(Remote end closed connection[\w ]*)"
)


def one_line(text: object, limit: int = 300) -> str:
    """Return a text without credentials on one line of at most `limit` characters."""
    line = " ".join(mask(str(text)).split())
    if len(line) <= limit:
        return line
    return line[: limit - 3] + "..."


def core_of(problem: str) -> str:
    """Return the few words that matter in what a library says of a server or of a sqlite file."""
    match = _MATTERS.search(problem)
    if match is None:
        return problem[:160]
    return next(filter(None, match.groups()))
