"""The data set npz: a NumPy archive with arrays x and y, and perhaps those of other parts."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.arrays import from_arrays
from harness.data.dataset import Dataset
from harness.data.paths import existing, first_line
from harness.data.validation import with_validation
from harness.errors import UsageError
from harness.registry.decorators import dataset
from harness.registry.known import suggest

_ARRAYS = ("x", "y", "x_valid", "y_valid", "x_test", "y_test", "classes", "features")


@dataset("npz")
def npz(
    path: str, task: str = "auto", shape: tuple[int, int] | None = None, missing: str | None = None
) -> Dataset:
    """A NumPy archive (np.savez) with arrays x and y.

    It may also have x_valid and y_valid, x_test and y_test, classes, features. x (N, ...), y (N,)
    labels counted from 0 or strings, or (N, O) floats for regression. See `from_arrays`.

    Parameters
    ----------
    path
        The archive.
    task
        "classification" or "regression" where "auto" would guess wrong.
    shape
        (rows, cols) if the features are the pixels of a picture.
    missing
        "mean": a missing value is filled with its column's mean over the training part.
    """
    file = existing(path)
    arrays = read_archive(path, _ARRAYS)
    for name in ("x", "y"):
        if name not in arrays:
            raise UsageError(
                f"{path}: there must be arrays x and y, {name!r} is missing; "
                f"{suggest(name, _names_in(file))}"
            )
    if task != "regression":
        _refuse_negative_labels(path, arrays["y"])
    # The validation part is read last, as rows of a data set that knows its columns and classes.
    x_valid = arrays.pop("x_valid", None)
    y_valid = arrays.pop("y_valid", None)
    data = from_arrays(file.name, **arrays, task=task, shape=shape, missing=missing)
    if x_valid is None and y_valid is None:
        return data
    return with_validation(data, x_valid, y_valid, coded="classes" in arrays)


def _names_in(file: Path) -> list[str]:
    """The names of all arrays of an archive."""
    with np.load(file, allow_pickle=False) as archive:
        return list(archive.files)


def read_archive(path: str, names: Collection[str]) -> dict[str, Any]:
    """Those of the named arrays that an archive has.

    Raises
    ------
    UsageError
        If there is no such file, or it cannot be read.
    """
    try:
        with existing(path).open("rb") as stream:
            # A pickled array could run code of whoever wrote the file.
            archive = np.load(stream, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise UsageError(
                    f"{path}: an .npz archive with arrays x and y is needed, got a single array: "
                    f"use np.savez"
                )
            return {name: archive[name] for name in names if name in archive.files}
    except UsageError:
        raise
    except MemoryError as error:
        raise UsageError(f"{path}: its arrays do not fit into memory: use fewer rows") from error
    except Exception as error:
        # Damaged archives raise almost anything, from zlib.error to NotImplementedError.
        raise UsageError(
            f"{path}: cannot be read as an .npz archive of plain arrays ({_damage(error)})"
        ) from error


def _damage(error: Exception) -> str:
    """What NumPy says of a file that is no archive, without its advice to load it unsafely."""
    return first_line(error).partition(" If you trust")[0]


def _refuse_negative_labels(path: str, y: np.ndarray) -> None:
    """Refuses whole numbers below 0: an archive numbers its classes from 0."""
    if y.dtype.kind not in "if" or y.ndim != 1 or (y % 1).any():
        return
    if (y < 0).any():
        raise UsageError(
            f"{path}: labels in an .npz count from 0, got {y.min():g} in row "
            f"{int(np.argmax(y < 0))} (counted from 0): "
            'renumber them, store them as strings, or say task="regression"'
        )
