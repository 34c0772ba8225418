"""What a data set is: arrays that cannot change, and a digest of their content."""

import hashlib
import math
import sys
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from harness import checks
from harness.data.labels import Places, label_name, read_labels
from harness.data.reading import MOST_TEXTS, Table, Texts, read_table
from harness.errors import UsageError, option


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Rows to learn from, and perhaps rows to test on; every array is read-only.

    name        what it is called in tables; not part of the digest
    x           (N, I) uint8, float32 or float64, finite but for holes, C-contiguous
    y           (N,) int64 labels 0..K-1 (classification) or (N, O) float rows (regression)
    classes     K names in the order of the labels; () for regression
    shape       (rows, cols) of a picture with rows * cols == I, or None
    x_test, y_test   the same for the test part, or None; nothing here looks at them but their own checks
    features    I names of the columns of x, or None
    texts       for each column of x its different texts, of which x then holds the places, None for one of numbers;
                None where all are numbers
    missing     "mean" where a hole (NaN) in x is filled with the mean of the training part; None: there is none
    notes       what was guessed when it was read, to be said once
    valid_rows  how many of the last rows of x and y are a validation part of its own; 0: a part is split off
    weights     (N,) weights of the rows in the loss, or None; see `with_weights`

    Raises UsageError where that does not hold. `from_arrays` makes one from arrays in almost any
    form.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    classes: tuple[str, ...] = ()
    shape: tuple[int, int] | None = None
    x_test: np.ndarray | None = None
    y_test: np.ndarray | None = None
    features: tuple[str, ...] | None = None
    texts: Texts | None = None
    missing: str | None = None
    notes: tuple[str, ...] = ()
    valid_rows: int = 0
    weights: np.ndarray | None = None

    def __post_init__(self) -> None:
        _check(self)
        for field in ("x", "y", "x_test", "y_test", "weights"):
            array = getattr(self, field)
            if array is not None:
                # A view: the caller's own array keeps its flags
                array = np.ascontiguousarray(array).view()
                array.flags.writeable = False
                object.__setattr__(self, field, array)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        # pickle forgets that they are read-only
        for array in (self.x, self.y, self.x_test, self.y_test, self.weights):
            if array is not None:
                array.flags.writeable = False

    @property
    def task(self) -> str:
        """ "classification" or "regression"."""
        return "classification" if self.classes else "regression"

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the shapes, types and bytes of x, y, x_test, y_test, the names of the
        classes, and all else that is there of texts, missing values, a validation part and
        weights.
        """
        sha = hashlib.sha256()
        for array in (self.x, self.y, self.x_test, self.y_test):
            if array is None:
                sha.update(b"none;")
            else:
                sha.update(f"{array.shape} {array.dtype.str};".encode())
                sha.update(array.data)
        sha.update(repr(self.classes).encode())
        if self.texts is not None or self.missing is not None:
            sha.update(repr((self.features, self.texts, self.missing)).encode())
        if self.valid_rows:
            sha.update(f"the last {self.valid_rows} rows are for validation;".encode())
        if self.weights is not None:
            sha.update(b"weights;" + self.weights.astype("<f8").tobytes())
        return sha.hexdigest()

    def table(self, rows: Any = slice(None)) -> Table:
        """Rows of the training part as a table."""
        return Table(self.x[rows], self.features, self.texts, self.name)

    def test_table(self) -> Table:
        """The test part as a table."""
        assert self.x_test is not None
        return Table(self.x_test, self.features, self.texts, f"{self.name}: the test part")

    def __repr__(self) -> str:
        rows, features = self.x.shape
        kind = f"{len(self.classes)} classes" if self.classes else f"{self.y.shape[1]} targets"
        test = 0 if self.x_test is None else len(self.x_test)
        valid = f"{self.valid_rows} validation rows, " if self.valid_rows else ""
        size = f"{rows - self.valid_rows} x {features} {self.x.dtype}"
        return f"Dataset({self.name!r}: {size}, {kind}, {valid}{test} test rows)"


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
    missing: str | None = None,
    max_texts: int = MOST_TEXTS,
) -> Dataset:
    """A Dataset from arrays or tables as people have them.

    x, x_test   (N, ...) numbers, flattened to (N, I); (N, r, c) gives shape=(r, c). Whole numbers become uint8 if they
                are pixels (a shape is known and all lie in 0..255), else float32 where that is
                exact, else float64. Or a table (pandas), whose columns of texts become features
                with a single one when a network is trained.
    y, y_test   (N,) or (N, 1) labels: whole numbers, truth values or strings; or (N, O) floats
    classes     names of the classes: y then holds positions in them. Otherwise they are the sorted distinct labels of
                y, and labels become 0..K-1 in that order.
    task        "classification", "regression", or "auto": regression if y has a fraction somewhere or several columns
    missing     "mean": holes in x (NaN, None, pandas.NA, masked) are filled with the mean of their column over the
                training part, and a feature beside it says where they were; None: they are refused
    max_texts   how many different texts a column may have

    A missing label is refused, with its row. The arrays are shared where their type allows it, not
    copied: do not change them afterwards.
    """
    if x is None or y is None:
        raise UsageError(f"{name}: x and y must both be given")
    table = read_table(x, f"{name}: x", max_texts)
    test = None
    if x_test is not None:
        test = read_table(
            x_test, f"{name}: x_test", sys.maxsize, table.names, texts=table.text_columns
        )
        test = test.by_name(table.names)
    y = read_labels(y, f"{name}: y")
    y_test = None if y_test is None else read_labels(y_test, f"{name}: y_test")
    if task_of(name, y, task, classes) == "regression":
        y = targets(name, "y", y)
        y_test = None if y_test is None else targets(name, "y_test", y_test)
        classes = ()
    else:
        y, y_test, classes = _labels(name, y, y_test, classes)
    if features is not None:
        table = replace(table, names=tuple(str(feature) for feature in features))
    return from_table(name, table, y, test, y_test, classes=classes, shape=shape, missing=missing)


def from_table(
    name: str,
    table: Table,
    y: np.ndarray,
    test: Table | None = None,
    y_test: np.ndarray | None = None,
    *,
    classes: tuple[str, ...],
    shape: tuple[int, int] | None = None,
    missing: str | None = None,
    notes: tuple[str, ...] = (),
) -> Dataset:
    """A Dataset of features that are read, and of labels that are the places of classes or rows of
    targets.
    """
    x = table.values
    x_test = None if test is None else test.values
    if x.ndim < 2:
        raise UsageError(
            f"{name}: x must have shape (rows, features), got {x.shape}: use x.reshape(-1, 1) if "
            f"it is one feature"
        )
    if x_test is not None and x_test.shape[1:] != x.shape[1:]:
        raise UsageError(
            f"{name}: a test row must look like a training row {x.shape[1:]}, got "
            f"{x_test.shape[1:]}"
        )
    texts = table.texts
    if test is not None and (texts is not None or test.texts is not None):
        texts, x_test = same_texts(name, table, test, "test part")
    if shape is None and x.ndim == 3:
        shape = (x.shape[1], x.shape[2])
    x, x_test = _narrow(x, x_test, pixels=shape is not None)
    x = x.reshape(len(x), math.prod(x.shape[1:]))
    if x_test is not None:
        x_test = x_test.reshape(len(x_test), math.prod(x_test.shape[1:]))
    size = None if shape is None else _size(name, shape)
    return Dataset(name, x, y, classes, size, x_test, y_test, table.names, texts, missing, notes)


def same_texts(name: str, table: Table, test: Table, part: str) -> tuple[Texts, np.ndarray]:
    """Texts of each column for the training part and another one alike, and the values of the other
    one in them.

    A text that only the other part has comes behind those of the training part, which it does not
    change.
    """
    nothing = (None,) * table.values.shape[1]
    values = np.array(test.values, dtype=np.float64)
    texts: list[tuple[str, ...] | None] = []
    for k, (mine, other) in enumerate(
        zip(table.texts or nothing, test.texts or nothing, strict=True)
    ):
        column, there = values[:, k], ~np.isnan(values[:, k])
        shown = f"column {k if table.names is None else table.names[k]!r}"
        if mine is None and other is not None and there.any():
            row = int(there.argmax())
            raise UsageError(
                f"{name}: {shown} of the {part} must hold numbers, as in the training part, got "
                f"{other[int(column[row])]!r} in row {row} (counted from 0): correct it"
            )
        if mine is None:
            texts.append(None)
            continue
        seen, back = np.unique(column[there], return_inverse=True)
        names = [label_name(value) if other is None else other[int(value)] for value in seen]
        known = (*mine, *(text for text in names if text not in mine))
        if len(names):
            column[there] = np.array([known.index(text) for text in names], dtype=np.float64)[back]
        texts.append(known)
    return tuple(texts), values


def _narrow(
    x: np.ndarray, x_test: np.ndarray | None, pixels: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    """The smallest of uint8 (only for pixels), float32 and float64 that holds training and test
    part exactly.
    """
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


def task_of(name: str, y: np.ndarray, task: str, classes: Any) -> str:
    """Which task labels `y` ask for, when the user leaves it open."""
    if task not in ("auto", "classification", "regression"):
        raise UsageError(f"{name}: task must be auto, classification or regression, got {task!r}")
    numbers = y.dtype.kind in "iuf"
    if task == "regression" and not numbers:
        raise UsageError(
            f"{name}: regression needs numbers as y, got {y.dtype}: say "
            f"{option('task', 'classification')} or choose "
            "another label"
        )
    if task != "auto" or classes is not None or not numbers:
        return "classification" if task == "auto" else task
    if y.ndim == 2 and np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all():
        raise UsageError(
            f"{name}: y holds indicator rows {y.shape}, a single 1 in each, but labels are wanted: "
            f"use y.argmax(1), or "
            f"say {option('task', 'regression')}"
        )
    if y.dtype.kind == "f" and (y.ndim == 2 or (y[np.isfinite(y)] % 1 != 0).any()):
        return "regression"
    distinct = len(np.unique(y)) if y.ndim == 1 else 0
    if distinct > 20 and distinct > len(y) / 4:  # a price, a year, an id: hardly a class
        raise UsageError(
            f"{name}: y has {distinct} different whole numbers in {len(y)} rows, which could be "
            f"classes or a quantity: "
            f"say which with {option('task', 'classification')} or {option('task', 'regression')}"
        )
    return "classification"


def targets(name: str, what: str, part: np.ndarray) -> np.ndarray:
    """(N, O) floats."""
    if part.dtype.kind not in "iuf" or part.ndim not in (1, 2):
        raise UsageError(
            f"{name}: {what} must be numbers (rows,) or (rows, targets), got "
            f"{part.dtype} {part.shape}"
        )
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
        if part.dtype.kind not in "biufU":
            raise UsageError(
                f"{name}: labels {what} must be whole numbers or strings, got {part.dtype}"
            )
        if part.dtype.kind == "f" and not np.isfinite(part).all():
            row = int(np.argmin(np.isfinite(part)))
            raise UsageError(
                f"{name}: every row needs a label, but {what} is {part[row]} in row {row} (counted "
                f"from 0)"
            )
    if classes is not None:
        names = tuple(str(label) for label in np.asarray(classes).reshape(-1))
        for what, part in parts.items():
            if part.dtype.kind not in "biu":
                raise UsageError(
                    f"{name}: with classes given, {what} must hold their positions, "
                    f"got {part.dtype}"
                )
        return y.astype(np.int64), None if y_test is None else y_test.astype(np.int64), names

    known, labels = np.unique(y, return_inverse=True)
    names = tuple(label_name(label) for label in known)
    test = None if y_test is None else places_in_test(name, names, y_test)
    return labels.astype(np.int64), test, names


def places_in_test(name: str, names: tuple[str, ...], labels: np.ndarray) -> np.ndarray:
    """The places of the labels of a test part among the classes."""
    must = f"{name}: test labels must be classes of the training part ({_some(names)})"
    return Places(names).all(labels, must, "test row")


def _size(name: str, shape: Any) -> tuple[int, int]:
    sides = checks.plain(shape)
    if not isinstance(sides, list) or len(sides) != 2 or not all(map(checks.is_whole, sides)):
        raise UsageError(
            f"{name}: shape must be two whole numbers (rows, cols), got {checks.shown(shape)}"
        )
    return sides[0], sides[1]


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")


def _check(data: Dataset) -> None:
    """Raise UsageError unless every statement of Dataset's docstring holds."""
    name = data.name
    check_part(data, "x", data.x, "y", data.y)
    if (data.x_test is None) != (data.y_test is None):
        raise UsageError(f"{name}: a test part needs both x_test and y_test: give both or neither")
    if data.x_test is not None and data.y_test is not None:
        check_part(data, "x_test", data.x_test, "y_test", data.y_test)
        if data.x_test.shape[1] != data.x.shape[1]:
            raise UsageError(
                f"{name}: the test part must have the {data.x.shape[1]} features of the training "
                f"part, "
                f"got {data.x_test.shape[1]}"
            )
        if data.y_test.shape[1:] != data.y.shape[1:]:
            raise UsageError(
                f"{name}: y_test must have rows like y {data.y.shape[1:]}, got "
                f"{data.y_test.shape[1:]}"
            )
    if data.shape is not None and (
        min(data.shape) < 1 or data.shape[0] * data.shape[1] != data.x.shape[1]
    ):
        raise UsageError(
            f"{name}: shape {data.shape} must have as many pixels as x has features, "
            f"{data.x.shape[1]}"
        )
    if not 0 <= data.valid_rows < len(data.y):
        raise UsageError(
            f"{name}: valid_rows must leave rows to train on, got {data.valid_rows} "
            f"of {len(data.y)}"
        )
    if data.weights is not None and data.weights.shape != (len(data.y),):
        raise UsageError(
            f"{name}: weights must be one for each of {len(data.y)} rows, got {data.weights.shape}"
        )
    if data.missing not in (None, "mean"):
        raise UsageError(f'{name}: missing must be "mean" or None, got {data.missing!r}')
    if data.texts is not None and len(data.texts) != data.x.shape[1]:
        raise UsageError(
            f"{name}: {data.x.shape[1]} columns need texts, or None, for each, got "
            f"{len(data.texts)}"
        )
    if data.features is not None and len(data.features) != data.x.shape[1]:
        raise UsageError(
            f"{name}: {data.x.shape[1]} features need as many names, got {len(data.features)}"
        )
    if data.classes:
        if len(set(data.classes)) != len(data.classes):
            raise UsageError(
                f"{name}: the names of the classes must differ, got {_some(data.classes)}"
            )
        if data.y.min() == data.y.max():
            only = data.classes[int(data.y[0])]
            raise UsageError(
                f"{name}: classification needs at least two classes, but every label is {only!r}"
            )


