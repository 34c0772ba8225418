"""The IDX format, in which MNIST is published, a short header and bytes; and the data set idx."""

import gzip
import io
import math
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np

from harness.data.arrays import from_arrays
from harness.data.dataset import Dataset
from harness.data.paths import existing, read_bytes
from harness.errors import UsageError
from harness.registry.decorators import dataset

_DEFLATE = 1100  # A gzipped file can unpack to 1032 times its size.
_GZIP = b"\x1f\x8b"


@dataset("idx")
def idx(path: str) -> Dataset:
    """A folder with files in MNIST's format: pictures of any size, classes are the distinct labels.

    train-images-idx3-ubyte, train-labels-idx1-ubyte, and the same for t10k, the test part, which
    may be missing; each as it is or with .gz.

    Parameters
    ----------
    path
        The folder.
    """
    folder = existing(path, folder=True)
    x = _training_part(path, folder, "train-images", 3)
    y = _training_part(path, folder, "train-labels", 1)
    x_test = read_part(folder, "t10k-images", 3)
    y_test = read_part(folder, "t10k-labels", 1)
    return from_arrays(folder.name, x, y, x_test, y_test, task="classification")


def read_part(folder: Path, name: str, axes: int) -> np.ndarray | None:
    """The array in a file of a folder, as it is or with .gz; None where it is not there."""
    stem = _file_name(name, axes)
    for file in (folder / stem, folder / f"{stem}.gz"):
        if file.is_file():
            return read_idx(file, read_bytes(file), axes)
    return None


def _training_part(path: str, folder: Path, name: str, axes: int) -> np.ndarray:
    """The same where the file must be there."""
    part = read_part(folder, name, axes)
    if part is None:
        stem = _file_name(name, axes)
        raise UsageError(
            f"{path}: a folder of IDX files must hold {stem} or {stem}.gz, there is none: check "
            "the folder"
        )
    return part


def _file_name(name: str, axes: int) -> str:
    return f"{name}-idx{axes}-ubyte"


def read_idx(path: Path, raw: bytes, axes: int, rows: int | None = None) -> np.ndarray:
    """The uint8 array in the bytes of an IDX file.

    The header is two zero bytes, a type (8: unsigned byte), the number of axes, and each length as
    a big-endian uint32. Gzipped bytes are unpacked.

    Parameters
    ----------
    path
        The file, for messages.
    raw
        Its bytes.
    axes
        How many axes the array must have.
    rows
        How many of the first rows are wanted; None for all, and then nothing may follow them.

    Raises
    ------
    UsageError
        If the header, the length or the compression is wrong.
    """
    file: Any = io.BytesIO(raw)
    most = len(raw)
    if raw.startswith(_GZIP):
        file = gzip.GzipFile(fileobj=file)
        most *= _DEFLATE
    try:
        lengths = _read_lengths(path, file, axes)
        if rows is not None:
            lengths[0] = min(rows, lengths[0])
        count = math.prod(lengths)
        promise = f"{path}: its header promises {count} bytes of data {tuple(lengths)}"
        # A damaged header may promise any number of bytes, which must not be allocated.
        if count > most:
            raise UsageError(
                f"{promise}, which a file of {len(raw)} bytes cannot hold: the file is truncated "
                "or damaged, fetch it again"
            )
        body = _read_body(file, count, promise, to_end=rows is None)
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(
            f"{path}: the compressed file is damaged ({error}): fetch it again"
        ) from error
    return np.frombuffer(body, np.uint8).reshape(lengths)


def _read_lengths(path: Path, file: IO[bytes], axes: int) -> list[int]:
    """The lengths of the axes, from the header."""
    header = file.read(4 + 4 * axes)
    if header[:4] != bytes((0, 0, 8, axes)):
        raise UsageError(
            f"{path}: an IDX file of bytes with {axes} axes must begin with 00 00 08 {axes:02x}, "
            f"got {header[:4].hex(' ') or 'nothing'}: is it the right file?"
        )
    if len(header) < 4 + 4 * axes:
        raise UsageError(
            f"{path}: the file is truncated, it ends within its header: fetch it again"
        )
    return [int.from_bytes(header[k : k + 4], "big") for k in range(4, len(header), 4)]


def _read_body(file: IO[bytes], count: int, promise: str, to_end: bool) -> bytes:
    """The `count` bytes after the header; with `to_end` nothing may follow them."""
    try:
        # One byte more shows that there is more, however much that is; at the end the checksum is
        # compared.
        body = file.read(count + to_end)
    except (MemoryError, OverflowError) as error:
        raise UsageError(
            f"{promise}, which do not fit into memory: fetch it again, or use a smaller one"
        ) from error
    if len(body) != count:
        came = str(len(body))
        if len(body) > count:
            came = f"more than {count}"
        raise UsageError(f"{promise}, got {came}: the file is truncated or damaged, fetch it again")
    return body
