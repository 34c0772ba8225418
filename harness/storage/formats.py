"""Checksums and versions of what is on disk: damage is noticed, and another version is refused.

A sealed file is one JSON object in one line, `{"format":..., "version":..., "sha256":...,
"content":...}`; the SHA-256 is of format, version and the bytes of the content, so that no bit of
the file can change unnoticed. This shape stays as it is for ever; what a format's content looks
like may change, and then its version goes up in `FORMATS`.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from harness.errors import UsageError

_SEALED = re.compile(
    rb'\{"format":"(?P<format>[a-z]+)","version":(?P<version>\d{1,9}),'
    rb'"sha256":"(?P<sha256>[0-9a-f]{64})","content":(?P<content>.*)\}\n',
    re.DOTALL,
)
# What a sealed file holds is JSON: the types of its values are those of its format.
Content = Any
Step = Callable[[Content], Content]


class Damaged(ValueError):
    """What was read is not what was written.

    The message is the reason; who knows the file says the rest.
    """


class OtherVersion(UsageError):
    """What was read is whole, but of a version that is not read here.

    The message is the whole sentence.
    """


# The formats --------------------------------------------------------------------------------------


def _typed_result(content: Content) -> Content:
    """A record of version 1 as one of version 2, where `extra` has become fields with names."""
    extra = content.pop("extra", {})
    is_of_parent = "number" not in content
    if is_of_parent:
        for field in ("sitting", "records", "yardstick"):
            if field in extra:
                content[field] = extra[field]
        return content
    result = {name: value for name, value in extra.items() if name != "train_s"}
    result["values"] = result.get("values") or []
    content["result"] = {**result, "train_seconds": extra.get("train_s")}
    return content


_NO_STEPS: Mapping[int, Step] = MappingProxyType({})


class Format(NamedTuple):
    """One kind of file that is read back.

    Attributes
    ----------
    version : int
        The version that is written now.
    where : str
        The files, below mlruns/ if nothing else is said.
    about : str
        What is in them, and how damage is noticed.
    steps : mapping of int to callable
        The way forward: for an older version that can still be read, the function that makes its
        content that of the version after it.
    """

    version: int
    where: str
    about: str
    steps: Mapping[int, Step] = _NO_STEPS


FORMATS = {
    "record": Format(
        2,
        "*/spool/*/record.json",
        "what a run has logged; sealed, with the SHA-256 of its artifacts",
        {1: _typed_result},
    ),
    "mark": Format(1, "*/spool/*/logged", "where MLflow has a record; sealed"),
    "journal": Format(
        1,
        "sweeps/*/journal.log",
        "Optuna's study; each of our lines has a checksum of all before it",
    ),
    "checkpoint": Format(
        2, "sweeps/*/checkpoints/*.npz", "how a trial stands; its last 64 bytes are its SHA-256"
    ),
    "network": Format(
        3,
        "*/networks/*.npz, */pending/*.npz, and where a user saves it",
        "a trained network; its last 64 bytes are its SHA-256",
    ),
    "live": Format(
        1,
        "sweeps/*/live/*.jsonl",
        "the points of a trial in training; each line has a checksum of all before it",
    ),
    "ledger": Format(
        1, "sweeps/*/live/*.sent", "how far these points have come into MLflow; sealed"
    ),
    "frames": Format(
        1, "sweeps/*/films/*.html", "the film of an arm of a comparison; its SHA-256 is in its name"
    ),
    "stop": Format(1, "sweeps/*/stops/*", "who has asked to stop a trial, or all of them; sealed"),
    "artifacts": Format(
        1,
        "artifacts/*/artifacts/",
        "what a run leaves; their SHA-256 are in the tag `harness.files`",
    ),
}


def upgraded(name: str, version: int, content: Content, path: Path | str) -> Content:
    """The content of a file of some version as that of the newest.

    Parameters
    ----------
    name : str
        The format, a key of FORMATS.
    version : int
        The version that the file has.
    content
        What is in it.
    path : Path or str
        The file, for the sentence.

    Raises
    ------
    OtherVersion
        If no steps lead from its version to the newest.
    """
    form = FORMATS[name]
    while version < form.version and version in form.steps:
        content = form.steps[version](content)
        version += 1
    if version != form.version:
        raise OtherVersion(_refusal(name, path, f"is of version {version}"))
    return content


def _refusal(name: str, path: Path | str, came: str) -> str:
    return (
        f"{path} must have the format {name!r} in version {FORMATS[name].version}, but {came}; "
        "use the harness that wrote it, or move mlruns/ away and start anew"
    )


# Sealed files -------------------------------------------------------------------------------------


def seal(name: str, content: Content, default: Callable[[Any], Any] | None = None) -> bytes:
    """JSON content as the bytes of a sealed file.

    Parameters
    ----------
    name : str
        The format, a key of FORMATS.
    content
        What JSON can hold.
    default : callable, optional
        Makes of any other value one that JSON can hold, as in json.dumps.
    """
    body = json.dumps(content, default=default).encode()
    version = FORMATS[name].version
    head = f'{{"format":"{name}","version":{version},"sha256":"{_checksum(name, version, body)}",'
    return head.encode() + b'"content":' + body + b"}\n"


def unseal(name: str, data: bytes, path: Path | str) -> Content:
    """The content of a sealed file, as its newest version has it.

    Parameters
    ----------
    name : str
        The format that is expected, a key of FORMATS.
    data : bytes
        The bytes of the file.
    path : Path or str
        The file, for the sentence about another version.

    Raises
    ------
    Damaged
        The bytes are not those that were written.
    OtherVersion
        They are, but this version is not read here.
    """
    if not data:
        raise Damaged("it is empty")
    parts = _SEALED.fullmatch(data)
    if parts is None:
        if _is_unversioned(data):
            raise OtherVersion(_refusal(name, path, "has none, from before formats had one"))
        raise Damaged("it is not a sealed file")
    written_as = parts["format"].decode()
    version = int(parts["version"])
    if _checksum(written_as, version, parts["content"]) != parts["sha256"].decode():
        raise Damaged("it does not match its checksum")
    if written_as != name:
        raise Damaged(f"it is a {written_as}, not a {name}")
    return upgraded(name, version, json.loads(parts["content"]), path)


def _checksum(name: str, version: int, body: bytes) -> str:
    # Format and version are part of it, or a flipped bit could make a file one of another version.
    return sha256(f"{name} {version} ".encode() + body)


def _is_unversioned(data: bytes) -> bool:
    """Whether this is a whole record as it was written before formats had versions."""
    try:
        entry = json.loads(data)
    except ValueError:
        return False
    return isinstance(entry, dict) and {"id", "metrics", "status"} <= entry.keys()


# Checksums ----------------------------------------------------------------------------------------


def sha256(data: bytes) -> str:
    """The SHA-256 of bytes in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def is_named_by_content(path: Path, content: bytes) -> bool:
    """Whether the name of a file, without its suffix, ends in the SHA-256 of a content."""
    return path.stem.endswith(f"-{sha256(content)}")
