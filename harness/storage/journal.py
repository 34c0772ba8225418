"""Optuna's journal, in which our lines carry a checksum.

It stands in a key that Optuna and optuna-dashboard pass over. A line of ours ends in
`,"harness":"1:0123456789abcdef"}`: the version of the format, and the first 16 digits of a SHA-256
over the checksum of our line before it and the rest of the line. So a line that is lost, doubled or
moved is noticed as well as one that is changed. Lines without that key are somebody else's, who may
append to the file.
"""

import json
import re
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any

from harness.storage.files import append, truncate
from harness.storage.findings import Finding
from harness.storage.formats import FORMATS, Damaged, OtherVersion, sha256, upgraded

_OURS = re.compile(
    rb'(?P<body>\{.+),"harness":"(?P<version>\d{1,9}):(?P<checksum>[0-9a-f]{16})"\}\n'
)
# What stands for the checksum before our first line.
_START = "journal"

# What Optuna calls the operations that create a trial and set its state, and two of those states.
_CREATE_TRIAL = 4
_SET_STATE = 6
_COMPLETE = 1
_PRUNED = 2

_NAMED_TRIALS = 5  # trials that a sentence names


class Lines:
    """A journal as it was read, and what is appended to it.

    Attributes
    ----------
    entries : list of dict
        Its lines as Optuna reads them.
    whole : int
        The bytes of its whole lines; what is behind them in the file is torn.
    checksum : str
        That of our last line, which the next one continues.
    """

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self.whole = 0
        self.checksum = _START

    def append(self, file: Path, logs: list[dict[str, Any]]) -> None:
        """Writes lines of ours to the end of the file: all of them, or DiskError and none."""
        version = FORMATS["journal"].version
        checksum = self.checksum
        lines = []
        for log in logs:
            body = json.dumps(log, separators=(",", ":"))
            checksum = _checksum(checksum, version, body.encode())
            lines.append(f'{body[:-1]},"harness":"{version}:{checksum}"}}\n')
        append(file, "".join(lines))
        self.checksum = checksum
        self.entries += map(json.loads, lines)

    def trials_created(self) -> int:
        """How many trials the study knows; their numbers begin at 0."""
        return sum(entry["op_code"] == _CREATE_TRIAL for entry in self.entries)

    def trials_with_results(self) -> set[int]:
        """The numbers of the trials that are complete or pruned for the study."""
        told = [entry for entry in self.entries if entry["op_code"] == _SET_STATE]
        return {
            int(entry["trial_id"]) for entry in told if entry.get("state") in (_COMPLETE, _PRUNED)
        }


def read(file: Path) -> Lines:
    """The journal in a file. A last line that does not end is torn, and passed over.

    Raises
    ------
    Damaged
        A line is not as it was written; the message says which.
    OtherVersion
        Its lines are of a version that is not read here.
    """
    lines = Lines()
    raw_lines = file.read_bytes().splitlines(keepends=True)
    for number, line in enumerate(raw_lines, 1):
        try:
            entry = _read_line(lines, line, file)
        except Damaged as error:
            is_torn = number == len(raw_lines) and not line.endswith(b"\n")
            if is_torn:
                break
            raise Damaged(f"line {number} of {len(raw_lines)} is damaged: {error}") from None
        lines.entries.append(entry)
        lines.whole += len(line)
    if lines.entries and lines.checksum == _START:
        raise OtherVersion(
            f"{file} must have the format 'journal' in version {FORMATS['journal'].version}, "
            "but no line has one, as it was before; "
            "start under another name, or move mlruns/ away and start anew"
        )
    return lines


def _read_line(lines: Lines, line: bytes, file: Path) -> dict[str, Any]:
    """A line as Optuna reads it; the checksum of one of ours goes into `lines`."""
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
    version = int(parts["version"])
    checksum = parts["checksum"].decode()
    # The body ends with the brace that our key was put before.
    if _checksum(lines.checksum, version, parts["body"] + b"}") != checksum:
        raise Damaged("it does not match its checksum, or a line before it is missing")
    lines.checksum = checksum
    return upgraded("journal", version, entry, file)


def _checksum(last: str, version: int, body: bytes) -> str:
    return sha256(f"{last} {version} ".encode() + body)[:16]


def check(file: Path, recorded: Collection[int], is_needed: bool) -> list[Finding]:
    """Finds what is wrong with a journal.

    Parameters
    ----------
    file : Path
        The journal, which may be missing.
    recorded : collection of int
        The numbers of the trials that have a record, all of which the study must know.
    is_needed : bool
        Whether it is a sweep, which cannot go on without its journal.
    """
    if not file.is_file():
        if recorded and is_needed:
            return [_stopper(file, " is missing", "start it under another name")]
        return []
    try:
        lines = read(file)
    except Damaged as error:
        remedy = "restore the file from a copy, or start under another name"
        return [_stopper(file, f", {error}", remedy)]
    except OtherVersion as error:
        return [Finding(file, str(error))]
    findings = []
    if file.stat().st_size > lines.whole:
        sentence = f"cut off the torn last line of {file.name}"
        findings.append(Finding(file, sentence, mend=partial(truncate, file, lines.whole)))
    newest = max(recorded, default=-1)
    if newest >= lines.trials_created():
        problem = f"{file.name} must know all trials, but #{newest} is missing"
        findings.append(Finding(file, f"{problem}; start the sweep under another name"))
    if lost := sorted(lines.trials_with_results() - set(recorded)):
        numbers = ", ".join(f"#{number}" for number in lost[:_NAMED_TRIALS])
        sentence = f"the study knows results of trials that have no record: {numbers}"
        # The sweep trains them again.
        findings.append(Finding(file, sentence, is_harmless=True))
    return findings


def _stopper(file: Path, problem: str, remedy: str) -> Finding:
    """The finding about a journal without which a sweep cannot go on."""
    return Finding(file, f"{file}{problem}, so the sweep cannot go on; {remedy}")
