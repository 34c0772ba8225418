"""Live points: what a trial in training has logged so far, durable before anybody is told.

One file a trial, `<number>.jsonl`, which only grows. Its first line says which trial it is, each
further one has points. A line begins with the version of the format and the first 16 digits of a
SHA-256 over the checksum of the line before it and the rest of the line, so that a line that is
changed, lost or doubled is noticed. A last line that does not end was torn by a crash.

The first durable point of a metric at a step is the true one: a trial that is trained again after a
crash, and so has other times, does not change it.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from harness.escapes import encodable
from harness.storage import files
from harness.storage.findings import Finding, check_half_written, removal
from harness.storage.formats import FORMATS, Damaged, OtherVersion, sha256, upgraded
from harness.storage.records import Point, TrialRun, as_json_number
from harness.storage.secrets import masked

_NAME = re.compile(r"(?P<number>\d{6,})\.jsonl")
_LINE = re.compile(rb"(?P<version>\d{1,9}):(?P<checksum>[0-9a-f]{16}) (?P<body>.+)\n")
_HALF_WRITTEN = ".new"
_CLOCKS = "time/"  # the beginning of metrics that a second training has otherwise
# What stands for the checksum before the first line.
_START = "live"


@dataclass(frozen=True)
class LiveTrial:
    """A trial in training, as its run says it from the start.

    Attributes
    ----------
    number : int
        Its number within its sweep or comparison.
    id : str
        The id that its record will have.
    name : str
        What people read.
    params : dict
        Those that its record will have.
    tags : dict of str to str
        What is known of it before it has ended.
    start_ms : int
        When it was started first, in ms since 1970.
    """

    number: int
    id: str
    name: str
    params: dict[str, Any]
    tags: dict[str, str]
    start_ms: int


@dataclass
class Course:
    """What is durable of a trial in training.

    Attributes
    ----------
    trial : LiveTrial
        The trial, as its first line says it.
    points : list of Point
        Its points, in the order in which they were written.
    ends : dict of str to int
        How many points there were after each line, by the checksum of that line.
    checksum : str
        That of the last line, which the next one continues.
    size : int
        The bytes of the whole lines; what is behind them in the file is torn.
    inode : int
        The file that was read; another one may have taken its place.
    """

    trial: LiveTrial
    points: list[Point] = field(default_factory=list)
    ends: dict[str, int] = field(default_factory=dict)
    checksum: str = _START
    size: int = 0
    inode: int = 0

    def places(self) -> set[tuple[str, int]]:
        """The metrics and steps that have a point."""
        return {(point.key, point.step) for point in self.points}


def live_folder(folder: Path) -> Path:
    """The folder of the live points of a sweep, beside its spool."""
    return folder / "live"


class LiveTrials:
    """The trials of a sweep that are in training, in a folder that only its driver writes.

    Any process may read it.

    Parameters
    ----------
    folder : Path
        It is made by the first point.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._courses: dict[int, Course] = {}

    # Writing

    def extend(self, trial: LiveTrial, points: Sequence[Point]) -> None:
        """Makes points durable, but for those whose metric has one at that step.

        The first call begins the trial. One with another id, or with other params, begins it anew:
        nothing of what was there before belongs to it.

        Parameters
        ----------
        trial : LiveTrial
            The trial; the time of its start is that of the first call.
        points : sequence of Point
            In the order in which they came.

        Raises
        ------
        DiskError
            If the disk does not take them.
        """
        course = self.sound(trial.number)
        # After an error nobody knows what is in the file, so it is read again the next time.
        self._courses.pop(trial.number, None)
        if course is None or not _is_same(course.trial, trial):
            course = self._begin(trial)
        taken = course.places()
        new = [point for point in map(_as_stored, points) if (point.key, point.step) not in taken]
        if new:
            self._append(course, new)
        self._courses[trial.number] = course

    def drop(self, number: int) -> None:
        """Forgets a trial; nothing happens where it is not known."""
        self._courses.pop(number, None)
        files.remove(self._path(number))

    def _begin(self, trial: LiveTrial) -> Course:
        if files.make_folder(self.folder):
            files.sync_folder(self.folder.parent)
        course = Course(_as_written(trial))
        line = _line(course, {"trial": asdict(course.trial)})
        fresh = self.folder / _HALF_WRITTEN
        path = self._path(trial.number)
        files.write_durably(fresh, line)
        files.rename(fresh, path)
        files.sync_folder(self.folder)
        course.inode = path.stat().st_ino
        _enter(course, line)
        return course

    def _append(self, course: Course, points: list[Point]) -> None:
        path = self._path(course.trial.number)
        if path.stat().st_size > course.size:
            files.truncate(path, course.size)
        line = _line(course, {"points": points})
        files.append(path, line.decode())
        files.sync_file(path)
        _enter(course, line)

    # Reading

    def points(self, number: int, id: str) -> list[Point]:
        """All points of a trial that are durable; none for a trial with another id.

        A file that is damaged has none either: its trial begins anew.
        """
        course = self.sound(number)
        if course is None or course.trial.id != id:
            return []
        return list(course.points)

    def start_ms(self, number: int, id: str) -> int:
        """When a trial began of which points are durable; 0 where there are none with this id."""
        course = self.sound(number)
        if course is None or course.trial.id != id:
            return 0
        return course.trial.start_ms

    def course(self, number: int) -> Course | None:
        """All that is durable of a trial; None where there is nothing.

        Raises
        ------
        Damaged
            It is not as it was written.
        OtherVersion
            It is of a version that is not read here.
        """
        path = self._path(number)
        known = self._courses.pop(number, None)
        try:
            status = path.stat()
            is_known = known is not None and known.inode == status.st_ino
            if known is None or not is_known or status.st_size < known.size:
                known = None
            course = _read(path, known)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Damaged(str(error)) from error
        if course is not None:
            course.inode = status.st_ino
            self._courses[number] = course
        return course

    def numbers(self) -> list[int]:
        """The numbers of the trials that have a file, in order."""
        names = (_NAME.fullmatch(path.name) for path in self.folder.glob("*.jsonl"))
        return sorted(int(name["number"]) for name in names if name is not None)

    def sound(self, number: int) -> Course | None:
        """All that is durable of a trial; None where there is nothing, or it is damaged."""
        try:
            return self.course(number)
        except (Damaged, OtherVersion):
            return None

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06d}.jsonl"


