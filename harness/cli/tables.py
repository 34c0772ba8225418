"""Tables in files that commands write."""

from pathlib import Path
from typing import TYPE_CHECKING

from harness.storage.files import on_disk, write_plain

if TYPE_CHECKING:
    from pandas import DataFrame


def write_table(frame: "DataFrame", file: str, float_format: str | None = None) -> None:
    """Writes a table as CSV. No folder is made for it: a mistyped one would hide it."""
    from harness.escapes import to_csv

    path = Path(file).expanduser()
    text = to_csv(frame, float_format)
    # Asking for the folder raises the error that writing into it would hide by making it.
    with on_disk(file):
        path.parent.stat()
    write_plain(path, text.encode())
