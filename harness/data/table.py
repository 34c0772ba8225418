"""What a Table is: rows of features as they were read, before they are encoded."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from harness.data.labels import label_name
from harness.errors import UsageError
from harness.registry.known import suggest

# The names of columns, or the different texts of one; None where there are none.
Names = tuple[str, ...] | None
# For each column its different texts in order, None for a column of numbers.
Texts = tuple[Names, ...]


@dataclass(frozen=True)
class Table:
    """Rows of features before they are encoded.

    Attributes
    ----------
    values
        Numbers (N, ...); a missing one is NaN. In a column of texts a number is a place in them.
    names
        The names of the columns, None where they have none.
    texts
        For each column its different texts, None for one of numbers; None where there are only
        numbers.
    what
        What to call the table in a message.
    """

    values: np.ndarray
    names: Names = None
    texts: Texts | None = None
    what: str = "x"

    @property
    def text_columns(self) -> tuple[str, ...]:
        """The columns of texts: their names, or their places as text where they have none."""
        if self.texts is None:
            return ()
        names = self.names or counted(len(self.texts))
        columns = zip(names, self.texts, strict=False)
        return tuple(name for name, texts in columns if texts is not None)

    def texts_of(self, column: int) -> Names:
        """The different texts of a column, None where it holds numbers."""
        return None if self.texts is None else self.texts[column]

    def by_name(self, wanted: Names) -> "Table":
        """The columns in the order of `wanted`, all others left out.

        The table is returned as it is where it, or who asks, has no names.

        Raises
        ------
        UsageError
            If a wanted column is missing.
        """
        if wanted is None or self.names is None or wanted == self.names:
            return self
        must_have(self.what, self.names, wanted)
        order = [self.names.index(name) for name in wanted]
        texts = self.texts
        if texts is not None:
            texts = tuple(texts[k] for k in order)
        return Table(self.values[:, order], wanted, texts, self.what)


def counted(count: int) -> tuple[str, ...]:
    """The names of columns without names: 0, 1, 2, as pandas numbers them."""
    return tuple(map(str, range(count)))


def must_have(what: str, names: Sequence[str], wanted: Sequence[str]) -> None:
    """Refuses a table, of columns `names`, that lacks one of the wanted columns."""
    for name in wanted:
        if name not in names:
            raise UsageError(
                f"{what} must have the columns that the network learned from, but {name!r} is "
                f"missing; {suggest(name, tuple(names))}"
            )


class JoinedTexts(NamedTuple):
    """The texts of two parts together, and the values (N, C) of the other part in them."""

    texts: Texts
    values: np.ndarray


def join_texts(name: str, table: Table, other: Table, part: str) -> JoinedTexts:
    """The texts of the training part and of another part in one numbering.

    A text that only the other part has comes behind those of the training part, so that the other
    part does not change what the training part means.

    Parameters
    ----------
    name
        The name of the data set, for messages.
    table
        The training part.
    other
        The other part, with the same columns.
    part
        What to call the other part in a message.

    Raises
    ------
    UsageError
        If the other part has texts in a column of numbers.
    """
    values = np.array(other.values, dtype=np.float64)
    joined: list[Names] = []
    for k in range(table.values.shape[1]):
        texts = table.texts_of(k)
        if texts is None:
            _refuse_texts(name, table, other, k, part)
        else:
            texts = _renumber(values[:, k], texts, other.texts_of(k))
        joined.append(texts)
    return JoinedTexts(tuple(joined), values)


def _refuse_texts(name: str, table: Table, other: Table, k: int, part: str) -> None:
    """Refuses texts in column k of another part, where the training part has numbers."""
    texts = other.texts_of(k)
    known = ~np.isnan(other.values[:, k].astype(np.float64))
    if texts is None or not known.any():
        return
    column: int | str = k
    if table.names is not None:
        column = table.names[k]
    row = int(known.argmax())
    raise UsageError(
        f"{name}: column {column!r} of the {part} must hold numbers, as in the training part, got "
        f"{texts[int(other.values[row, k])]!r} in row {row} (counted from 0): correct it"
    )


def _renumber(column: np.ndarray, texts: tuple[str, ...], other_texts: Names) -> tuple[str, ...]:
    """Joins the texts of a column, whose values in the other part become places in them."""
    known = ~np.isnan(column)
    different, back = np.unique(column[known], return_inverse=True)
    # Without texts of its own the other part happens to have only numbers in this column.
    if other_texts is None:
        names = [label_name(value) for value in different]
    else:
        names = [other_texts[int(value)] for value in different]
    # The places of the texts that the training part has must stay as they are.
    joined = (*texts, *(text for text in names if text not in texts))
    if names:
        places = np.array([joined.index(text) for text in names], dtype=np.float64)
        column[known] = places[back]
    return joined
