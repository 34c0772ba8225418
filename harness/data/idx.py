"""The IDX format, in which MNIST and its relatives are published: a short header, then bytes."""

import gzip
import io
import math
import zlib
from pathlib import Path

import numpy as np

from harness.errors import UsageError


def read_idx(path: Path, raw: bytes, axes: int, rows: int | None = None) -> np.ndarray:
    """A uint8 array of `axes` axes from the bytes `raw` of the file `path`; its first `rows` rows only, if given.

    The header is two zero bytes, a type (8: unsigned byte), the number of axes, and each length as a big-endian uint32.
    Gzipped bytes are unpacked. Raises UsageError if the header, the length or the compression is wrong.
    """
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(raw)) if raw[:2] == b"\x1f\x8b" else io.BytesIO(raw) as file:
            header = file.read(4 + 4 * axes)
            if header[:4] != bytes((0, 0, 8, axes)):
                raise UsageError(
                    f"{path}: an IDX file of bytes with {axes} axes must begin with 00 00 08 {axes:02x}, "
                    f"got {header[:4].hex(' ') or 'nothing'}: is it the right file?"
                )
            if len(header) < 4 + 4 * axes:
                raise UsageError(f"{path}: the file is truncated, it ends within its header: fetch it again")
            lengths = [int.from_bytes(header[k : k + 4], "big") for k in range(4, 4 + 4 * axes, 4)]
            if rows is not None:
                lengths[0] = min(rows, lengths[0])
            wanted = math.prod(lengths)
            body = file.read() if rows is None else file.read(wanted)
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"{path}: the compressed file is damaged ({error}): fetch it again") from error
    if len(body) != wanted:
        raise UsageError(
            f"{path}: its header promises {wanted} bytes of data {tuple(lengths)}, got {len(body)}: "
            "the file is truncated or damaged, fetch it again"
        )
    return np.frombuffer(body, np.uint8).reshape(lengths)
