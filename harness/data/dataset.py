"""What a data set is: arrays that cannot change, and a digest of their content."""

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from harness.errors import UsageError


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Rows to learn from, and perhaps rows to test on; every array is read-only.

    name        what it is called in tables; not part of the digest
    x           (N, I) uint8, float32 or float64, finite, C-contiguous
    y           (N,) int64 labels 0..K-1 (classification) or (N, O) float rows (regression)
    classes     K names in the order of the labels; () for regression
    shape       (rows, cols) of a picture with rows * cols == I, or None
    x_test, y_test   the same for the test part, or None; nothing here looks at them but their own checks
    features    I names of the columns of x, or None

    Raises UsageError where that does not hold. `from_arrays` makes one from arrays in almost any form.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    classes: tuple[str, ...] = ()
    shape: tuple[int, int] | None = None
    x_test: np.ndarray | None = None
    y_test: np.ndarray | None = None
    features: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        _check(self)
        for field in ("x", "y", "x_test", "y_test"):
            array = getattr(self, field)
            if array is not None:
                array = np.ascontiguousarray(array).view()  # a view: the caller's own array keeps its flags
                array.flags.writeable = False
                object.__setattr__(self, field, array)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for array in (self.x, self.y, self.x_test, self.y_test):  # pickle forgets that they are read-only
            if array is not None:
                array.flags.writeable = False

    @property
    def task(self) -> str:
        """ "classification" or "regression"."""
        return "classification" if self.classes else "regression"

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the shapes, types and bytes of x, y, x_test, y_test and over the names of the classes."""
        sha = hashlib.sha256()
        for array in (self.x, self.y, self.x_test, self.y_test):
            if array is None:
                sha.update(b"none;")
            else:
                sha.update(f"{array.shape} {array.dtype.str};".encode())
                sha.update(array.data)
        sha.update(repr(self.classes).encode())
        return sha.hexdigest()

    def __repr__(self) -> str:
        rows, features = self.x.shape
        kind = f"{len(self.classes)} classes" if self.classes else f"{self.y.shape[1]} targets"
        test = 0 if self.x_test is None else len(self.x_test)
        return f"Dataset({self.name!r}: {rows} x {features} {self.x.dtype}, {kind}, {test} test rows)"


def from_arrays(
    name: str,
    x: Any,
    y: Any,
    x_test: Any = None,
    y_test: Any = None,
    *,
    classes: Any = None,
    shape: tuple[int, int] | None = None,
    features: Any = None,
    task: str = "auto",
) -> Dataset:
    """A Dataset from arrays as people have them.

    x, x_test   (N, ...) numbers, flattened to (N, I); (N, r, c) gives shape=(r, c). Whole numbers become uint8 if they
                are pixels (a shape is known and all lie in 0..255), else float32 where that is exact, else float64.
    y, y_test   (N,) or (N, 1) labels: whole numbers, truth values or strings; or (N, O) floats
    classes     names of the classes: y then holds positions in them. Otherwise they are the sorted distinct labels of
                y, and labels become 0..K-1 in that order.
    task        "classification", "regression", or "auto": regression if y has a fraction somewhere or several columns

    The arrays are shared where their type allows it, not copied: do not change them afterwards.
    """
    x, x_test = (None if part is None else _plain(name, what, part) for what, part in (("x", x), ("x_test", x_test)))
    y, y_test = (None if part is None else np.asarray(part) for part in (y, y_test))
    if x is None or y is None:
        raise UsageError(f"{name}: x and y must both be given")
    if x.ndim < 2:
        raise UsageError(
            f"{name}: x must have shape (rows, features), got {x.shape}: use x.reshape(-1, 1) if it is one feature"
        )
    if x_test is not None and x_test.shape[1:] != x.shape[1:]:
        raise UsageError(f"{name}: a test row must look like a training row {x.shape[1:]}, got {x_test.shape[1:]}")
    if shape is None and x.ndim == 3:
        shape = (x.shape[1], x.shape[2])
    x, x_test = _narrow(x, x_test, pixels=shape is not None)
    x, x_test = (None if part is None else part.reshape(len(part), math.prod(part.shape[1:])) for part in (x, x_test))

    y, y_test = (
        part[:, 0] if part is not None and part.ndim == 2 and part.shape[1] == 1 else part for part in (y, y_test)
    )
    y, y_test = (np.array(part.tolist()) if part is not None and part.dtype == object else part for part in (y, y_test))
    if _task(name, y, task, classes) == "regression":
        y, y_test = (
            None if part is None else _targets(name, what, part) for what, part in (("y", y), ("y_test", y_test))
        )
        names: tuple[str, ...] = ()
    else:
        y, y_test, names = _labels(name, y, y_test, classes)
    columns = None if features is None else tuple(str(feature) for feature in features)
    size = None if shape is None else _size(name, shape)
    return Dataset(name, x, y, names, size, x_test, y_test, columns)


def _plain(name: str, what: str, part: Any) -> np.ndarray:
    """Numbers in this machine's byte order."""
    try:
        array = np.asarray(part)
    except ValueError as error:
        raise UsageError(f"{name}: {what} must be a table of numbers with rows of one length ({error})") from error
    if array.dtype.kind not in "buif":
        raise UsageError(
            f"{name}: {what} must hold numbers, got {array.dtype}: turn everything else into numbers first"
        )
    if array.dtype.kind == "f" and array.dtype.itemsize not in (4, 8):
        return array.astype(np.float32 if array.dtype.itemsize < 4 else np.float64)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _narrow(x: np.ndarray, x_test: np.ndarray | None, pixels: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """The smallest of uint8 (only for pixels), float32 and float64 that holds training and test part exactly."""
    parts = [x] if x_test is None else [x, x_test]
    if all(part.dtype == np.uint8 for part in parts):
        return x, x_test
    if any(part.dtype.kind == "f" for part in parts):
        dtype = np.result_type(*parts, np.float32)
    else:
        low = min((int(part.min()) for part in parts if part.size), default=0)
        high = max((int(part.max()) for part in parts if part.size), default=0)
        if pixels and low >= 0 and high <= 255:
            dtype = np.dtype(np.uint8)
        else:
            dtype = np.dtype(np.float32 if max(-low, high) <= 2**24 else np.float64)
    return x.astype(dtype, copy=False), None if x_test is None else x_test.astype(dtype, copy=False)


def _task(name: str, y: np.ndarray, task: str, classes: Any) -> str:
    """Which task labels `y` ask for, when the user leaves it open."""
    if task not in ("auto", "classification", "regression"):
        raise UsageError(f'{name}: task must be "auto", "classification" or "regression", got {task!r}')
    numbers = y.dtype.kind in "iuf"
    if task == "regression" and not numbers:
        raise UsageError(f"{name}: regression needs numbers as y, got {y.dtype}: use classification or another label")
    if task != "auto" or classes is not None or not numbers:
        return "classification" if task == "auto" else task
    if y.ndim == 2 and np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all():
        raise UsageError(
            f"{name}: y holds indicator rows {y.shape}, a single 1 in each, but labels are wanted: use y.argmax(1), or "
            'say task="regression"'
        )
    if y.dtype.kind == "f" and (y.ndim == 2 or (y[np.isfinite(y)] % 1 != 0).any()):
        return "regression"
    distinct = len(np.unique(y)) if y.ndim == 1 else 0
    if distinct > 20 and distinct > len(y) / 4:  # a price, a year, an id: hardly a class
        raise UsageError(
            f"{name}: y has {distinct} different whole numbers in {len(y)} rows, which could be classes or a quantity: "
            'say which with task="classification" or task="regression"'
        )
    return "classification"


def _targets(name: str, what: str, part: np.ndarray) -> np.ndarray:
    """(N, O) floats."""
    if part.dtype.kind not in "iuf" or part.ndim not in (1, 2):
        raise UsageError(f"{name}: {what} must be numbers (rows,) or (rows, targets), got {part.dtype} {part.shape}")
    dtype = np.float32 if part.dtype.kind == "f" and part.dtype.itemsize <= 4 else np.float64
    return part.reshape(len(part), math.prod(part.shape[1:])).astype(dtype, copy=False)


def _labels(
    name: str, y: np.ndarray, y_test: np.ndarray | None, classes: Any
) -> tuple[np.ndarray, np.ndarray | None, tuple[str, ...]]:
    """Labels 0..K-1 of both parts and the names of the classes."""
    parts = {"y": y} if y_test is None else {"y": y, "y_test": y_test}
    for what, part in parts.items():
        if part.ndim != 1:
            raise UsageError(
                f"{name}: labels {what} must have shape (rows,), got {part.shape}: "
                f"use {what}.argmax(1) if these are indicator rows"
            )
        if part.dtype.kind not in "biufUS":
            raise UsageError(f"{name}: labels {what} must be whole numbers or strings, got {part.dtype}")
        if part.dtype.kind == "f" and not np.isfinite(part).all():
            row = int(np.argmin(np.isfinite(part)))
            raise UsageError(
                f"{name}: every row needs a label, but {what} is {part[row]} in row {row} (counted from 0)"
            )
        if part.dtype.kind == "S":
            parts[what] = np.char.decode(part, "utf-8", "backslashreplace")
    if classes is not None:
        names = tuple(str(label) for label in np.asarray(classes).reshape(-1))
        for what, part in parts.items():
            if part.dtype.kind not in "biu":
                raise UsageError(f"{name}: with classes given, {what} must hold their positions, got {part.dtype}")
        return y.astype(np.int64), None if y_test is None else y_test.astype(np.int64), names

    known, labels = np.unique(parts["y"], return_inverse=True)
    names = tuple(_label(label) for label in known)
    if y_test is None:
        return labels.astype(np.int64), None, names
    seen, first, places = np.unique(parts["y_test"], return_index=True, return_inverse=True)
    position = {label: k for k, label in enumerate(names)}  # by name: a column of 1 and 2 may come back as "1" and "2"
    for label, row in zip(seen, first, strict=True):
        if _label(label) not in position:
            raise UsageError(
                f"{name}: test labels must be classes of the training part ({_some(names)}), got {_label(label)!r} "
                f"in test row {row} (counted from 0)"
            )
    test = np.array([position[_label(label)] for label in seen], dtype=np.int64)
    return labels.astype(np.int64), test[places], names


def _label(value: Any) -> str:
    """2.0 and 2 are one label: "2"."""
    return str(int(value)) if isinstance(value, np.floating) and value % 1 == 0 else str(value)


def _size(name: str, shape: Any) -> tuple[int, int]:
    try:
        rows, cols = (int(side) for side in shape)
    except (TypeError, ValueError):
        raise UsageError(f"{name}: shape must be two numbers (rows, cols), got {shape!r}") from None
    return rows, cols


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")


def _check(data: Dataset) -> None:
    """Raise UsageError unless every statement of Dataset's docstring holds."""
    name = data.name
    _check_part(data, "x", data.x, "y", data.y)
    if (data.x_test is None) != (data.y_test is None):
        raise UsageError(f"{name}: a test part needs both x_test and y_test: give both or neither")
    if data.x_test is not None and data.y_test is not None:
        _check_part(data, "x_test", data.x_test, "y_test", data.y_test)
        if data.x_test.shape[1] != data.x.shape[1]:
            raise UsageError(
                f"{name}: the test part must have the {data.x.shape[1]} features of the training part, "
                f"got {data.x_test.shape[1]}"
            )
        if data.y_test.shape[1:] != data.y.shape[1:]:
            raise UsageError(f"{name}: y_test must have rows like y {data.y.shape[1:]}, got {data.y_test.shape[1:]}")
    if data.shape is not None and (min(data.shape) < 1 or data.shape[0] * data.shape[1] != data.x.shape[1]):
        raise UsageError(f"{name}: shape {data.shape} must have as many pixels as x has features, {data.x.shape[1]}")
    if data.features is not None and len(data.features) != data.x.shape[1]:
        raise UsageError(f"{name}: {data.x.shape[1]} features need as many names, got {len(data.features)}")
    if data.classes:
        if len(set(data.classes)) != len(data.classes):
            raise UsageError(f"{name}: the names of the classes must differ, got {_some(data.classes)}")
        if data.y.min() == data.y.max():
            only = data.classes[int(data.y[0])]
            raise UsageError(f"{name}: classification needs at least two classes, but every label is {only!r}")


def _check_part(data: Dataset, what_x: str, x: np.ndarray, what_y: str, y: np.ndarray) -> None:
    name, classes = data.name, data.classes
    if x.ndim != 2 or x.dtype not in (np.uint8, np.float32, np.float64):
        raise UsageError(
            f"{name}: {what_x} must be (rows, features) of uint8, float32 or float64, got {x.dtype} {x.shape}"
        )
    if x.size == 0:
        raise UsageError(f"{name}: {what_x} must have at least one row and one feature, got shape {x.shape}")
    allowed = (np.int64,) if classes else (np.float32, np.float64)
    if y.ndim != (1 if classes else 2) or y.dtype not in allowed or 0 in y.shape[1:]:
        form = "(rows,) of int64" if classes else "(rows, targets) of float32 or float64"
        raise UsageError(f"{name}: {what_y} must be {form}, got {y.dtype} {y.shape}")
    if len(x) != len(y):
        raise UsageError(f"{name}: every row needs one label, got {len(x)} rows in {what_x} and {len(y)} in {what_y}")
    if x.dtype != np.uint8:
        _check_finite(name, what_x, x, data.features)
    if not classes:
        _check_finite(name, what_y, y, None)
    elif y.min() < 0 or y.max() >= len(classes):
        row = int(np.argmax((y < 0) | (y >= len(classes))))
        raise UsageError(
            f"{name}: labels of {len(classes)} classes must lie in 0..{len(classes) - 1}, "
            f"got {y[row]} in row {row} of {what_y} (counted from 0)"
        )


def _check_finite(name: str, what: str, array: np.ndarray, features: tuple[str, ...] | None) -> None:
    finite = np.isfinite(array)
    if finite.all():
        return
    row, column = (int(place) for place in np.argwhere(~finite)[0])
    where = f"column {features[column]!r}" if features and column < len(features) else f"column {column}"
    raise UsageError(
        f"{name}: data must be finite, but {what} is {array[row, column]} in row {row}, {where} (counted from 0): "
        "remove such rows or fill in a number"
    )
