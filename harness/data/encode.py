"""From the columns of a table to features: texts become rows with a single one, holes the column's
mean.

All of it is fitted on the training part alone and is kept with the network, so that it reads the
raw table later.
"""

import hashlib
import json
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from harness.data.dataset import Dataset
from harness.data.prepare import fit_scale
from harness.data.reading import Table
from harness.errors import UsageError, option

_SMALL = 1.0  # numbers within this of 0 need no scale


@dataclass(frozen=True)
class Column:
    """What becomes of one column.

    name    in messages
    texts   those of the training part, in the order of their features; None for a column of numbers
    mean    of a column of numbers, put into holes; None where holes are refused
    filled  whether a feature beside it says where a hole was, since the training part had some
    holes   how many there were in the training part
    """

    name: str
    texts: tuple[str, ...] | None = None
    mean: float | None = None
    filled: bool = False
    holes: int = 0

    @property
    def width(self) -> int:
        """How many features it becomes."""
        return (1 if self.texts is None else len(self.texts)) + self.filled


@dataclass(frozen=True)
class Encoding:
    """How a table becomes features: fitted on the training part, plain data in and out.

    columns  what becomes of each column
    named    whether the columns have names of their own, by which a table is read
    missing  "mean" where holes are filled, None where they are refused
    rows     of the training part
    """

    columns: tuple[Column, ...]
    named: bool
    missing: str | None
    rows: int

    @property
    def names(self) -> tuple[str, ...] | None:
        """The names of the columns, None where they have none of their own."""
        return tuple(column.name for column in self.columns) if self.named else None

    @property
    def text_columns(self) -> tuple[str, ...]:
        """The columns of texts: their names, or their places as text where they have none."""
        return tuple(column.name for column in self.columns if column.texts is not None)

    @property
    def width(self) -> int:
        """How many features there are."""
        return sum(column.width for column in self.columns)

    @property
    def numeric(self) -> np.ndarray:
        """(F,) which features are numbers of the table, and can be scaled."""
        flags = [[column.texts is None, *[False] * (column.width - 1)] for column in self.columns]
        return np.array([flag for column in flags for flag in column], dtype=bool)

    @property
    def features(self) -> tuple[str, ...]:
        """What each feature is: "age", "sex=male", "age missing"."""
        found: list[str] = []
        for column in self.columns:
            found += (
                [column.name]
                if column.texts is None
                else [f"{column.name}={text}" for text in column.texts]
            )
            found += [f"{column.name} missing"] if column.filled else []
        return tuple(found)

    def __call__(self, table: Table) -> np.ndarray:
        """The features (N, F) of a table. A text that the training part had not is 0 in all
        features of its column.
        """
        what = table.what
        table = table.by_name(self.names)
        rows = len(table.values)
        values = table.values.reshape(rows, math.prod(table.values.shape[1:]))
        if values.shape[1] != len(self.columns):
            raise UsageError(
                f"{what} must have {len(self.columns)} columns in each row, got {values.shape[1]}: "
                f"give rows like "
                "those it learned from"
            )
        features = np.zeros((rows, self.width))
        at = 0
        for k, column in enumerate(self.columns):
            texts = None if table.texts is None else table.texts[k]
            holes = (
                np.isnan(values[:, k]) if values.dtype.kind == "f" else np.zeros(rows, dtype=bool)
            )
            if holes.any() and self.missing is None:
                raise UsageError(_hole(what, int(holes.argmax()), f"column {column.name!r}"))
            if column.texts is None:
                features[:, at] = _numbers(values[:, k], texts, holes, column, what)
            else:
                places = _places(values[:, k], texts, holes, column.texts)
                known = np.flatnonzero(places >= 0)
                features[known, at + places[known]] = 1
            at += column.width
            if column.filled:
                features[:, at - 1] = holes
        return features

    def to_json(self) -> dict[str, Any]:
        """As plain data, for a file."""
        columns = [[c.name, c.texts, c.mean, c.filled, c.holes] for c in self.columns]
        return {"columns": columns, "named": self.named, "missing": self.missing, "rows": self.rows}

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> "Encoding":
        """From what to_json gives, or JSON has made of it."""
        columns = [
            Column(name, None if texts is None else tuple(texts), mean, filled, holes)
            for name, texts, mean, filled, holes in said["columns"]
        ]
        return cls(tuple(columns), said["named"], said["missing"], said["rows"])


def _hole(what: str, row: int, where: str) -> str:
    return (
        f"data must be finite, but {what} is nan (missing) in row {row}, {where} (counted from 0): "
        f"remove such rows, "
        f"fill in a number, or say {option('missing', 'mean')} when the network is trained"
    )


def _numbers(
    values: np.ndarray, texts: tuple[str, ...] | None, holes: np.ndarray, column: Column, what: str
) -> np.ndarray:
    """A column of numbers, its holes filled."""
    if texts and not holes.all():
        row = int(np.argmin(holes))
        raise UsageError(
            f"{what}: column {column.name!r} must hold numbers, as where the network learned, got "
            f"{texts[int(values[row])]!r} in row {row} (counted from 0): turn it into numbers"
        )
    infinite = np.isinf(values) if values.dtype.kind == "f" else np.zeros(len(values), dtype=bool)
    if infinite.any():
        row = int(infinite.argmax())
        raise UsageError(
            f"data must be finite, but {what} is {values[row]} in row {row}, column "
            f"{column.name!r} (counted from 0): "
            "remove such rows or fill in a number"
        )
    return np.where(holes, np.float64(column.mean or 0.0), values) if holes.any() else values


