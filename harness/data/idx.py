"""The IDX format, in which MNIST and its relatives are published: a short header, then bytes."""

import gzip
import io
import math
import zlib
from pathlib import Path

import numpy as np

from harness.errors import UsageError

_DEFLATE = 1100  # a gzipped file can unpack to 1032 times its size


def read_idx(path: Path, raw: bytes, axes: int, rows: int | None = None) -> np.ndarray:
    """A uint8 array of `axes` axes from the bytes `raw` of the file `path`; its first `rows` rows
    only, if given.

    The header is two zero bytes, a type (8: unsigned byte), the number of axes, and each length as
    a big-endian uint32. Gzipped bytes are unpacked. Raises UsageError if the header, the length or
    the compression is wrong.
    """
    packed = raw[:2] == b"\x1f\x8b"
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(raw)) if packed else io.BytesIO(raw) as file:
            header = file.read(4 + 4 * axes)
            if header[:4] != bytes((0, 0, 8, axes)):
                raise UsageError(
                    f"{path}: an IDX file of bytes with {axes} axes must begin with 00 00 08 "
                    f"{axes:02x}, "
                    f"got {header[:4].hex(' ') or 'nothing'}: is it the right file?"
                )
            if len(header) < 4 + 4 * axes:
                raise UsageError(
                    f"{path}: the file is truncated, it ends within its header: fetch it again"
                )
            lengths = [int.from_bytes(header[k : k + 4], "big") for k in range(4, 4 + 4 * axes, 4)]
            if rows is not None:
                lengths[0] = min(rows, lengths[0])
            wanted = math.prod(lengths)
            most = _DEFLATE * len(raw) if packed else len(raw)
            if wanted > most:
                raise UsageError(
                    f"{path}: its header promises {wanted} bytes of data {tuple(lengths)}, which a "
                    f"file of {len(raw)} "
                    "bytes cannot hold: the file is truncated or damaged, fetch it again"
                )
            # One byte more shows that there is more, however much that is; at the end the checksum
            # is compared.
            body = file.read(wanted + (rows is None))
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(
            f"{path}: the compressed file is damaged ({error}): fetch it again"
        ) from error
    except (MemoryError, OverflowError) as error:
        raise UsageError(
            f"{path}: its header promises {wanted} bytes of data {tuple(lengths)}, which do not "
            f"fit into memory: "
            "fetch it again, or use a smaller one"
        ) from error
    if len(body) != wanted:
        came = f"more than {wanted}" if len(body) > wanted else str(len(body))
        raise UsageError(
            f"{path}: its header promises {wanted} bytes of data {tuple(lengths)}, got {came}: "
            "the file is truncated or damaged, fetch it again"
        )
    return np.frombuffer(body, np.uint8).reshape(lengths)
