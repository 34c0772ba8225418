"""Data sets from a user's files: NumPy archives, tables with a label column, folders of IDX files."""

import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.data.dataset import Dataset, from_arrays
from harness.data.idx import read_idx
from harness.errors import UsageError
from harness.registry import dataset, suggest

if TYPE_CHECKING:
    from pandas import DataFrame


@dataset("npz")
def npz(path: str, task: str = "auto", shape: tuple[int, int] | None = None) -> Dataset:
    """A NumPy archive (np.savez) with arrays x and y, and perhaps x_test and y_test, classes, features.

    x (N, ...), y (N,) labels counted from 0 or strings, or (N, O) floats for regression. See `from_arrays`.
    """
    file = _existing(path)
    wanted = ("x", "y", "x_test", "y_test", "classes", "features")
    try:
        with file.open("rb") as stream:
            archive = np.load(stream, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise UsageError(
                    f"{path}: an .npz archive with arrays x and y is needed, got a single array: use np.savez"
                )
            names = archive.files
            found: dict[str, Any] = {name: archive[name] for name in wanted if name in names}
    except UsageError:
        raise
    except Exception as error:  # damaged archives raise almost anything, from zlib.error to NotImplementedError
        raise UsageError(f"{path}: cannot be read as an .npz archive of plain arrays ({_damage(error)})") from error
    for name in ("x", "y"):
        if name not in found:
            raise UsageError(f"{path}: there must be arrays x and y, {name!r} is missing; {suggest(name, names)}")
    y = found["y"]
    if task != "regression" and y.dtype.kind in "if" and y.ndim == 1 and not (y % 1).any() and (y < 0).any():
        raise UsageError(
            f"{path}: labels in an .npz count from 0, got {y.min():g} in row {int(np.argmax(y < 0))} (counted from 0): "
            'renumber them, store them as strings, or say task="regression"'
        )
    return from_arrays(file.name, **found, task=task, shape=shape)


@dataset("csv")
def csv(
    path: str,
    label: str | None = None,
    test: str | None = None,
    task: str = "auto",
    shape: tuple[int, int] | None = None,
    drop: tuple[str, ...] = (),
    sep: str = ",",
) -> Dataset:
    """A CSV file with a header: one column of labels, all others numbers.

    label   name of the column of labels: strings or whole numbers (classes), or numbers with fractions (regression)
    test    another file with the same columns, for the test part
    task    "classification" or "regression" where "auto" would guess wrong
    shape   (rows, cols) if the features are the pixels of a picture
    drop    names of columns to leave out
    sep     what stands between two cells
    """

    return _table(path, label, test, task, shape, drop, sep)


@dataset("parquet")
def parquet(
    path: str,
    label: str | None = None,
    test: str | None = None,
    task: str = "auto",
    shape: tuple[int, int] | None = None,
    drop: tuple[str, ...] = (),
) -> Dataset:
    """A Parquet file: one column of labels, all others numbers. The arguments are those of `csv`."""

    return _table(path, label, test, task, shape, drop)


@dataset("idx")
def idx(path: str) -> Dataset:
    """A folder with files in MNIST's format: pictures of any size, classes are the distinct labels.

    train-images-idx3-ubyte, train-labels-idx1-ubyte, and the same for t10k, the test part, which may be missing; each
    as it is or with .gz.
    """
    folder = _existing(path, folder=True)
    parts: dict[str, Any] = {}
    for part, images, labels in (("train", "x", "y"), ("t10k", "x_test", "y_test")):
        for kind, name, axes in (("images", images, 3), ("labels", labels, 1)):
            stem = f"{part}-{kind}-idx{axes}-ubyte"
            file = next((folder / n for n in (stem, stem + ".gz") if (folder / n).is_file()), None)
            if file is not None:
                parts[name] = read_idx(file, _bytes(file), axes)
            elif part == "train":
                raise UsageError(
                    f"{path}: a folder of IDX files must hold {stem} or {stem}.gz, there is none: check the folder"
                )
    return from_arrays(folder.name, parts.pop("x"), parts.pop("y"), **parts, task="classification")


def _existing(path: str, folder: bool = False) -> Path:
    """The path, which must be there."""
    place = Path(path).expanduser()
    kind = "folder" if folder else "file"
    if not (place.is_dir() if folder else place.is_file()):
        raise UsageError(f"there is no {kind} {str(path)!r} (looked for {place.absolute()}): check the path")
    return place.absolute()


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file}: cannot be read ({error})") from error


