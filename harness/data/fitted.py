"""What is fitted on a training part: the encoding and the scale, which a network keeps."""

import hashlib
import json
from typing import Any, NamedTuple

import numpy as np

from harness.data.dataset import Dataset
from harness.data.encoding import Encoding, fit_encoding
from harness.data.scaling import Scaling, fit_scale, resolve_scale
from harness.data.table import Table
from harness.errors import option


class Fitted(NamedTuple):
    """What is fitted on a training part.

    Attributes
    ----------
    encoding
        How a table becomes features; None: they are its numbers.
    scale
        One of SCALES; what the scale "auto" has become.
    scaling
        The numbers of that scale.
    """

    encoding: Encoding | None
    scale: str
    scaling: Scaling

    def features(self, table: Table) -> np.ndarray:
        """The features (N, F) of a table, before they are scaled."""
        return table.values if self.encoding is None else self.encoding(table)

    def digest(self) -> str:
        """16 hexadecimal digits of all of it."""
        encoding = None if self.encoding is None else self.encoding.to_json()
        sha = hashlib.sha256(json.dumps([self.scale, encoding]).encode())
        # In one byte order, so that the digest is the same on every machine.
        for part in self.scaling:
            sha.update(np.ascontiguousarray(part, dtype="<f8").tobytes())
        return sha.hexdigest()[:16]


class Fit(NamedTuple):
    """What is fitted on the training rows, and their features (N, F) before they are scaled."""

    fitted: Fitted
    features: np.ndarray


def fit(source: Dataset, rows: Any, scale: str) -> Fit:
    """Fits encoding and scale on the training rows of a data set.

    Parameters
    ----------
    source
        The data set.
    rows
        The training rows: their numbers, or a slice.
    scale
        One of SCALES, or "auto"; see `resolve_scale`. Features that stand for texts, or say that
        something is missing, are never scaled.

    Raises
    ------
    UsageError
        For a column without values, and for features that cannot be scaled.
    """
    table = source.table(rows)
    encoding = fit_encoding(source, table.values)
    # A table of numbers alone is not copied, and bytes stay bytes.
    if encoding is None:
        x = table.values
        name = resolve_scale(scale, x)
        return Fit(Fitted(None, name, fit_scale(name, x)), x)
    x = encoding(table)
    numeric = encoding.numeric
    name = resolve_scale(scale, x, numeric)
    # Features of texts, and those that mark missing values, stay 0 and 1.
    scaling = Scaling(np.zeros(x.shape[1]), np.ones(x.shape[1]))
    if numeric.any() and name != "none":
        part = fit_scale(name, x[:, numeric])
        scaling.shift[numeric] = part.shift
        scaling.divisor[numeric] = part.divisor
    return Fit(Fitted(encoding, name, scaling), x)


def describe(fitted: Fitted, scale: str) -> list[str]:
    """What the fit has decided by itself, in sentences for its user.

    Parameters
    ----------
    fitted
        What has been fitted.
    scale
        The scale of the config, which may be "auto".
    """
    sentences = []
    if fitted.encoding is not None:
        sentences = [*_about_texts(fitted.encoding), *_about_missing(fitted.encoding)]
    if scale == "auto" and fitted.scale == "standardize":
        way_out = option("scale", "none")
        sentences.append(f"numbers are standardized ({way_out} leaves them as they are)")
    return sentences


def _about_texts(encoding: Encoding) -> list[str]:
    texts = [column.texts for column in encoding.columns if column.texts is not None]
    if not texts:
        return []
    columns = f"{len(texts)} text columns become"
    if len(texts) == 1:
        columns = "1 text column becomes"
    count = sum(map(len, texts))
    plural = "s" if count > 1 else ""
    return [f"{columns} {count} feature{plural}"]


def _about_missing(encoding: Encoding) -> list[str]:
    sentences = []
    for column in encoding.columns:
        if column.missing_count:
            became = "filled" if column.texts is None else "missing"
            sentences.append(
                f"{column.missing_count} of {encoding.rows} values of {column.name} {became}"
            )
    return sentences
