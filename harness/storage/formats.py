"""Checksums and versions of what is on disk: damage is noticed, and another version is refused or
brought up to date.

A sealed file is one JSON object in one line, `{"format":..., "version":..., "sha256":...,
"content":...}`; the SHA-256 is of format, version and the bytes of the content, so that no bit of
the file can change unnoticed. This shape stays as it is for ever; what a format's content looks
like may change, and then its version goes up in `FORMATS`.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from harness.errors import UsageError

_SEALED = re.compile(
    rb'\{"format":"([a-z]+)","version":(\d{1,9}),"sha256":"([0-9a-f]{64})","content":(.*)\}\n',
    re.DOTALL,
)


def _typed_result(content: Any) -> Any:
    """A record of version 1 as one of version 2: what was in `extra` has fields of its own."""
    extra = content.pop("extra", {})
    if "number" not in content:  # it is of a parent
        for field in ("sitting", "records", "yardstick"):
            if field in extra:
                content[field] = extra[field]
        return content
    result = {name: value for name, value in extra.items() if name != "train_s"}
    result["values"] = result.get("values") or []
    content["result"] = {**result, "train_seconds": extra.get("train_s")}
    return content


_NONE: Mapping[int, Callable[[Any], Any]] = MappingProxyType({})


class Format(NamedTuple):
    """One kind of file that is read back.

    Attributes
    ----------
    version
        The version that is written now.
    where
        The files, below mlruns/ if nothing else is said.
    about
        What is in them, and how damage is noticed.
    steps
        The way forward: for an older version that can still be read, the function that makes its
        content that of the version after it.
    """

    version: int
    where: str
    about: str
    steps: Mapping[int, Callable[[Any], Any]] = _NONE


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
        1, "sweeps/*/checkpoints/*.npz", "how a trial stands; its SHA-256 is in its name"
    ),
    "frames": Format(
        1, "sweeps/*/films/*.npy", "the film of an arm of a comparison; its SHA-256 is in its name"
    ),
    "artifacts": Format(
        1,
        "artifacts/*/artifacts/",
        "what a run leaves; their SHA-256 are in the tag `harness.files`",
    ),
}


class Damaged(ValueError):
    """What was read is not what was written. The message is the reason; who knows the file says the
    rest.
    """


class OtherVersion(UsageError):
    """What was read is whole, but of a version that is not read here. The message is the whole
    sentence.
    """


def seal(name: str, content: Any, default: Callable[[Any], Any] | None = None) -> bytes:
    """JSON content as the bytes of a sealed file of a format; `default` as in json.dumps."""
    body = json.dumps(content, default=default).encode()
    version = FORMATS[name].version
    head = f'{{"format":"{name}","version":{version},"sha256":"{_checksum(name, version, body)}","content":'
    return head.encode() + body + b"}\n"


def unseal(name: str, data: bytes, path: Any) -> Any:
    """The content of a sealed file, as its newest version has it.

    Parameters
    ----------
    name
        The format that is expected, a key of FORMATS.
    data
        The bytes of the file.
    path
        The file, for the sentence about another version.

    Raises
    ------
    Damaged
        The bytes are not those that were written.
    OtherVersion
        They are, but this version is not read here.
    """
    parts = _SEALED.fullmatch(data)
    if parts is None:
        if _unversioned(data):
            raise OtherVersion(_refusal(name, path, "has none, from before formats had one"))
        raise Damaged("it is not a sealed file" if data else "it is empty")
    found, version, checksum, body = parts[1].decode(), int(parts[2]), parts[3].decode(), parts[4]
    if _checksum(found, version, body) != checksum:
        raise Damaged("it does not match its checksum")
    if found != name:
        raise Damaged(f"it is a {found}, not a {name}")
    return upgraded(name, version, json.loads(body), path)


def upgraded(name: str, version: int, content: Any, path: Any) -> Any:
    """The content of a file of some version as that of the newest; OtherVersion where there is no
    way to that.
    """
    form = FORMATS[name]
    while version < form.version and version in form.steps:
        content = form.steps[version](content)
        version += 1
    if version != form.version:
        raise OtherVersion(_refusal(name, path, f"is of version {version}"))
    return content


def _refusal(name: str, path: Any, came: str) -> str:
    return (
        f"{path} must have the format {name!r} in version {FORMATS[name].version}, but {came}; "
        "use the harness that wrote it, or move mlruns/ away and start anew"
    )


def _checksum(name: str, version: int, body: bytes) -> str:
    return hashlib.sha256(f"{name} {version} ".encode() + body).hexdigest()


def _unversioned(data: bytes) -> bool:
    """Whether this is a whole record as it was written before formats had versions."""
    try:
        entry = json.loads(data)
    except ValueError:
        return False
    return isinstance(entry, dict) and {"id", "metrics", "status"} <= entry.keys()


def sha256(data: bytes) -> str:
    """The SHA-256 of bytes in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