def _places(
    values: np.ndarray, texts: tuple[str, ...] | None, holes: np.ndarray, known: tuple[str, ...]
) -> np.ndarray:
    """Where the texts of a column stand among those that are known; -1 for others and for holes."""
    from harness.data.labels import label_name

    place = {text: k for k, text in enumerate(known)}
    found = np.full(len(values), -1)
    there = values[~holes]
    if texts is None:  # a table that happens to have numbers only, in a column that had words too
        seen, back = np.unique(there, return_inverse=True)
        names = [label_name(value) for value in seen]
    else:
        names, back = list(texts), there.astype(np.int64)
    found[~holes] = (
        np.array([place.get(name, -1) for name in names], dtype=np.int64)[back]
        if len(names)
        else -1
    )
    return found


class Fitted(NamedTuple):
    """What is fitted on a training part: how a table becomes features (None: they are its numbers),
    the scale that "auto" has become, and its (shift, divisor).
    """

    encoding: Encoding | None
    scale: str
    scaling: tuple[np.ndarray, np.ndarray]

    def features(self, table: Table) -> np.ndarray:
        """The features (N, F) of a table, before they are scaled."""
        return table.values if self.encoding is None else self.encoding(table)

    def digest(self) -> str:
        """16 hexadecimal digits of all of it."""
        said = None if self.encoding is None else self.encoding.to_json()
        sha = hashlib.sha256(json.dumps([self.scale, said]).encode())
        for part in self.scaling:
            sha.update(np.ascontiguousarray(part, dtype="<f8").tobytes())
        return sha.hexdigest()[:16]


def fit(source: Dataset, rows: Any, scale: str) -> tuple[Fitted, np.ndarray]:
    """What is fitted on the training rows of a data set, and their features before they are scaled.

    scale   one of SCALES, or "auto": /255 for bytes; none where all numbers lie within [-1, 1]; else standardize.
            Texts and what says that something is missing are never scaled.
    """
    table = source.table(rows)
    x = table.values
    encoding = _fit_encoding(source, x)
    numeric = None
    if encoding is not None:
        x = encoding(table)
        numeric = encoding.numeric
    name = resolve_scale(scale, x, numeric)
    if numeric is None:
        return Fitted(None, name, fit_scale(name, x)), x
    shift, divisor = np.zeros(x.shape[1]), np.ones(x.shape[1])
    if numeric.any() and name != "none":
        shift[numeric], divisor[numeric] = fit_scale(name, x[:, numeric])
    return Fitted(encoding, name, (shift, divisor)), x


def resolve_scale(scale: str, x: np.ndarray, numeric: np.ndarray | None = None) -> str:
    """What the scale "auto" is for a training part x (N, F), of whose features those in `numeric`
    count.
    """
    if scale != "auto":
        return scale
    if x.dtype == np.uint8:
        return "/255"
    least, most = (np.min(x, axis=0), np.max(x, axis=0)) if len(x) else (np.zeros(1), np.zeros(1))
    if numeric is not None:
        least, most = least[numeric], most[numeric]
    return "none" if (least >= -_SMALL).all() and (most <= _SMALL).all() else "standardize"


def _fit_encoding(source: Dataset, x: np.ndarray) -> Encoding | None:
    """The encoding of a training part x (N, C); None where there are only numbers, and holes are
    refused.
    """
    if source.texts is None and source.missing is None:
        return None
    texts = source.texts or (None,) * x.shape[1]
    names = source.features or tuple(str(k) for k in range(x.shape[1]))
    columns = []
    for k, (name, known) in enumerate(zip(names, texts, strict=True)):
        values = x[:, k]
        holes = np.isnan(values) if x.dtype.kind == "f" else np.zeros(len(x), dtype=bool)
        count = int(holes.sum())
        if count == len(values):
            raise UsageError(
                f"{source.name}: column {name!r} has no value at all in the training part: leave "
                f"it out with "
                f"{option('drop', [name])}"
            )
        filled = bool(count) and source.missing is not None
        if known is None:
            mean = (
                None if source.missing is None else float(np.mean(values[~holes], dtype=np.float64))
            )
            columns.append(Column(name, None, mean, filled, count))
        else:
            there = np.unique(values[~holes]).astype(np.int64)
            columns.append(
                Column(name, tuple(known[place] for place in there), None, filled, count)
            )
    return Encoding(tuple(columns), source.features is not None, source.missing, len(x))


def describe(fitted: Fitted, scale: str) -> list[str]:
    """What the fit has decided by itself, for a reader: texts, holes, and what the scale "auto" has
    become.
    """
    said = []
    encoding = fitted.encoding
    if encoding is not None:
        texts = [column for column in encoding.columns if column.texts is not None]
        if texts:
            became = sum(len(column.texts or ()) for column in texts)
            columns = (
                "1 text column becomes" if len(texts) == 1 else f"{len(texts)} text columns become"
            )
            said.append(f"{columns} {became} feature{'s' if became > 1 else ''}")
        for column in encoding.columns:
            if column.holes and column.texts is None:
                said.append(f"{column.holes} of {encoding.rows} values of {column.name} filled")
            elif column.holes:
                said.append(f"{column.holes} of {encoding.rows} values of {column.name} missing")
    if scale == "auto" and fitted.scale == "standardize":
        said.append(f"numbers are standardized ({option('scale', 'none')} leaves them as they are)")
    return said
