"""What a Dataset is: arrays that cannot change, and a digest of their content."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from harness.data.dataset_checks import check_dataset
from harness.data.table import Names, Table, Texts

_ARRAYS = ("x", "y", "x_test", "y_test", "weights")


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Rows to learn from, and perhaps rows to test on; every array is read-only.

    `from_arrays` makes one from arrays in almost any form.

    Attributes
    ----------
    name
        What it is called in tables; not part of the digest.
    x
        (N, I) uint8, float32 or float64, finite but for missing values, C-contiguous.
    y
        (N,) int64 labels 0..K-1 (classification) or (N, O) float rows (regression).
    classes
        K names in the order of the labels; () for regression.
    shape
        (rows, cols) of a picture with rows * cols == I, or None.
    x_test, y_test
        The same for the test part, or None; only their own checks look at them here.
    features
        I names of the columns of x, or None.
    texts
        For each column of x its different texts, of which x then holds the places, None for one of
        numbers; None where all are numbers.
    missing
        "mean" where a missing value (NaN) in x is filled with the mean of the training part; None
        where there is none.
    notes
        What was guessed when it was read, to be said once.
    valid_rows
        How many of the last rows of x and y are a validation part of its own; 0: a part is split
        off.
    weights
        (N,) weights of the rows in the loss, or None; see `with_weights`.

    Raises
    ------
    UsageError
        Where one of these statements does not hold.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    classes: tuple[str, ...] = ()
    shape: tuple[int, int] | None = None
    x_test: np.ndarray | None = None
    y_test: np.ndarray | None = None
    features: Names = None
    texts: Texts | None = None
    missing: str | None = None
    notes: tuple[str, ...] = ()
    valid_rows: int = 0
    weights: np.ndarray | None = None

    def __post_init__(self) -> None:
        check_dataset(self)
        for field in _ARRAYS:
            array = getattr(self, field)
            if array is not None:
                # The flag is set on a view, so that the caller's own array stays writeable.
                array = np.ascontiguousarray(array).view()
                array.flags.writeable = False
                object.__setattr__(self, field, array)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        # A pickle does not keep that arrays are read-only.
        for field in _ARRAYS:
            array = getattr(self, field)
            if array is not None:
                array.flags.writeable = False

    @property
    def task(self) -> str:
        """What the labels ask for: "classification" or "regression"."""
        return "classification" if self.classes else "regression"

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the content, in hexadecimal digits.

        It is taken over the shapes, types and bytes of x, y, x_test, y_test, the names of the
        classes, and all else that is there of texts, missing values, a validation part and weights.
        """
        sha = hashlib.sha256()
        for array in (self.x, self.y, self.x_test, self.y_test):
            if array is None:
                sha.update(b"none;")
            else:
                sha.update(f"{array.shape} {array.dtype.str};".encode())
                sha.update(array.data)
        sha.update(repr(self.classes).encode())
        # What most data sets do not have is added only where it is there, so that it never changed
        # the digests that earlier trials have recorded.
        if self.texts is not None or self.missing is not None:
            sha.update(repr((self.features, self.texts, self.missing)).encode())
        if self.valid_rows:
            sha.update(f"the last {self.valid_rows} rows are for validation;".encode())
        if self.weights is not None:
            sha.update(b"weights;" + self.weights.astype("<f8").tobytes())
        return sha.hexdigest()

    def table(self, rows: Any = slice(None)) -> Table:
        """Rows of the training part as a table.

        Parameters
        ----------
        rows
            A slice, or the positions of the rows; all by default.
        """
        return Table(self.x[rows], self.features, self.texts, self.name)

    def test_table(self) -> Table:
        """The test part as a table, of a data set that has one."""
        assert self.x_test is not None
        return Table(self.x_test, self.features, self.texts, f"{self.name}: the test part")

    def __repr__(self) -> str:
        rows, features = self.x.shape
        parts = [f"{rows - self.valid_rows} x {features} {self.x.dtype}"]
        if self.classes:
            parts.append(f"{len(self.classes)} classes")
        else:
            parts.append(f"{self.y.shape[1]} targets")
        if self.valid_rows:
            parts.append(f"{self.valid_rows} validation rows")
        test_rows = 0 if self.x_test is None else len(self.x_test)
        parts.append(f"{test_rows} test rows")
        return f"Dataset({self.name!r}: {', '.join(parts)})"
