"""Data sets from a user's files: NumPy archives, tables with a label column, folders of IDX
files.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from harness import checks
from harness.data.dataset import Dataset, from_arrays, from_table, places_in_test, targets, task_of
from harness.data.idx import read_idx
from harness.data.labels import in_order, label_name, read_labels
from harness.data.reading import MOST_TEXTS, Table, foreign_numbers, read_table
from harness.data.tables import Form, existing, no_column, read_frame, shown
from harness.data.validation import join_validation, with_validation
from harness.errors import UsageError, option
from harness.registry.decorators import dataset
from harness.registry.known import suggest


@dataset("npz")
def npz(
    path: str, task: str = "auto", shape: tuple[int, int] | None = None, missing: str | None = None
) -> Dataset:
    """A NumPy archive (np.savez) with arrays x and y, and perhaps x_valid and y_valid, x_test and
    y_test, classes, features.

    x (N, ...), y (N,) labels counted from 0 or strings, or (N, O) floats for regression. See
    `from_arrays`.
    """
    file = existing(path)
    wanted = ("x", "y", "x_valid", "y_valid", "x_test", "y_test", "classes", "features")
    try:
        with file.open("rb") as stream:
            archive = np.load(stream, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise UsageError(
                    f"{path}: an .npz archive with arrays x and y is needed, got a single array: "
                    f"use np.savez"
                )
            names = archive.files
            found: dict[str, Any] = {name: archive[name] for name in wanted if name in names}
    except UsageError:
        raise
    except MemoryError as error:
        raise UsageError(f"{path}: its arrays do not fit into memory: use fewer rows") from error
    except Exception as error:
        # Damaged archives raise almost anything, from zlib.error to NotImplementedError
        raise UsageError(
            f"{path}: cannot be read as an .npz archive of plain arrays ({_damage(error)})"
        ) from error
    for name in ("x", "y"):
        if name not in found:
            raise UsageError(
                f"{path}: there must be arrays x and y, {name!r} is missing; {suggest(name, names)}"
            )
    y = found["y"]
    if (
        task != "regression"
        and y.dtype.kind in "if"
        and y.ndim == 1
        and not (y % 1).any()
        and (y < 0).any()
    ):
        raise UsageError(
            f"{path}: labels in an .npz count from 0, got {y.min():g} in row "
            f"{int(np.argmax(y < 0))} (counted from 0): "
            'renumber them, store them as strings, or say task="regression"'
        )
    x_valid = found.pop("x_valid", None)
    y_valid = found.pop("y_valid", None)
    made = from_arrays(file.name, **found, task=task, shape=shape, missing=missing)
    if x_valid is None and y_valid is None:
        return made
    return with_validation(made, x_valid, y_valid, coded="classes" in found)


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
    """A CSV file with a header (.csv, .tsv, perhaps .gz): one column of labels, all others numbers
    or a few texts.

    label      name of the column of labels: strings or whole numbers (classes), or numbers with fractions (regression)
    test       another file with the same columns, for the test part
    task       "classification" or "regression" where "auto" would guess wrong
    shape      (rows, cols) if the features are the pixels of a picture
    drop       names of columns to leave out; as one text, joined by commas
    sep        what stands between two cells; guessed from the first lines, and said, where it is not given
    missing    "mean": an empty cell is filled with its column's mean over the training part, beside it a feature that
               says so; where it is not given, an empty cell is refused
    max_texts  how many different texts a column may have; each becomes a feature
    decimal    the decimal mark, if it is not "."
    thousands  what groups the digits of numbers, such as "."
    encoding   of the text, if it is not UTF-8, such as "latin-1"
    valid      another file with the same columns, for the validation part; then none is split off
    """
    form = Form(sep, decimal, thousands, encoding)
    return _table_set(path, label, test, valid, task, shape, drop, missing, max_texts, form)


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
    """A Parquet file: one column of labels, all others numbers or a few texts. The arguments are
    those of `csv`.
    """
    return _table_set(path, label, test, valid, task, shape, drop, missing, max_texts)


@dataset("idx")
def idx(path: str) -> Dataset:
    """A folder with files in MNIST's format: pictures of any size, classes are the distinct labels.

    train-images-idx3-ubyte, train-labels-idx1-ubyte, and the same for t10k, the test part, which
    may be missing; each as it is or with .gz.
    """
    folder = existing(path, folder=True)
    parts: dict[str, Any] = {}
    for part, images, labels in (("train", "x", "y"), ("t10k", "x_test", "y_test")):
        for kind, name, axes in (("images", images, 3), ("labels", labels, 1)):
            stem = f"{part}-{kind}-idx{axes}-ubyte"
            file = next((folder / n for n in (stem, stem + ".gz") if (folder / n).is_file()), None)
            if file is not None:
                parts[name] = read_idx(file, read_bytes(file), axes)
            elif part == "train":
                raise UsageError(
                    f"{path}: a folder of IDX files must hold {stem} or {stem}.gz, there is none: "
                    f"check the folder"
                )
    return from_arrays(folder.name, parts.pop("x"), parts.pop("y"), **parts, task="classification")


def read_bytes(file: Path) -> bytes:
    """The bytes of a file, or a UsageError."""
    try:
        return file.read_bytes()
    except (OSError, MemoryError) as error:
        raise UsageError(f"{file}: cannot be read ({error})") from error


def _damage(error: Exception) -> str:
    """What NumPy says of a file that is no archive, without its advice to load it unsafely."""
    return _first_line(error).partition(" If you trust")[0]


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _table_set(
    path: str,
    label: str | None,
    test: str | None,
    valid: str | None,
    task: str,
    shape: Any,
    drop: Any,
    missing: str | None,
    max_texts: int,
    form: Form | None = None,
) -> Dataset:
    """A Dataset from one to three tables of the same columns."""
    name = existing(path).name
    drop = checks.plain(drop)
    if drop is None or isinstance(drop, str):
        drop = [] if drop is None else [drop]
    if not isinstance(drop, list):
        raise UsageError(
            f"drop must be names of columns, such as {option('drop', ['id'])}, got "
            f"{checks.shown(drop)}"
        )
    drop = tuple(drop)
    max_texts = checks.whole("max_texts", max_texts, 1)
    train = _Part(path, label, drop, form)
    x = read_table(train.frame, str(path), max_texts, in_file=True)
    other = (
        None if test is None else _Part(test, label, drop, form, x.text_columns, must_drop=False)
    )
    x_test = None
    if other is not None:
        x_test = _same_columns(path, train, str(test), other, x).by_name(x.names)
    classes, y, y_test = _targets(name, train, other, task)
    made = from_table(
        name,
        x,
        y,
        x_test,
        y_test,
        classes=classes,
        shape=shape,
        missing=missing,
        notes=tuple(train.guessed),
    )
    if valid is None:
        return made
    part = _Part(valid, label, drop, form, x.text_columns, must_drop=False)
    table = _same_columns(path, train, valid, part, x)
    regression = not classes and part.numbers is not None
    return join_validation(made, table, np.asarray(part.numbers) if regression else part.labels)


def _same_columns(
    path: str, train: "_Part", other_path: str, other: "_Part", first: Table
) -> Table:
    """The features of another file, whose columns must be those of the first, and texts where that
    has texts.
    """
    columns, others = list(train.frame.columns), list(other.frame.columns)
    odd = [name for name in (*columns, *others) if (name in columns) != (name in others)]
    if odd:
        where = other_path if odd[0] in columns else path
        raise UsageError(
            f"{other_path}: its columns must be those of {path}, but {odd[0]!r} is "
            f"missing in {where}"
        )
    return read_table(
        other.frame,
        other_path,
        sys.maxsize,
        in_file=True,
        wanted=first.names,
        texts=first.text_columns,
    )


class _Part:
    """A table in a file, and its labels: as they were written, and as numbers where they are some.

    texts: the columns that hold texts in the training part, which are read as they are written,
    too.
    """

    def __init__(
        self,
        path: str,
        label: str | None,
        drop: tuple[str, ...],
        form: Form | None,
        texts: tuple[str, ...] = (),
        must_drop: bool = True,
    ) -> None:
        found = read_frame(
            str(path), form, drop, (*texts, *(() if label is None else (label,))), must_drop
        )
        columns = list(found.table.columns)
        if label is None:
            raise UsageError(
                f"{path}: say which column holds the labels, as in "
                f"{option('label', columns[-1] if columns else 'y')}; "
                f"the columns are {shown(columns)}"
            )
        if label not in columns:
            raise no_column(path, label, columns)
        if not len(found.table):
            raise UsageError(
                f"{path}: a table must have at least one row, got its header only: add rows"
            )
        self.guessed = found.guessed
        self.labels = read_labels(found.table[label], f"{path}: column {label!r}")
        numbers = found.numbers.get(label)
        self.numbers = self.labels if self.labels.dtype.kind != "U" else numbers
        self.written = self.labels.dtype.kind == "U"
        self.frame = found.table.drop(columns=[label])


def _targets(
    name: str, train: _Part, other: _Part | None, task: str
) -> tuple[tuple[str, ...], np.ndarray, np.ndarray | None]:
    """Classes and the places of the labels in them, or () and the numbers of a regression."""
    numbers = train.labels if train.numbers is None else np.asarray(train.numbers)
    if task_of(name, numbers, task, None) == "regression":
        test = None
        if other is not None:
            test = targets(
                name, "y_test", other.labels if other.numbers is None else np.asarray(other.numbers)
            )
        return (), targets(name, "y", numbers), test
    seen, back = np.unique(train.labels, return_inverse=True)
    names = [label_name(value) for value in seen]
    foreign = None if task != "auto" or not train.written else foreign_numbers(names)
    if foreign is not None:
        text, ways = foreign
        raise UsageError(f"{name}: labels must be classes or numbers, got {text!r}: say {ways}")
    classes = in_order(names) if train.written else tuple(names)
    y = np.array([classes.index(each) for each in names], dtype=np.int64)[back]
    return classes, y, None if other is None else places_in_test(name, classes, other.labels)
