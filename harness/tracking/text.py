"""What libraries say of servers and stores, in a few words."""

import re

from harness.storage.secrets import mask


def one_line(text: object, limit: int = 300) -> str:
    line = " ".join(mask(str(text)).split())
    return line if len(line) <= limit else line[: limit - 3] + "..."


_MATTERS = (
    r"\(sqlite3\.\w+\) (.+?) [\[(]|\[Errno -?\d+\] ([\w ]+)|(Read timed out)|(too many \d+ error "
    r"responses)"
    r"|(Remote end closed connection[\w ]*)"
)


def core_of(problem: str) -> str:
    """The few words that matter in what an HTTP library says of a server that does not answer, or
    sqlite of a file.
    """
    found = re.search(_MATTERS, problem)
    return next(filter(None, found.groups())) if found else problem[:160]
