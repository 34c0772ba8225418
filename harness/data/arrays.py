"""A Dataset from arrays or tables that a user has in memory."""

import sys
from dataclasses import replace
from typing import Any

from harness.data.assemble import assemble
from harness.data.columns import MOST_TEXTS
from harness.data.dataset import Dataset
from harness.data.labels import read_labels
from harness.data.reading import read_table
from harness.data.targets import targets_of
from harness.errors import UsageError


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

    The arrays are shared where their type allows it, not copied: do not change them afterwards.

    Parameters
    ----------
    name
        What the data set is called in tables.
    x, x_test
        (N, ...) numbers, flattened to (N, I); (N, r, c) gives shape=(r, c). Whole numbers become
        uint8 if they are pixels (a shape is known and all lie in 0..255), else float32 where that
        is exact, else float64. Or a table (pandas), whose columns of texts become features with a
        single one when a network is trained.
    y, y_test
        (N,) or (N, 1) labels: whole numbers, truth values or strings; or (N, O) floats.
    classes
        Names of the classes: y then holds positions in them. Otherwise they are the sorted distinct
        labels of y, and labels become 0..K-1 in that order.
    shape
        (rows, cols), if the features are the pixels of a picture.
    features
        I names of the columns of x.
    task
        "classification", "regression", or "auto": regression if y has a fraction somewhere or
        several columns.
    missing
        "mean": what is missing in x (NaN, None, pandas.NA, masked) is filled with the mean of its
        column over the training part, and a feature beside it says where it was; None: it is
        refused.
    max_texts
        How many different texts a column may have.

    Returns
    -------
    Dataset
        The data set, whose arrays are read-only.

    Raises
    ------
    UsageError
        For data that cannot be learned from, such as a missing label, with its row.
    """
    if x is None or y is None:
        raise UsageError(f"{name}: x and y must both be given")
    table = read_table(x, f"{name}: x", max_texts)
    test = None
    if x_test is not None:
        # The training part decides which columns there are and which of them hold texts; how many
        # texts the test part has beside them does not matter, since they become no features.
        test = read_table(
            x_test, f"{name}: x_test", sys.maxsize, table.names, texts=table.text_columns
        )
        test = test.by_name(table.names)
    y = read_labels(y, f"{name}: y")
    if y_test is not None:
        y_test = read_labels(y_test, f"{name}: y_test")
    targets = targets_of(name, y, y_test, task, classes)
    # Names that are given rename the columns, after those of the test part have been found.
    if features is not None:
        table = replace(table, names=tuple(str(feature) for feature in features))
    return assemble(name, table, test, targets, shape=shape, missing=missing)