def _damage(error: Exception) -> str:
    """What NumPy says of a file that is no archive, without its advice to load it unsafely."""
    return _first_line(error).partition(" If you trust")[0]


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def read_table(path: str, sep: str | None = None, drop: tuple[str, ...] = ()) -> "DataFrame":
    """The table in a CSV file (sep: what stands between two cells) or, without sep, in a Parquet file.

    Raises UsageError unless it can be read and its columns have names of their own, those in `drop` aside.
    """
    file = _existing(path)
    try:
        frame, names = _csv(file, sep) if sep is not None else _parquet(file)
    except ImportError as error:
        raise UsageError(
            f"{path}: reading it needs pandas and pyarrow ({_first_line(error)}): pip install pandas pyarrow"
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: a table must be text in UTF-8 ({_first_line(error)}): save it as UTF-8") from error
    except Exception as error:  # as do pandas and pyarrow
        remedy = ": every row needs as many cells as the header" if type(error).__name__.startswith("Parser") else ""
        raise UsageError(f"{path}: cannot be read as a table ({_first_line(error)}){remedy}") from error
    named = [(k, name, now) for k, (name, now) in enumerate(zip(names, frame.columns, strict=True)) if now not in drop]
    count = Counter(name for _, name, _ in named)
    for k, name, now in named:
        if not name:  # as in a file that pandas has written with its index
            raise UsageError(
                f"{path}: every column needs a name, but column {k} (counted from 0) has none: name it, or leave it "
                f"out with drop=[{str(now)!r}]"
            )
        if count[name] > 1:
            raise UsageError(f"{path}: the names of the columns must differ, but {name!r} came twice: rename one")
    return frame


def _csv(file: Path, sep: str) -> "tuple[DataFrame, list[str]]":
    """The table, and the names of its columns before pandas made them different."""
    import pandas

    # By default rows with a cell too many turn their first column into an index; with index_col=False pandas warns.
    with warnings.catch_warnings():
        warnings.simplefilter("error", pandas.errors.ParserWarning)
        frame = pandas.read_csv(file, sep=sep, index_col=False, low_memory=False)
        head = pandas.read_csv(file, sep=sep, index_col=False, header=None, nrows=1, dtype=str, keep_default_na=False)
    return frame, list(head.iloc[0])


def _parquet(file: Path) -> "tuple[DataFrame, list[str]]":
    import pandas

    frame = pandas.read_parquet(file)
    frame.columns = [str(name) for name in frame.columns]  # type: ignore[assignment]
    return frame, list(frame.columns)


def _table(
    path: str,
    label: str | None,
    test: str | None,
    task: str,
    shape: Any,
    drop: Any,
    sep: str | None = None,
) -> Dataset:
    """A Dataset from one or two tables of the same columns."""
    drop = (drop,) if isinstance(drop, str) else tuple(drop)
    x, y, columns = _columns(path, label, drop, sep)
    x_test = y_test = None
    if test is not None:
        x_test, y_test, others = _columns(test, label, drop, sep)
        odd = [name for name in (*columns, *others) if (name in columns) != (name in others)]
        if odd:
            where = test if odd[0] in columns else path
            raise UsageError(f"{test}: its columns must be those of {path}, but {odd[0]!r} is missing in {where}")
        x_test = x_test[:, [others.index(name) for name in columns]]
    return from_arrays(Path(path).name, x, y, x_test, y_test, shape=shape, features=columns, task=task)


def _columns(
    path: str, label: str | None, drop: tuple[str, ...], sep: str | None
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """x (N, I), y (N,) and the names of x's columns. Raises UsageError unless it is a table of numbers with labels."""
    frame = read_table(path, sep, drop)
    names = list(frame.columns)
    other = next((mark for mark in ";\t|" if len(names) == 1 and mark in names[0]), None)
    if other is not None and sep is not None:
        raise UsageError(
            f"{path}: the header must have {sep!r} between its cells, but it is {names[0]!r}: say sep={other!r}, "
            f"as in csv({path!r}, label=..., sep={other!r})"
        )
    shown = ", ".join(names[:20]) + (f", ... ({len(names)} in all)" if len(names) > 20 else "")
    if label is None:
        raise UsageError(
            f'{path}: say which column holds the labels, as in label="{names[-1]}"; the columns are {shown}'
        )
    for name in (label, *drop):
        if name not in names:
            near = suggest(name, names)
            hint = f"; {near}" if near.startswith("did you mean") else ""
            raise UsageError(f"{path}: there is no column {name!r}; the columns are {shown}{hint}")
    if not len(frame):
        raise UsageError(f"{path}: a table must have at least one row, got its header only: add rows")
    labels, frame = frame[label], frame.drop(columns=[label, *drop])
    missing = labels.isna().to_numpy()
    if missing.any():
        raise UsageError(
            f"{path}: every row needs a label, but column {label!r} is empty (or a word such as NA) in row "
            f"{int(missing.argmax())} (counted from 0): remove such rows or fill in the label"
        )
    x = _numbers(path, frame)
    return x, labels.to_numpy(), list(frame.columns)


def _numbers(path: str, frame: "DataFrame") -> np.ndarray:
    """The table as an array, all columns of which are numbers; an empty cell becomes NaN."""
    import pandas

    for name in frame.columns:
        column = frame[name]
        if not pandas.api.types.is_numeric_dtype(column):
            words = pandas.to_numeric(column, errors="coerce").isna() & column.notna()
            row = int(words.to_numpy().argmax())
            raise UsageError(
                f"{path}: features must be numbers, but column {name!r} holds {str(column.iloc[row])!r} in row {row} "
                f'(counted from 0): turn it into numbers or leave it out with drop=["{name}"]'
            )
    kinds = {getattr(dtype, "kind", "O") if isinstance(dtype, np.dtype) else "O" for dtype in frame.dtypes}
    if kinds <= {"i", "u"} or kinds == {"f"}:
        return frame.to_numpy()
    return frame.to_numpy(dtype=np.float64, na_value=np.nan)
