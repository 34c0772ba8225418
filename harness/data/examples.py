"""Files of examples that a trained network is asked about: features, and perhaps labels.

The data sets of `files` hold what a network learns from, so they must have labels and may be split.
A file of examples needs neither.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from harness.data.csv_format import Form
from harness.data.idx import read_part
from harness.data.npz import read_archive
from harness.data.paths import is_there, kind_of
from harness.data.reading import read_table
from harness.data.table import Table
from harness.data.table_files import no_column, read_frame
from harness.errors import UsageError


class Examples(NamedTuple):
    """What a file of examples holds.

    Attributes
    ----------
    x
        Features, (N, ...), or a table of them.
    y
        Labels as their user writes them, or numbers, (N,) or (N, O); None where they are not known.
    """

    x: np.ndarray | Table
    y: Any


@dataclass(frozen=True)
class Columns:
    """What a network has learned of the columns of a table.

    Attributes
    ----------
    features
        The names of the features in their order; None where they have none.
    texts
        The names of those that hold texts.
    label
        The column of labels; None where it is not known.
    label_is_number
        Whether the network predicts numbers.
    drop
        Columns that were left out.
    form
        How the file that it learned from was written.
    """

    features: Sequence[str] | None
    texts: tuple[str, ...]
    label: str | None
    label_is_number: bool
    drop: tuple[str, ...]
    form: Form


def read_examples(path: str, columns: Columns, must_have_label: bool) -> Examples | None:
    """The examples in a table, an .npz archive or a folder of IDX files.

    Parameters
    ----------
    path
        The file or folder.
    columns
        What to read of a table.
    must_have_label
        Whether a table must have the column of labels.

    Returns
    -------
    The examples, or None where the path's name is that of no such file and of no folder.

    Raises
    ------
    UsageError
        If a file is not there, cannot be read, or does not hold what the network needs.
    """
    if is_there(path, folder=True):
        return _read_idx_folder(Path(path).expanduser())
    kind = kind_of(path)
    if kind in ("csv", "parquet"):
        return _read_columns(path, columns, must_have_label)
    if kind == "npz":
        return _read_archive(path)
    return None


def _read_columns(path: str, columns: Columns, must_have_label: bool) -> Examples:
    """The columns of a table that a network learned from, read as those were."""
    texts = list(columns.texts)
    if columns.label is not None:
        texts.append(columns.label)
    read = read_frame(path, columns.form, columns.drop, tuple(texts), must_drop=False)
    frame = read.table
    if must_have_label and columns.label not in frame.columns:
        raise no_column(path, columns.label, list(frame.columns))
    y = None
    if columns.label is not None and columns.label in frame.columns:
        y = frame.pop(columns.label)
        if y.isna().all():  # a column that is there to be filled in
            y = None
        elif columns.label_is_number:
            y = read.numbers.get(columns.label, y)
    if not len(frame):
        raise UsageError(f"{path} must have at least one row, but has its header only; add rows")
    # A text that the network has not seen may come often, so their number has no limit here.
    x = read_table(frame, path, sys.maxsize, columns.features, texts=columns.texts)
    return Examples(x, y)


def _read_archive(path: str) -> Examples:
    """The arrays x and, perhaps, y of an .npz archive; where it has classes, y counts them."""
    arrays = read_archive(path, ("x", "y", "classes"))
    if "x" not in arrays:
        raise UsageError(
            f"{path} must hold an array x of features, but it has none; save it with "
            f"np.savez(path, x=...)"
        )
    y = arrays.get("y")
    classes = arrays.get("classes")
    if y is None or classes is None:
        return Examples(arrays["x"], y)
    are_places = np.issubdtype(y.dtype, np.integer)
    if not are_places or (y.size and not 0 <= y.min() <= y.max() < len(classes)):
        raise UsageError(
            f"{path}: y must number its {len(classes)} classes from 0, but does not; correct it or "
            f"leave it out"
        )
    return Examples(arrays["x"], classes[y])


def _read_idx_folder(folder: Path) -> Examples:
    """The pictures and, perhaps, labels of a folder of IDX files; of a test part if it has one."""
    for part in ("t10k", "train"):
        images = read_part(folder, f"{part}-images", 3)
        if images is not None:
            return Examples(images, read_part(folder, f"{part}-labels", 1))
    raise UsageError(
        f"{folder} must hold t10k-images-idx3-ubyte or train-images-idx3-ubyte, but it has "
        f"neither; check the folder"
    )
