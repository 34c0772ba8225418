"""A few raw rows of a data set, as a user's table has them: what a network can be asked."""

from typing import Any

import numpy as np

from harness.data import Dataset

ROWS = 3


def example_of(dataset: Dataset) -> dict[str, Any]:
    """The first rows of a training part, as JSON.

    Returns
    -------
    dict
        "rows": lists of numbers and texts, None for what is missing; "dtype": that of an array of
        numbers; "texts": for each column whether it holds texts.
    """
    table = dataset.table(slice(0, ROWS))
    values = table.values.reshape(len(table.values), -1)
    columns = [_column(values[:, k], table.texts_of(k)) for k in range(values.shape[1])]
    return {
        "rows": [list(row) for row in zip(*columns, strict=True)],
        "dtype": values.dtype.name,
        "texts": [table.texts_of(k) is not None for k in range(values.shape[1])],
    }


def _column(values: np.ndarray, texts: Any) -> list[Any]:
    """The values of a column; a text is a place among the texts of the column."""
    missing = np.zeros(len(values), bool)
    if values.dtype.kind == "f":
        missing = np.isnan(values)
    read = values.tolist()
    if texts is not None:
        read = [None if lost else texts[int(at)] for at, lost in zip(read, missing, strict=True)]
    return [None if lost else value for value, lost in zip(read, missing, strict=True)]