# Trials and points as they are written ------------------------------------------------------------


def _as_written(trial: LiveTrial) -> LiveTrial:
    """A trial as its line says it: printable, without credentials, its numbers plain ones."""
    content = masked(json.loads(json.dumps(asdict(trial), default=as_json_number)))
    content["name"] = encodable(content["name"])
    return LiveTrial(**content)


def _as_stored(point: Point) -> Point:
    return Point(encodable(point.key), float(point.value), int(point.step), int(point.time_ms))


def _is_same(before: LiveTrial, trial: LiveTrial) -> bool:
    now = _as_written(trial)
    return (before.id, before.name, before.params) == (now.id, now.name, now.params)


def agree(run: TrialRun, course: Course | None) -> None:
    """Gives the record of a trial that has ended the times of its live points.

    They are others where the trial was trained again after a crash, and what was durable first is
    true. Where the values are others too, as those of a space that was changed, or where points are
    missing, the record stays as it is: then it belongs to another course.

    Parameters
    ----------
    run : TrialRun
        The record, which is changed.
    course : Course or None
        What was durable of the trial while it was in training.
    """
    if course is None or course.trial.id != run.id:
        return
    durable = {(point.key, point.step): point for point in course.points}
    points = [durable.get((point.key, point.step), point) for point in run.metrics]
    is_same = all(map(_has_same_value, run.metrics, points))
    if is_same and durable.keys() <= {(point.key, point.step) for point in points}:
        run.metrics = points
        run.start_ms = course.trial.start_ms


def _has_same_value(point: Point, other: Point) -> bool:
    are_nan = math.isnan(point.value) and math.isnan(other.value)
    return point.value == other.value or are_nan or point.key.startswith(_CLOCKS)


# Lines --------------------------------------------------------------------------------------------


def _line(course: Course, content: dict[str, Any]) -> bytes:
    """The line that goes on from a course."""
    version = FORMATS["live"].version
    body = json.dumps(content, separators=(",", ":")).encode()
    return f"{version}:{_checksum(course.checksum, version, body)} ".encode() + body + b"\n"


def _checksum(last: str, version: int, body: bytes) -> str:
    return sha256(f"{last} {version} ".encode() + body)[:16]


def _enter(course: Course, line: bytes) -> None:
    """Takes a line that was written or read into its course."""
    parts = _LINE.fullmatch(line)
    assert parts is not None
    content = json.loads(parts["body"])
    course.points += [Point(*point) for point in content.get("points", [])]
    course.checksum = parts["checksum"].decode()
    course.ends[course.checksum] = len(course.points)
    course.size += len(line)


def _read(path: Path, known: Course | None) -> Course | None:
    """The course in a file, from where it is known; None where not even its first line is whole.

    Raises
    ------
    Damaged
        A line is not as it was written.
    OtherVersion
        It is of a version that is not read here.
    """
    with open(path, "rb") as file:
        file.seek(known.size if known else 0)
        # What stands behind the last line end is torn.
        *lines, _ = file.read().split(b"\n")
    course = known
    for line in (line + b"\n" for line in lines):
        last = course.checksum if course else _START
        content = _content_of(line, last, path)
        try:
            if course is None:
                course = Course(LiveTrial(**content["trial"]))
            _enter(course, line)
        except (KeyError, TypeError) as error:
            raise Damaged(f"a line has not what it should have: {error}") from error
    return course


def _content_of(line: bytes, last: str, path: Path) -> Any:
    parts = _LINE.fullmatch(line)
    if parts is None:
        raise Damaged("a line is not what was written")
    version = int(parts["version"])
    if _checksum(last, version, parts["body"]) != parts["checksum"].decode():
        raise Damaged("a line does not match its checksum, or one before it is missing")
    return upgraded("live", version, json.loads(parts["body"]), path)


# Checking -----------------------------------------------------------------------------------------


def check(folder: Path) -> list[Finding]:
    """Finds live points that are damaged, torn or half written.

    Nothing is lost with them: a trial that goes on from its checkpoint brings them again.
    """
    findings = []
    for path in sorted(folder.glob("*.jsonl")):
        if _NAME.fullmatch(path.name) is None:
            findings.append(Finding(path, f"{path} is no trial in training", is_harmless=True))
            continue
        findings += _check_file(path)
    return findings + check_half_written(folder / _HALF_WRITTEN)


def _check_file(path: Path) -> list[Finding]:
    try:
        with files.on_disk(path):
            course = _read(path, None)
    except OtherVersion as error:
        return [Finding(path, str(error))]
    except Damaged as error:
        rest = f"the live points {path.name}, which are damaged ({error}); they are logged again"
        return [removal(path, rest)]
    size = course.size if course else 0
    if path.stat().st_size == size:
        return []
    sentence = f"cut off the torn last line of {path.name}"
    return [Finding(path, sentence, mend=partial(files.truncate, path, size))]
