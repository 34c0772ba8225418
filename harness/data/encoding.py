"""Where a column of texts becomes features, one for each text, and missing numbers become the mean.

An encoding is fitted on the training part alone. It is kept with the network, so that the network
reads raw tables later.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.data.dataset import Dataset
from harness.data.labels import label_name
from harness.data.missing import fill, mean_of_known, missing_in, refuse_missing
from harness.data.table import Names, Table, counted
from harness.errors import UsageError, option


@dataclass(frozen=True)
class ColumnEncoding:
    """What becomes of one column.

    Attributes
    ----------
    name
        The name of the column, in messages.
    texts
        The texts of the training part, in the order of their features; None for a column of
        numbers.
    mean
        The mean of a column of numbers, which is put where one is missing; None where a missing
        number is refused.
    marks_missing
        Whether one more feature says where a value was missing, since the training part had some.
    missing_count
        How many values were missing in the training part.
    """

    name: str
    texts: Names = None
    mean: float | None = None
    marks_missing: bool = False
    missing_count: int = 0

    @property
    def width(self) -> int:
        """How many features it becomes."""
        width = 1 if self.texts is None else len(self.texts)
        return width + self.marks_missing

    @property
    def features(self) -> list[str]:
        """What each of its features is."""
        features = [self.name]
        if self.texts is not None:
            features = [f"{self.name}={text}" for text in self.texts]
        if self.marks_missing:
            features.append(f"{self.name} missing")
        return features

    def encode(self, values: np.ndarray, texts: Names, what: str, out: np.ndarray) -> None:
        """Writes the features of a column.

        Parameters
        ----------
        values
            (N,) numbers, or places in `texts`; a missing one is NaN.
        texts
            The different texts of the column in this table; None where it has only numbers.
        what
            What to call the table in a message.
        out
            Where the features (N, width) go; all zeros.

        Raises
        ------
        UsageError
            If a column of numbers holds a text or an infinite number.
        """
        missing = missing_in(values)
        if self.texts is not None:
            places = _places(values, texts, missing, self.texts)
            # A missing text, and one that the training part did not have, is 0 everywhere.
            known = np.flatnonzero(places >= 0)
            out[known, places[known]] = 1
        else:
            if texts and not missing.all():
                row = int(np.argmin(missing))
                raise UsageError(
                    f"{what}: column {self.name!r} must hold numbers, as where the network "
                    f"learned, got {texts[int(values[row])]!r} in row {row} (counted from 0): turn "
                    "it into numbers"
                )
            self._refuse_infinite(values, what)
            out[:, 0] = fill(values, missing, self.mean)
        if self.marks_missing:
            out[:, -1] = missing

    def _refuse_infinite(self, values: np.ndarray, what: str) -> None:
        infinite = np.isinf(values)
        if infinite.any():
            row = int(infinite.argmax())
            raise UsageError(
                f"data must be finite, but {what} is {values[row]} in row {row}, column "
                f"{self.name!r} (counted from 0): remove such rows or fill in a number"
            )


def _places(
    values: np.ndarray, texts: Names, missing: np.ndarray, known: tuple[str, ...]
) -> np.ndarray:
    """The place of each row's text among the known ones; -1 for others and for missing ones."""
    places = np.full(len(values), -1)
    present = values[~missing]
    # A later table may happen to have only numbers where the training part had words, too.
    if texts is None:
        different, back = np.unique(present, return_inverse=True)
        texts = tuple(label_name(value) for value in different)
    else:
        back = present.astype(np.int64)
    if texts:
        place_of = {text: k for k, text in enumerate(known)}
        found = np.array([place_of.get(text, -1) for text in texts], dtype=np.int64)
        places[~missing] = found[back]
    return places


