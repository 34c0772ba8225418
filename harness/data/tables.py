"""The data sets csv and parquet: up to three files with the same columns, one of labels."""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import checks
from harness.data.assemble import assemble
from harness.data.columns import MOST_TEXTS, foreign_number
from harness.data.csv_format import Form
from harness.data.dataset import Dataset
from harness.data.labels import in_order, label_name, read_labels
from harness.data.paths import existing
from harness.data.reading import read_table
from harness.data.table import Table
from harness.data.table_files import first_columns, no_column, read_frame
from harness.data.targets import Targets, regression_rows, test_places
from harness.data.task import task_of
from harness.data.validation import join_validation
from harness.errors import UsageError, option
from harness.registry.decorators import dataset

if TYPE_CHECKING:
    from pandas import DataFrame


@dataset("csv")
def csv(
    path: str,
    label: str | None = None,
    test: str | None = None,
    task: str = "auto",
    shape: tuple[int, int] | None = None,
    drop: tuple[str, ...] = (),
    sep: str | None = None,
    missing: str | None = None,
    max_texts: int = MOST_TEXTS,
    decimal: str | None = None,
    thousands: str | None = None,
    encoding: str | None = None,
    valid: str | None = None,
) -> Dataset:
    """A CSV file (.csv, .tsv, perhaps .gz): one column of labels, all others features.

    It has a header. Features are numbers or a few different texts.

    Parameters
    ----------
    path
        The file.
    label
        Name of the column of labels: strings or whole numbers (classes), or numbers with fractions
        (regression).
    test
        Another file with the same columns, for the test part.
    task
        "classification" or "regression" where "auto" would guess wrong.
    shape
        (rows, cols) if the features are the pixels of a picture.
    drop
        Names of columns to leave out; as one text, joined by commas.
    sep
        What stands between two cells; guessed from the first lines, and said, where it is not
        given.
    missing
        "mean": an empty cell is filled with its column's mean over the training part, beside it a
        feature that says so; where it is not given, an empty cell is refused.
    max_texts
        How many different texts a column may have; each becomes a feature.
    decimal
        The decimal mark, if it is not ".".
    thousands
        What groups the digits of numbers, such as ".".
    encoding
        The encoding of the text, if it is not UTF-8, such as "latin-1".
    valid
        Another file with the same columns, for the validation part; then none is split off.
    """
    files = _Files(path, label, drop, max_texts, Form(sep, decimal, thousands, encoding))
    return files.dataset(test, valid, task=task, shape=shape, missing=missing)


@dataset("parquet")
def parquet(
    path: str,
    label: str | None = None,
    test: str | None = None,
    task: str = "auto",
    shape: tuple[int, int] | None = None,
    drop: tuple[str, ...] = (),
    missing: str | None = None,
    max_texts: int = MOST_TEXTS,
    valid: str | None = None,
) -> Dataset:
    """A Parquet file: one column of labels, all others features.

    Parameters
    ----------
    path, label, test, task, shape, drop, missing, max_texts, valid
        As of `csv`.

    Raises
    ------
    UsageError
        As of `csv`.
    """
    files = _Files(path, label, drop, max_texts)
    return files.dataset(test, valid, task=task, shape=shape, missing=missing)


@dataclass(frozen=True)
class _Part:
    """A table in a file, and its labels.

    Attributes
    ----------
    features
        The columns of features.
    labels
        The labels as they are written, (N,).
    numbers
        The labels as numbers where they are some, else as they are written.
    guessed
        What was guessed of how the file is written.
    """

    features: "DataFrame"
    labels: np.ndarray
    numbers: np.ndarray
    guessed: tuple[str, ...]

    @property
    def are_texts(self) -> bool:
        """Whether labels are texts, as they always are in a CSV file."""
        return self.labels.dtype.kind == "U"


