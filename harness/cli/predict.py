"""harness predict: a saved network answers."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from harness.cli.common import load_plugins, writing
from harness.cli.group import PLUGIN, declare
from harness.cli.terminal import echo, write_data
from harness.errors import UsageError
from harness.storage.files import write_plain

if TYPE_CHECKING:
    from harness.model import Model


@declare(
    ("--out", "FILE.csv", "Write to this file instead of the screen."),
    (
        "--label",
        "COLUMN",
        "The column of true labels in DATA: left out of the features, and scored.",
    ),
    ("--proba", True, "Add the probability of each class."),
    (
        "--sep",
        "MARK",
        "What stands between two cells of a .csv file.  [default: as in training, or guessed]",
    ),
    ("--decimal", "MARK", "The decimal mark of a .csv file.  [default: as in training]"),
    ("--thousands", "MARK", "What groups the digits in a .csv file.  [default: as in training]"),
    ("--encoding", "NAME", "The encoding of a .csv file.  [default: as in training]"),
    *PLUGIN,
    short="Predict with a saved network.",
    example="harness predict models/iris new_flowers.csv --proba --out predicted.csv",
)
@click.argument("model")
@click.argument("data")
def predict(
    model: str,
    data: str,
    out: str | None,
    label: str | None,
    proba: bool,
    plugins: tuple[str, ...],
    **form: str | None,
) -> None:
    """Predict with a network that was saved by harness run --save: one row of CSV for each example.

    MODEL is the path that it was saved under. DATA is a .csv or .parquet file with the columns that
    it learned from (in any order, others are left out), an .npz with an array x, a folder of IDX
    files, or the name of a data set, of which the test part is taken (all of it where there is
    none). Where true labels are known, the score is printed to stderr.
    """
    import pandas

    from harness.escapes import to_csv
    from harness.model import load_model

    load_plugins(plugins)
    net = load_model(model)
    x, y = _examples(
        data, label, net, {name: mark for name, mark in form.items() if mark is not None}
    )
    found = net.predict(x)
    proba_of = net.predict_proba(x) if proba else np.empty((0, 0))
    metric = net.config.metric["name"] if net.classes is None else "accuracy"
    score = None if y is None else net.score(x, y, metric=metric)
    columns: dict[str, Any] = {"prediction": found}
    if found.ndim == 2:
        columns = {
            "prediction" + (f"_{k}" if found.shape[1] > 1 else ""): found[:, k]
            for k in range(found.shape[1])
        }
    if proba:
        names: Any = net.classes if net.classes is not None else []
        columns |= {f"p_{name}": p for name, p in zip(names, proba_of.T, strict=True)}
    table = to_csv(pandas.DataFrame(columns), float_format="%.6g")
    if out:
        with writing(out):
            Path(out).expanduser().parent.stat()  # no folder is made for it
        write_plain(Path(out).expanduser(), table.encode())
    else:
        write_data(table)
    if score is not None:
        echo(f"{metric} {score:.4f} on {len(found)} examples", err=True)


def _examples(data: str, label: str | None, net: "Model", form: dict[str, str]) -> tuple[Any, Any]:
    """Features (N, ...) and, where known, labels (N,) of what predict is given."""
    from harness.data import load
    from harness.data.paths import existing, is_there, kind_of

    if not data.strip():
        raise UsageError(
            f"DATA must be a path or the name of a data set, got {data!r}; see "
            f"harness predict --help"
        )
    kind = None if data.rstrip().endswith(")") else kind_of(data)
    if label is not None and kind not in ("csv", "parquet"):
        raise UsageError(f"--label goes with a .csv or .parquet file, got {data!r}; leave it out")
    if form and kind != "csv":
        raise UsageError(f"--{next(iter(form))} goes with a .csv file, got {data!r}; leave it out")
    if is_there(data, folder=True):
        return _idx_examples(Path(data).expanduser())
    if kind in ("csv", "parquet"):
        return _table_examples(data, label, net, form)
    if kind == "npz":
        return _npz_examples(existing(data))
    if not data.isprintable() or len(data) > 4096:
        raise UsageError(
            f"DATA must be a path or the name of a data set, got {data[:100]!r}; check it"
        )
    source = load(data)
    table, y = (
        (source.table(), source.y)
        if source.x_test is None
        else (source.test_table(), source.y_test)
    )
    return table, np.array(source.classes)[y] if source.classes else y


def _table_examples(
    path: str, label: str | None, net: "Model", written: dict[str, str]
) -> tuple[Any, Any]:
    """The columns of a file that the network learned from, read as those were, and the labels where
    they are there.
    """
    from harness.data.csv_format import Form
    from harness.data.reading import read_table
    from harness.data.table_files import no_column, read_frame

    about = net.config.data if isinstance(net.config.data, dict) else {}
    form = Form(
        *({**about, **written}.get(name) for name in ("sep", "decimal", "thousands", "encoding"))
    )
    wanted = label or about.get("label")  # as in the file that the model learned from
    texts = (*net.text_columns, *([wanted] if wanted is not None else []))
    drop = about.get("drop", ())
    found = read_frame(
        path, form, (drop,) if isinstance(drop, str) else tuple(drop), texts, must_drop=False
    )
    frame = found.table
    if label is not None and label not in frame.columns:
        raise no_column(path, label, list(frame.columns))
    y = None
    if wanted is not None and wanted in frame.columns:
        y = frame.pop(wanted)
        if y.isna().all():  # a column to be filled in
            y = None
        elif net.classes is None:
            y = found.numbers.get(wanted, y)
    if not len(frame):
        raise UsageError(f"{path} must have at least one row, but has its header only; add rows")
    return read_table(frame, path, sys.maxsize, net.features, texts=net.text_columns), y


def _npz_examples(path: Path) -> tuple[np.ndarray, Any]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            found = {name: archive[name] for name in ("x", "y", "classes") if name in archive.files}
    except Exception as error:  # damaged archives raise almost anything
        raise UsageError(
            f"{path} cannot be read as an .npz archive of plain arrays ({error})"
        ) from error
    if "x" not in found:
        raise UsageError(
            f"{path} must hold an array x of features, but it has none; save it with "
            f"np.savez(path, x=...)"
        )
    y, classes = found.get("y"), found.get("classes")
    if y is None or classes is None:
        return found["x"], y
    if not np.issubdtype(y.dtype, np.integer) or (
        y.size and not 0 <= y.min() <= y.max() < len(classes)
    ):
        raise UsageError(
            f"{path}: y must number its {len(classes)} classes from 0, but does not; correct it or "
            f"leave it out"
        )
    return found["x"], classes[y]


def _idx_examples(folder: Path) -> tuple[np.ndarray, Any]:
    from harness.data.idx import read_idx
    from harness.data.paths import read_bytes

    for part in ("t10k", "train"):
        arrays = []
        for kind, axes in (("images", 3), ("labels", 1)):
            files = [folder / f"{part}-{kind}-idx{axes}-ubyte{end}" for end in ("", ".gz")]
            file = next((each for each in files if each.is_file()), None)
            arrays.append(None if file is None else read_idx(file, read_bytes(file), axes))
        if arrays[0] is not None:
            return arrays[0], arrays[1]
    raise UsageError(
        f"{folder} must hold t10k-images-idx3-ubyte or train-images-idx3-ubyte, but it has "
        f"neither; check the folder"
    )