@dataclass(frozen=True)
class Encoding:
    """How a table becomes features.

    Attributes
    ----------
    columns
        What becomes of each column.
    named
        Whether the columns have names of their own, by which a table is read.
    missing
        "mean" where missing numbers are filled, None where they are refused.
    rows
        How many rows the training part had.
    """

    columns: tuple[ColumnEncoding, ...]
    named: bool
    missing: str | None
    rows: int

    @property
    def names(self) -> Names:
        """The names of the columns, None where they have none of their own."""
        if not self.named:
            return None
        return tuple(column.name for column in self.columns)

    @property
    def text_columns(self) -> tuple[str, ...]:
        """The columns of texts: their names, or their places as text where they have none."""
        return tuple(column.name for column in self.columns if column.texts is not None)

    @property
    def numeric(self) -> np.ndarray:
        """(F,) which features are numbers of the table, and can be scaled."""
        flags: list[bool] = []
        for column in self.columns:
            # A column of numbers is its first feature; the feature that marks missing ones follows.
            flags.append(column.texts is None)
            flags += [False] * (column.width - 1)
        return np.array(flags, dtype=bool)

    @property
    def features(self) -> tuple[str, ...]:
        """What each feature is: "age", "sex=male", "age missing"."""
        return tuple(feature for column in self.columns for feature in column.features)

    def __call__(self, table: Table) -> np.ndarray:
        """The features (N, F) of a table.

        A text that the training part did not have is 0 in all features of its column.

        Raises
        ------
        UsageError
            If the table has other columns than the training part, or if a value is missing and
            missing values are refused.
        """
        what = table.what
        table = table.by_name(self.names)
        rows = len(table.values)
        values = table.values.reshape(rows, math.prod(table.values.shape[1:]))
        if values.shape[1] != len(self.columns):
            raise UsageError(
                f"{what} must have {len(self.columns)} columns in each row, got {values.shape[1]}: "
                "give rows like those it learned from"
            )
        features = np.zeros((rows, sum(column.width for column in self.columns)))
        start = 0
        for k, column in enumerate(self.columns):
            if self.missing is None:
                refuse_missing(values[:, k], what, column.name)
            end = start + column.width
            column.encode(values[:, k], table.texts_of(k), what, features[:, start:end])
            start = end
        return features

    def to_json(self) -> dict[str, Any]:
        """As plain data, for the file of a saved network."""
        columns = [
            [column.name, column.texts, column.mean, column.marks_missing, column.missing_count]
            for column in self.columns
        ]
        return {"columns": columns, "named": self.named, "missing": self.missing, "rows": self.rows}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Encoding":
        """From what `to_json` returns, or from what JSON has made of it."""
        columns = []
        for name, texts, mean, marks_missing, missing_count in data["columns"]:
            # JSON has no tuples.
            if texts is not None:
                texts = tuple(texts)
            columns.append(ColumnEncoding(name, texts, mean, marks_missing, missing_count))
        return cls(tuple(columns), data["named"], data["missing"], data["rows"])


def fit_encoding(source: Dataset, x: np.ndarray) -> Encoding | None:
    """The encoding of a training part; None where there are only numbers, and none may be missing.

    Parameters
    ----------
    source
        The data set, which knows its columns.
    x
        The rows (N, C) of the training part.

    Raises
    ------
    UsageError
        If a column has no value at all.
    """
    if source.texts is None and source.missing is None:
        return None
    count = x.shape[1]
    texts = source.texts or (None,) * count
    names = source.features or counted(count)
    columns = [_fit_column(source, names[k], texts[k], x[:, k]) for k in range(count)]
    return Encoding(tuple(columns), source.features is not None, source.missing, len(x))


def _fit_column(source: Dataset, name: str, texts: Names, values: np.ndarray) -> ColumnEncoding:
    """What becomes of a column (N,) of the training part, of which these are the texts."""
    missing = missing_in(values)
    count = int(missing.sum())
    if count == len(values):
        raise UsageError(
            f"{source.name}: column {name!r} has no value at all in the training part: leave it "
            f"out with {option('drop', [name])}"
        )
    mean = None
    if texts is not None:
        # Texts that only other parts have become no features, since nothing is learned of them.
        places = np.unique(values[~missing]).astype(np.int64)
        texts = tuple(texts[place] for place in places)
    elif source.missing is not None:
        mean = mean_of_known(values, missing)
    marks_missing = count > 0 and source.missing is not None
    return ColumnEncoding(name, texts, mean, marks_missing, count)