def check_part(data: Dataset, what_x: str, x: np.ndarray, what_y: str, y: np.ndarray) -> None:
    name, classes = data.name, data.classes
    if x.ndim != 2 or x.dtype not in (np.uint8, np.float32, np.float64):
        raise UsageError(
            f"{name}: {what_x} must be (rows, features) of uint8, float32 or float64, got "
            f"{x.dtype} {x.shape}"
        )
    if x.size == 0:
        raise UsageError(
            f"{name}: {what_x} must have at least one row and one feature, got shape {x.shape}"
        )
    allowed = (np.int64,) if classes else (np.float32, np.float64)
    if y.ndim != (1 if classes else 2) or y.dtype not in allowed or 0 in y.shape[1:]:
        form = "(rows,) of int64" if classes else "(rows, targets) of float32 or float64"
        raise UsageError(f"{name}: {what_y} must be {form}, got {y.dtype} {y.shape}")
    if len(x) != len(y):
        raise UsageError(
            f"{name}: every row needs one label, got {len(x)} rows in {what_x} and "
            f"{len(y)} in {what_y}"
        )
    if x.dtype != np.uint8:
        _check_finite(name, what_x, x, data.features, data.missing is not None)
    if not classes:
        _check_finite(name, what_y, y, None)
    elif y.min() < 0 or y.max() >= len(classes):
        row = int(np.argmax((y < 0) | (y >= len(classes))))
        raise UsageError(
            f"{name}: labels of {len(classes)} classes must lie in 0..{len(classes) - 1}, "
            f"got {y[row]} in row {row} of {what_y} (counted from 0)"
        )


def _check_finite(
    name: str, what: str, array: np.ndarray, features: tuple[str, ...] | None, holes: bool = False
) -> None:
    fine = ~np.isinf(array) if holes else np.isfinite(array)
    if fine.all():
        return
    row, column = (int(place) for place in np.argwhere(~fine)[0])
    where = (
        f"column {features[column]!r}"
        if features and column < len(features)
        else f"column {column}"
    )
    value = array[row, column]
    ways = "remove such rows or fill in a number"
    if np.isnan(value) and not what.startswith("y"):
        ways = f"remove such rows, fill in a number, or say {option('missing', 'mean')}"
    shown = "missing (nan)" if np.isnan(value) else str(value)
    raise UsageError(
        f"{name}: data must be finite, but {what} is {shown} in row {row}, {where} (counted from "
        f"0): {ways}"
    )
