"""Arrays with JSON: the one format in which networks and states of training lie on disk.

A bundle is an .npz file that NumPy reads by itself: named arrays, and all else as JSON in the array
`about`. Nothing is pickled. The comment of the archive, its last 64 bytes, is the SHA-256 of all
bytes before it, so that no bit of the file can change unnoticed.
"""

import io
import json
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from harness.storage.formats import FORMATS, Damaged, sha256, upgraded

_ABOUT = "about"
_SEAL = len(sha256(b""))


class Bundle(NamedTuple):
    """What a file holds.

    Attributes
    ----------
    about : dict
        JSON.
    arrays : dict of str to array
        Arrays of numbers or texts, by name.
    """

    about: dict[str, Any]
    arrays: dict[str, np.ndarray]


def pack(name: str, bundle: Bundle) -> bytes:
    """A bundle as the bytes of a file; the same bundle always gives the same bytes.

    Parameters
    ----------
    name : str
        The format, a key of FORMATS.
    bundle : Bundle
        What the file shall hold.

    Raises
    ------
    ValueError
        For arrays that would be pickled.
    """
    head = {"format": name, "version": FORMATS[name].version}
    about = json.dumps({**head, **bundle.about}).encode()
    file = io.BytesIO()
    arrays = {_ABOUT: np.frombuffer(about, np.uint8), **bundle.arrays}
    np.savez(file, allow_pickle=False, **arrays)  # type: ignore[arg-type]
    with zipfile.ZipFile(file, "a") as archive:
        archive.comment = b"0" * _SEAL
    body = file.getvalue()[:-_SEAL]
    return body + sha256(body).encode()


def unpack(name: str, data: bytes, path: Path | str) -> Bundle:
    """What `pack` was given, to the last bit.

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
    body = data[:-_SEAL]
    if sha256(body).encode() != data[-_SEAL:]:
        raise Damaged("it does not match its checksum")
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    about = json.loads(arrays.pop(_ABOUT).tobytes())
    written_as = about.pop("format")
    if written_as != name:
        raise Damaged(f"it is a {written_as}, not a {name}")
    return Bundle(upgraded(name, about.pop("version"), about, path), arrays)


def read_about(name: str, path: Path) -> dict[str, Any]:
    """The JSON of a file, read without its arrays and its checksum.

    It is empty where it cannot be read, or is of another format or version.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            about: dict[str, Any] = json.loads(file[_ABOUT].tobytes())
    except Exception:  # damaged archives raise almost anything
        return {}
    if (about.pop("format", None), about.pop("version", None)) != (name, FORMATS[name].version):
        return {}
    return about