class _Files:
    """The files of one data set: what is said of the training part holds for the others.

    Parameters
    ----------
    path
        The file of the training part.
    label
        The name of the column of labels.
    drop
        The columns to leave out.
    max_texts
        How many different texts a column may have.
    form
        How the files are written.
    """

    def __init__(
        self, path: str, label: str | None, drop: Any, max_texts: Any, form: Form | None = None
    ):
        self.path = path
        self.name = existing(path).name
        self.label = label
        self.drop = _names_to_drop(drop)
        self.form = form
        max_texts = checks.whole("max_texts", max_texts, 1)
        self.train = self._read_part(path, (), must_drop=True)
        self.table = read_table(self.train.features, str(path), max_texts, in_file=True)

    def dataset(
        self, test: str | None, valid: str | None, *, task: str, shape: Any, missing: str | None
    ) -> Dataset:
        """The data set, with the files of a test part and of a validation part where there are."""
        test_part = None
        test_table = None
        if test is not None:
            test_part = self._read_other(test)
            test_table = self._same_columns(str(test), test_part).by_name(self.table.names)
        targets = _targets(self.name, self.train, test_part, task)
        data = assemble(
            self.name,
            self.table,
            test_table,
            targets,
            shape=shape,
            missing=missing,
            notes=self.train.guessed,
        )
        if valid is None:
            return data
        valid_part = self._read_other(valid)
        valid_table = self._same_columns(valid, valid_part)
        is_regression = data.task == "regression"
        labels = valid_part.numbers if is_regression else valid_part.labels
        return join_validation(data, valid_table, labels)

    def _read_other(self, path: str) -> _Part:
        # A column that is left out of the training part need not be in the other files.
        return self._read_part(path, self.table.text_columns, must_drop=False)

    def _read_part(self, path: str, texts: tuple[str, ...], must_drop: bool) -> _Part:
        """One file; `texts` are the columns that are read as they are written, as labels are."""
        label = self.label
        if label is not None:
            texts = (*texts, label)
        frame = read_frame(str(path), self.form, self.drop, texts, must_drop)
        columns = list(frame.table.columns)
        if label is None:
            # Most tables have their labels last.
            example = columns[-1] if columns else "y"
            raise UsageError(
                f"{path}: say which column holds the labels, as in {option('label', example)}; "
                f"the columns are {first_columns(columns)}"
            )
        if label not in columns:
            raise no_column(path, label, columns)
        if not len(frame.table):
            raise UsageError(
                f"{path}: a table must have at least one row, got its header only: add rows"
            )
        labels = read_labels(frame.table[label], f"{path}: column {label!r}")
        numbers = labels
        if labels.dtype.kind == "U" and label in frame.numbers:
            numbers = np.asarray(frame.numbers[label])
        return _Part(frame.table.drop(columns=[label]), labels, numbers, frame.guessed)

    def _same_columns(self, path: str, part: _Part) -> Table:
        """The features of another file, read as those of the training part.

        Raises
        ------
        UsageError
            If its columns are not those of the training part.
        """
        columns = list(self.train.features.columns)
        others = list(part.features.columns)
        for name in (*columns, *others):
            if (name in columns) != (name in others):
                lacking = path if name in columns else self.path
                raise UsageError(
                    f"{path}: its columns must be those of {self.path}, but {name!r} is missing in "
                    f"{lacking}"
                )
        first = self.table
        return read_table(
            part.features, path, sys.maxsize, first.names, in_file=True, texts=first.text_columns
        )


def _names_to_drop(drop: Any) -> tuple[str, ...]:
    """What a user gives as columns to leave out, as a tuple; UsageError for anything else."""
    drop = checks.plain(drop)
    if drop is None:
        return ()
    if isinstance(drop, str):
        return (drop,)
    if not isinstance(drop, list):
        raise UsageError(
            f"drop must be names of columns, such as {option('drop', ['id'])}, got "
            f"{checks.shown(drop)}"
        )
    return tuple(drop)


def _targets(name: str, train: _Part, test: _Part | None, task: str) -> Targets:
    """The labels of the training part and of the test part as a Dataset holds them."""
    if task_of(name, train.numbers, task, None) == "regression":
        y_test = None
        if test is not None:
            y_test = regression_rows(name, "y_test", test.numbers)
        return Targets(regression_rows(name, "y", train.numbers), (), y_test)
    different, back = np.unique(train.labels, return_inverse=True)
    names = [label_name(label) for label in different]
    classes = tuple(names)
    if train.are_texts:
        if task == "auto":
            _refuse_foreign(name, names)
        classes = in_order(names)
    places = np.array([classes.index(label) for label in names], dtype=np.int64)
    y_test = None
    if test is not None:
        y_test = test_places(name, classes, test.labels)
    return Targets(places[back], classes, y_test)


def _refuse_foreign(name: str, names: list[str]) -> None:
    """Refuses labels that look like numbers with commas, which nobody means as classes."""
    foreign = foreign_number(names)
    if foreign is not None:
        raise UsageError(
            f"{name}: labels must be classes or numbers, got {foreign.text!r}: say {foreign.remedy}"
        )
