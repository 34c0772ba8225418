"""The lines of Optuna's journal: ours carry a checksum, in a key that Optuna and optuna-dashboard
pass over.

A line of ours ends in `,"harness":"1:0123456789abcdef"}`: the version of the format, and the first
16 digits of a SHA-256 over the checksum of our line before it and the rest of the line. So a line
that is lost, doubled or moved is noticed as well as one that is changed. Lines without that key are
somebody else's, who may append to the file.
"""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from harness.storage.files import append
from harness.storage.formats import FORMATS, Damaged, OtherVersion, upgraded

_OURS = re.compile(rb'(\{.+),"harness":"(\d{1,9}):([0-9a-f]{16})"\}\n')
_START = "journal"


class Lines:
    """A journal as it was read, and what is appended to it.

    Attributes
    ----------
    entries
        Its lines as Optuna reads them.
    whole
        The bytes of its whole lines; what is behind them in the file is torn.
    """

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self.whole = 0
        self._last = _START  # the checksum of our last line

    def append(self, file: Path, logs: list[dict[str, Any]]) -> None:
        """Writes lines of ours to the end of the file: all of them, or DiskError and none."""
        last, lines = self._last, []
        for log in logs:
            body = json.dumps(log, separators=(",", ":"))
            last = _checksum(last, FORMATS["journal"].version, body.encode())
            lines.append(f'{body[:-1]},"harness":"{FORMATS["journal"].version}:{last}"}}\n')
        append(file, "".join(lines))
        self._last = last
        self.entries += map(json.loads, lines)


def read(file: Path) -> Lines:
    """The journal in a file.

    Raises
    ------
    Damaged
        A line is not as it was written; the message says which.
    OtherVersion
        Its lines are of a version that is not read here.
    """
    lines = Lines()
    raw = file.read_bytes().splitlines(keepends=True)
    for number, line in enumerate(raw, 1):
        try:
            entry = _entry(lines, line, file)
        except Damaged as error:
            torn = number == len(raw) and not line.endswith(b"\n")
            if torn:
                break
            raise Damaged(f"line {number} of {len(raw)} is damaged: {error}") from None
        lines.entries.append(entry)
        lines.whole += len(line)
    if lines.entries and lines._last == _START:
        version = FORMATS["journal"].version
        raise OtherVersion(
            f"{file} must have the format 'journal' in version {version}, but no line has one, as "
            f"it was before; "
            "start under another name, or move mlruns/ away and start anew"
        )
    return lines


def _entry(lines: Lines, line: bytes, file: Path) -> dict[str, Any]:
    """A line as Optuna reads it, checked."""
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise Damaged(str(error)) from None
    if not line.endswith(b"\n"):
        raise Damaged("it does not end")
    if not isinstance(entry, dict) or not isinstance(entry.get("op_code"), int):
        raise Damaged("it is not what Optuna writes")
    if "harness" not in entry:
        return entry
    parts = _OURS.fullmatch(line)
    if parts is None:
        raise Damaged("it does not match its checksum")
    version, checksum = int(parts[2]), parts[3].decode()
    if _checksum(lines._last, version, parts[1] + b"}") != checksum:
        raise Damaged("it does not match its checksum, or a line before it is missing")
    lines._last = checksum
    return upgraded("journal", version, entry, file)


def _checksum(last: str, version: int, body: bytes) -> str:
    return hashlib.sha256(f"{last} {version} ".encode() + body).hexdigest()[:16]


def is_torn(file: Path, lines: Lines) -> bool:
    """Whether a file has more than whole lines."""
    return os.path.getsize(file) > lines.whole
