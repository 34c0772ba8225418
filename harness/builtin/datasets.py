"""The data sets that come with the harness: MNIST, a small MNIST, and a regression."""

import hashlib
from pathlib import Path

import numpy as np

from harness import checks
from harness.data.dataset import Dataset
from harness.data.idx import read_idx
from harness.data.splitting import philox
from harness.errors import UsageError
from harness.registry.decorators import dataset

FOLDER = Path(__file__).parent / "mnist"
# Whoever installs the harness must train on the same bits.
SHA256 = {
    "train-images-idx3-ubyte.gz": (
        "0b367032e93c5d0cea0925647cfdb18614af8ee15f83e6f2fc2ad904a6835971"
    ),
    "train-labels-idx1-ubyte.gz": (
        "1787548bbe0bff1ec2ecdc0ef292b02df999e2d1a6002d27500982c652b17203"
    ),
    "t10k-images-idx3-ubyte.gz": (
        "1a1a05eab793c14bb050b398624a11b0ffd1a2953baed553b1b9bd079e2a20be"
    ),
    "t10k-labels-idx1-ubyte.gz": (
        "b91679a0acfe4ba0e50a2437a903084cba1f5f92592b016a25a7dfd00455798b"
    ),
}
DIGITS = tuple("0123456789")


@dataset("mnist")
def mnist(rows: int | None = None) -> Dataset:
    """MNIST: 60,000 handwritten digits to train on, 10,000 to test on.

    Grey pixels, 28 x 28.
    x (60000, 784) uint8, y (60000,).
    `rows` takes the first rows of the training part only, for quick trials.
    UsageError if one of the shipped files is not what was shipped.
    Reference: LeCun, Bottou, Bengio and Haffner, Proceedings of the IEEE 86, 1998.
    """
    count = _rows(rows, 60_000)
    x = _images("train", count)
    y = _digits("train", count)
    return Dataset(
        "mnist",
        x.reshape(len(x), -1),
        y,
        classes=DIGITS,
        shape=(28, 28),
        x_test=_images("t10k").reshape(-1, 784),
        y_test=_digits("t10k"),
    )


@dataset("mnist14")
def mnist14(rows: int = 2000) -> Dataset:
    """MNIST at half the resolution: the first `rows` training rows, 1,000 test rows.

    For fast tests and lessons.
    Each of 14 x 14 pixels is the mean of four, rounded half up.
    x (rows, 196) uint8, y (rows,).
    """
    count = _rows(rows, 60_000)
    x = _halve(_images("train", count))
    x_test = _halve(_images("t10k", 1000))
    return Dataset(
        "mnist14",
        x,
        _digits("train", count),
        classes=DIGITS,
        shape=(14, 14),
        x_test=x_test,
        y_test=_digits("t10k", 1000),
    )


@dataset("friedman1")
def friedman1(rows: int = 1000, seed: int = 0) -> Dataset:
    """y = 10 sin(pi x1 x2) + 20 (x3 - 1/2)^2 + 10 x4 + 5 x5 + N(0, 1)

    A regression, x uniform on (0, 1)^10.
    x (rows, 10) float32, of which the last five do not matter; y (rows, 1) float32.
    No test part: use another seed.
    Reference: Friedman, Multivariate adaptive regression splines, Annals of Statistics 19(1), 1991.
    """
    random = np.random.Generator(philox(seed, "friedman1"))
    x = random.random((_rows(rows), 10))
    y = (
        10 * np.sin(np.pi * x[:, 0] * x[:, 1])
        + 20 * (x[:, 2] - 0.5) ** 2
        + 10 * x[:, 3]
        + 5 * x[:, 4]
    )
    y += random.standard_normal(len(x))
    names = tuple(f"x{k}" for k in range(1, 11))
    return Dataset("friedman1", x.astype(np.float32), y[:, None].astype(np.float32), features=names)


def _rows(rows: int | None, most: int | None = None) -> int:
    """The number of rows that is asked for; None stands for all where there is an end."""
    if rows is None and most is not None:
        return most
    return checks.whole("rows", rows, 1, most)


def _images(part: str, rows: int | None = None) -> np.ndarray:
    return _read(f"{part}-images-idx3-ubyte.gz", 3, rows)


def _digits(part: str, rows: int | None = None) -> np.ndarray:
    return _read(f"{part}-labels-idx1-ubyte.gz", 1, rows).astype(np.int64)


def _read(file: str, axes: int, rows: int | None) -> np.ndarray:
    path = FOLDER / file
    remedy = "reinstall the harness (pip install --force-reinstall)"
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path}: MNIST ships with the harness, but this file cannot be read ({error}): "
            f"{remedy}"
        ) from error
    if hashlib.sha256(raw).hexdigest() != SHA256[file]:
        raise UsageError(
            f"{path}: this file must be as it was shipped, but its SHA-256 differs: {remedy}"
        )
    return read_idx(path, raw, axes, rows)


def _halve(images: np.ndarray) -> np.ndarray:
    """(N, 28, 28) uint8 -> (N, 196) uint8."""
    # A sum of four does not fit into uint8.
    sums = images.reshape(-1, 14, 2, 14, 2).sum(axis=(2, 4), dtype=np.uint16)
    return ((sums + 2) // 4).astype(np.uint8).reshape(-1, 196)
